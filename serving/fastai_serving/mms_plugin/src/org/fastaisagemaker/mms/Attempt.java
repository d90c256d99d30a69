package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.wlm.Job;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.Map;
import java.util.function.Consumer;

/**
 * A request in a worker's batch. When the worker is lost, nobody knows for which of its requests: those that had company
 * are tried once more, each alone.
 */
final class Attempt extends Job {
    private final Job job;
    private final int companions;
    private final Consumer<Job> again;
    private volatile boolean overdue;

    /** @param size of the batch; {@code again} takes what is to be tried once more */
    Attempt(Job job, int size, Consumer<Job> again) {
        super(null, job.getModelName(), job.getCmd(), job.getPayload());
        this.job = job;
        this.companions = size - 1;
        this.again = again;
    }

    /** The worker has had it for longer than it may. */
    void overdue() {
        overdue = true;
    }

    @Override
    public void response(byte[] body, CharSequence type, int status, String phrase, Map<String, String> headers) {
        job.response(body, type, status, phrase, headers);
    }

    @Override
    public void sendError(HttpResponseStatus status, String error) {
        if (companions > 0) {
            again.accept(new Alone(job));
        } else {
            job.sendError(overdue ? HttpResponseStatus.GATEWAY_TIMEOUT : status, error);
        }
    }

    /** A request that is to be in no batch with others. */
    static final class Alone extends Job {
        private final Job job;

        private Alone(Job job) {
            super(null, job.getModelName(), job.getCmd(), job.getPayload());
            this.job = job;
        }

        @Override
        public void response(byte[] body, CharSequence type, int status, String phrase, Map<String, String> headers) {
            job.response(body, type, status, phrase, headers);
        }

        @Override
        public void sendError(HttpResponseStatus status, String error) {
            job.sendError(status, error);
        }
    }
}
