package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.wlm.Job;
import com.amazonaws.ml.mms.wlm.Model;
import java.lang.reflect.Field;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.TimeUnit;

/**
 * A model's queue whose polls for a second and further request of a batch don't wait.
 *
 * <p>Model.pollBatch waits without end for the first request and up to the batch delay for each further one. With this
 * queue and a delay that never runs out, a batch is what waits at that moment, up to the batch size: a lone request is
 * worked on at once. It also closes a gap: a worker that ends while it waits for company would lose the first request.
 */
final class BatchQueue extends LinkedBlockingDeque<Job> {
    private static final long serialVersionUID = 1L;
    private static final int NEVER = 1_000_000;

    private BatchQueue(int capacity) {
        super(capacity);
    }

    @Override
    public Job poll(long timeout, TimeUnit unit) throws InterruptedException {
        if (timeout == Long.MAX_VALUE || Settings.BATCH_DELAY > 0) {
            return super.poll(timeout, unit);
        }
        return poll();
    }

    /** Gives {@code model} such a queue; before its first worker starts, for a worker waits on the queue it found. */
    @SuppressWarnings("unchecked")
    static void install(Model model, int capacity) {
        model.setBatchSize(Settings.BATCH_SIZE);
        model.setMaxBatchDelay(Settings.BATCH_DELAY > 0 ? Settings.BATCH_DELAY : NEVER);
        try {
            Field queues = Model.class.getDeclaredField("jobsDb");
            queues.setAccessible(true);
            ((ConcurrentMap<String, LinkedBlockingDeque<Job>>) queues.get(model))
                    .put(Model.DEFAULT_DATA_QUEUE, new BatchQueue(capacity));
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("this multi-model-server has no Model.jobsDb", e);
        }
    }
}
