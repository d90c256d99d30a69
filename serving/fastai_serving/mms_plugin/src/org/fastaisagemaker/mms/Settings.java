package org.fastaisagemaker.mms;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * What the supervisor says in system properties named {@code fastai.*}; it has checked the values. Each has its default
 * there alone, and one that is missing ends the start.
 */
final class Settings {
    static final int PORT = number("port");
    /** Bytes of one request's body. */
    static final int MAX_REQUEST = number("max_request");
    /** Bytes of all requests' bodies that are held at once. */
    static final long MAX_HELD = Math.max(bytes("max_held"), MAX_REQUEST);
    /** Bytes of all answers that are in the heap at once. */
    static final long MAX_ANSWERS = bytes("max_answers");
    /** Bytes beside the heap beyond which no more large answers are taken: arriving bodies need the rest. */
    static final long MAX_DIRECT = bytes("max_direct");
    /** Bytes of a refused body that are read and thrown away so that the client gets to see the answer. */
    static final long MAX_DISCARDED = Math.max(64L << 20, 4L * MAX_REQUEST);
    /** Seconds without progress after which a request that is arriving is given up. */
    static final int BODY_SECONDS = number("body_timeout");
    /** Seconds after which a connection without a request is closed: more than the 60 that load balancers keep one. */
    static final int IDLE_SECONDS = number("idle");
    /** Connections at once; workers, jars and pipes need open files, too. */
    static final int MAX_CONNECTIONS = Math.min(number("max_connections"), openFiles() / 2);
    static final int WORKERS = number("workers");
    static final int BATCH_SIZE = number("batch_size");
    /** Bytes of a batch's bodies; one that is larger by itself is a batch of its own. */
    static final long BATCH_BYTES = Math.max(1, MAX_HELD / (2L * WORKERS));
    /** Whether the one model has a user's script, which works on one request after the other. */
    static final boolean SCRIPT = Boolean.parseBoolean(text("script"));
    static final int SCRIPT_BATCH_SIZE = number("script_batch_size");
    /** Milliseconds that a worker waits for more requests once it has one; 0: it takes what is there. */
    static final int BATCH_DELAY = number("batch_delay");
    static final int TIMEOUT_SECONDS = number("timeout");
    /**
     * Seconds after which a request is given up, those in which it waits for a worker among them: a worker may take
     * its time for the batch before it and for its own, and SageMaker itself waits for 60.
     */
    static final int WAIT_SECONDS = Math.max(65, 2 * TIMEOUT_SECONDS * Math.max(1, SCRIPT_BATCH_SIZE) + 5);
    static final int STARTUP_SECONDS = number("startup_timeout");
    /** Seconds after SIGTERM in which what is in flight is answered. */
    static final int DRAIN_SECONDS = number("drain");
    /** The model folder; empty on a multi-model endpoint. */
    static final String MODEL = text("model");
    /** The folder below which a multi-model endpoint's models lie. */
    static final String MODELS_ROOT = text("models_root");
    /** A private folder; workers and this process leave the reason of a failure there. */
    static final String STATE = text("state");
    static final String HANDLER = text("handler");
    static final boolean PRELOAD = Boolean.parseBoolean(text("preload"));
    /** Bytes that must be free before one more model is loaded. */
    static final long MODEL_BYTES = bytes("model_bytes");

    private Settings() {}

    static boolean multiModel() {
        return MODEL.isEmpty();
    }

    /** How many files this process may have open. */
    private static int openFiles() {
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/limits"))) {
            return lines.filter(line -> line.startsWith("Max open files"))
                    .mapToInt(line -> Integer.parseInt(line.split("\\s+")[3]))
                    .findFirst()
                    .orElse(Integer.MAX_VALUE);
        } catch (IOException | RuntimeException e) {
            return Integer.MAX_VALUE; // another system, or no limit
        }
    }

    private static String text(String name) {
        String value = System.getProperty("fastai." + name);
        if (value == null) {
            throw new IllegalStateException("the system property fastai." + name + " is not set");
        }
        return value;
    }

    private static int number(String name) {
        return Integer.parseInt(text(name));
    }

    private static long bytes(String name) {
        return Long.parseLong(text(name));
    }
}
