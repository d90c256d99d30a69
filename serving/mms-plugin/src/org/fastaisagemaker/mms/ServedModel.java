package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.archive.ModelArchive;
import com.amazonaws.ml.mms.wlm.Job;
import com.amazonaws.ml.mms.wlm.Model;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A model whose batches are what waits at the moment: a lone request is worked on at once, and several idle workers
 * share what waits. multi-model-server's own would wait for company after the first request, and lose that one if the
 * worker ended meanwhile.
 */
final class ServedModel extends Model {
    /** How many workers have something to do, this one among them: a lone request may use every core. */
    static final String BUSY = "x-fastai-busy";

    private final LinkedBlockingDeque<Job> queue;
    /** A worker's order to load, by the id of the worker's channel. */
    private final Map<String, Job> orders = new ConcurrentHashMap<>();
    /** When a worker got the batch it is working on (System.nanoTime), by the id of its channel. */
    private final Map<String, Long> working = new ConcurrentHashMap<>();
    private final AtomicInteger idle = new AtomicInteger();

    ServedModel(ModelArchive archive, int queueSize, boolean preload) {
        super(archive, queueSize, String.valueOf(preload));
        queue = new LinkedBlockingDeque<>(queueSize);
        setBatchSize(Settings.BATCH_SIZE);
        setMaxBatchDelay(Settings.BATCH_DELAY);
    }

    /** Of any answer of a worker, that it has loaded the model among them; overdue requests are seen to in Models. */
    @Override
    public int getResponseTimeoutSeconds() {
        return Math.max(Settings.STARTUP_SECONDS, Settings.TIMEOUT_SECONDS + 60);
    }

    @Override
    public void addJob(String channel, Job order) {
        orders.put(channel, order);
    }

    @Override
    public void removeJobQueue(String channel) {
        orders.remove(channel);
        working.remove(channel);
    }

    @Override
    public boolean addJob(Job job) {
        return queue.offer(job);
    }

    @Override
    public void addFirst(Job job) {
        queue.addFirst(job);
    }

    @Override
    public void pollBatch(String channel, long wait, Map<String, Job> batch) throws InterruptedException {
        working.remove(channel);
        Job order = orders.remove(channel);
        if (order != null) {
            batch.put(order.getJobId(), order);
            return;
        }
        int waiters = idle.incrementAndGet();
        Job first;
        try {
            first = queue.take();
        } finally {
            waiters = Math.min(waiters, idle.getAndDecrement());
        }
        batch.put(first.getJobId(), first);
        if (getMaxBatchDelay() > 0) {
            collect(batch);
        } else {
            int share = (queue.size() + waiters) / Math.max(1, waiters);
            int most = Math.min(getBatchSize(), share);
            for (Job job; batch.size() < most && (job = queue.poll()) != null; ) {
                batch.put(job.getJobId(), job);
            }
        }
        int busy = queue.isEmpty() ? Settings.WORKERS - idle.get() : Settings.WORKERS;
        first.getPayload().updateHeaders(BUSY, String.valueOf(Math.max(1, busy)));
        working.put(channel, System.nanoTime());
    }

    private void collect(Map<String, Job> batch) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(getMaxBatchDelay());
        try {
            while (batch.size() < getBatchSize()) {
                Job job = queue.poll(end - System.nanoTime(), TimeUnit.NANOSECONDS);
                if (job == null) {
                    return;
                }
                batch.put(job.getJobId(), job);
            }
        } catch (InterruptedException e) {
            batch.values().forEach(queue::addFirst); // the worker has ended: another one takes them
            batch.clear();
            throw e;
        }
    }

    /** Whether the worker with this channel has had its batch for longer than a request may take. */
    boolean overdue(String shortChannelId) {
        long limit = TimeUnit.SECONDS.toNanos(Settings.TIMEOUT_SECONDS);
        for (Map.Entry<String, Long> entry : working.entrySet()) {
            if (entry.getKey().endsWith(shortChannelId)) {
                return System.nanoTime() - entry.getValue() > limit;
            }
        }
        return false;
    }
}
