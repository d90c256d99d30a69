package org.fastaisagemaker.mms;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** What the supervisor says in system properties named {@code fastai.*}; it has checked the values. */
final class Settings {
    static final int PORT = number("port", 8080);
    /** Bytes of one request's body. */
    static final int MAX_REQUEST = number("max_request", 6 * 1024 * 1024);
    /** Bytes of all requests' bodies that are held at once. */
    static final long MAX_HELD = Math.max(Long.getLong("fastai.max_held", 64L << 20), MAX_REQUEST);
    /** Bytes of all answers that are in the heap at once. */
    static final long MAX_ANSWERS = Long.getLong("fastai.max_answers", 64L << 20);
    /** Bytes beside the heap beyond which no more large answers are taken: arriving bodies need the rest. */
    static final long MAX_DIRECT = Long.getLong("fastai.max_direct", 128L << 20);
    /** Bytes of a refused body that are read and thrown away so that the client gets to see the answer. */
    static final long MAX_DISCARDED = Math.max(64L << 20, 4L * MAX_REQUEST);
    /** Seconds without progress after which a request that is arriving is given up. */
    static final int BODY_SECONDS = number("body_timeout", 30);
    /** Seconds after which a connection without a request is closed: more than the 60 that load balancers keep one. */
    static final int IDLE_SECONDS = number("idle", 75);
    /** Connections at once; workers, jars and pipes need open files, too. */
    static final int MAX_CONNECTIONS = Math.min(number("max_connections", 2000), openFiles() / 2);
    static final int WORKERS = number("workers", 1);
    static final int BATCH_SIZE = number("batch_size", 1);
    /** Bytes of a batch's bodies; one that is larger by itself is a batch of its own. */
    static final long BATCH_BYTES = Math.max(1, MAX_HELD / (2L * WORKERS));
    /** Whether the one model has a user's script, which works on one request after the other. */
    static final boolean SCRIPT = Boolean.getBoolean("fastai.script");
    static final int SCRIPT_BATCH_SIZE = number("script_batch_size", 1);
    /** Milliseconds that a worker waits for more requests once it has one; 0: it takes what is there. */
    static final int BATCH_DELAY = number("batch_delay", 0);
    static final int TIMEOUT_SECONDS = number("timeout", 60);
    /**
     * Seconds after which a request is given up, those in which it waits for a worker among them: a worker may take
     * its time for the batch before it and for its own, and SageMaker itself waits for 60.
     */
    static final int WAIT_SECONDS = Math.max(65, 2 * TIMEOUT_SECONDS * Math.max(1, SCRIPT_BATCH_SIZE) + 5);
    static final int STARTUP_SECONDS = number("startup_timeout", 600);
    /** Seconds after SIGTERM in which what is in flight is answered. */
    static final int DRAIN_SECONDS = number("drain", 25);
    /** The model folder, or null on a multi-model endpoint. */
    static final String MODEL = System.getProperty("fastai.model");
    /** The folder below which a multi-model endpoint's models lie. */
    static final String MODELS_ROOT = System.getProperty("fastai.models_root", "/opt/ml/models");
    /** A private folder; workers and this process leave the reason of a failure there. */
    static final String STATE = System.getProperty("fastai.state", System.getProperty("java.io.tmpdir"));
    static final String HANDLER = System.getProperty("fastai.handler");
    static final boolean PRELOAD = Boolean.getBoolean("fastai.preload");
    /** Bytes that must be free before one more model is loaded. */
    static final long MODEL_BYTES = Long.getLong("fastai.model_bytes", 128L << 20);

    private Settings() {}

    static boolean multiModel() {
        return MODEL == null;
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

    private static int number(String name, int otherwise) {
        return Integer.getInteger("fastai." + name, otherwise);
    }
}
