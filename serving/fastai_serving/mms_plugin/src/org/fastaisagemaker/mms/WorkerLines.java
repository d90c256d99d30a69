package org.fastaisagemaker.mms;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Property;

/** Remembers the last lines that processes of models printed: when one dies, they may say why. */
final class WorkerLines extends AbstractAppender {
    private static final String LOGGER = "com.amazonaws.ml.mms.wlm.WorkerLifeCycle";
    /** Lines kept of all, lines told of one, and characters of what is told. */
    private static final int KEPT = 50;
    private static final int TOLD = 6;
    private static final int LONGEST = 600;

    private static final WorkerLines ONLY = new WorkerLines();

    private final ArrayDeque<String[]> lines = new ArrayDeque<>();

    private WorkerLines() {
        super("worker-lines", null, null, true, Property.EMPTY_ARRAY);
    }

    static void remember() {
        ONLY.start();
        LoggerContext context = LoggerContext.getContext(false);
        context.getConfiguration().getLoggerConfig(LOGGER).addAppender(ONLY, null, null);
        context.updateLoggers();
    }

    @Override
    public void append(LogEvent event) {
        String line = event.getMessage().getFormattedMessage();
        synchronized (lines) {
            if (lines.size() == KEPT) {
                lines.removeFirst();
            }
            lines.add(new String[] {event.getThreadName(), line.length() > LONGEST ? line.substring(0, LONGEST) : line});
        }
    }

    /** The last lines of the process that loads this model, in one. */
    static String last(String model) {
        // The thread that reads them is named so (WorkerLifeCycle).
        String part = "-" + model.substring(0, Math.min(model.length(), 25)) + "-std";
        List<String> told = new ArrayList<>();
        synchronized (ONLY.lines) {
            for (String[] line : ONLY.lines) {
                if (line[0].contains(part)) {
                    told.add(line[1].strip());
                }
            }
        }
        // Python's own word on a fatal signal has the innermost call first, and ends in what is of no use.
        int fatal = -1;
        for (int at = 0; at < told.size(); at++) {
            fatal = told.get(at).startsWith("Fatal Python error") ? at : fatal;
        }
        int end = fatal < 0 ? told.size() : Math.min(told.size(), fatal + TOLD);
        String text = String.join(" | ", told.subList(Math.max(0, (fatal < 0 ? end - TOLD : fatal - 2)), end));
        return text.length() > LONGEST ? text.substring(0, LONGEST) + "..." : text;
    }
}
