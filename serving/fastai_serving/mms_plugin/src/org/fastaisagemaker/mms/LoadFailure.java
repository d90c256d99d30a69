package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.wlm.Model;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Why a model could not be loaded: what its worker wrote, or else how its process ended. */
final class LoadFailure {
    private static final Map<Integer, String> SIGNALS =
            Map.of(4, "SIGILL", 6, "SIGABRT", 7, "SIGBUS", 8, "SIGFPE", 9, "SIGKILL", 11, "SIGSEGV", 15, "SIGTERM");
    /** Milliseconds; the last lines of a process that has ended may still be in its pipe. */
    private static final long LINES_LATER = 200;

    /** Whether it was for want of memory. */
    final boolean memory;
    final String reason;

    private LoadFailure(boolean memory, String reason) {
        this.memory = memory;
        this.reason = reason;
    }

    /** @param begin when loading began (System.nanoTime); {@code death} may be null, when nobody saw it */
    static LoadFailure of(Model model, Death death, long begin) {
        boolean memory = Memory.shortSince(begin);
        try {
            Thread.sleep(LINES_LATER);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        String lines = WorkerLines.last(model.getModelName());
        String reason =
                "the process that loaded the model " + (death == null ? "ended" : death.how())
                        + (memory ? " because the memory was used up" + limit() : "")
                        + (lines.isEmpty() ? "" : "; its last lines: " + lines);
        return new LoadFailure(memory, reason);
    }

    private static String limit() {
        long limit = Memory.limit();
        return limit < 0 ? "" : " (its limit is " + (limit >> 20) + " MB)";
    }

    /** What a worker wrote about why it could not load the model, without line breaks; null when it wrote nothing. */
    static String written(String model) {
        Path path = Path.of(Settings.STATE, "load-failure-" + model);
        try {
            String reason = Files.readString(path, StandardCharsets.UTF_8);
            Files.delete(path);
            return reason.strip().replace('\n', ' ');
        } catch (IOException e) {
            return null;
        }
    }

    /** How the process ended that a model was loaded in; null when none has, as far as can be seen now. */
    static Death death(Model model) {
        Process parent = model.getServerThread().getLifeCycle().getProcess();
        if (parent == null) {
            return null;
        }
        if (!parent.isAlive()) {
            int code = parent.exitValue(); // Java's: 128 and the signal's number
            return code > 128 ? new Death(code - 128, 0) : new Death(0, code);
        }
        int status = childsStatus(parent.pid());
        return status < 0 ? null : new Death(status & 0x7f, status >> 8);
    }

    /** An end by a signal, or with an exit status when that is 0. */
    static final class Death {
        private final int signal;
        private final int status;

        private Death(int signal, int status) {
            this.signal = signal;
            this.status = status;
        }

        String how() {
            if (signal == 0) {
                return "ended with exit status " + status;
            }
            return "was killed by signal " + signal + (SIGNALS.containsKey(signal) ? " (" + SIGNALS.get(signal) + ")" : "");
        }
    }

    /** The wait status of a child that ended and that its parent has not waited for yet; -1 when there is none. */
    private static int childsStatus(long parent) {
        int found = -1;
        try (DirectoryStream<Path> processes = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
            for (Path process : processes) {
                String[] fields = fields(process);
                if (fields.length > 49 && fields[0].equals("Z") && fields[1].equals(String.valueOf(parent))) {
                    found = Integer.parseInt(fields[49]);
                }
            }
        } catch (IOException | NumberFormatException e) {
            return found;
        }
        return found;
    }

    /** The fields of a process's stat from its state on, which is the third. */
    private static String[] fields(Path process) {
        try {
            String stat = Files.readString(process.resolve("stat"));
            return stat.substring(stat.lastIndexOf(')') + 2).strip().split(" ");
        } catch (IOException | RuntimeException e) {
            return new String[0]; // it is gone
        }
    }
}
