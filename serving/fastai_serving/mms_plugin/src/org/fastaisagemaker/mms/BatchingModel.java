package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.archive.ModelArchive;
import com.amazonaws.ml.mms.util.messages.InputParameter;
import com.amazonaws.ml.mms.wlm.Job;
import com.amazonaws.ml.mms.wlm.Model;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.ArrayList;
import java.util.List;
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
final class BatchingModel extends Model {
    /** How many workers have something to do, this one among them: a lone request may use every core. */
    static final String BUSY = "x-fastai-busy";

    private final LinkedBlockingDeque<Job> queue = new LinkedBlockingDeque<>();
    private final int queueSize;
    /** Whether a batch's requests are worked on one after the other. */
    private final boolean script;
    /** A worker's order to load, by the id of the worker's channel. */
    private final Map<String, Job> orders = new ConcurrentHashMap<>();
    /** The batch that a worker is working on, by the id of its channel. */
    private final Map<String, Batch> working = new ConcurrentHashMap<>();
    private final AtomicInteger idle = new AtomicInteger();
    private final AtomicInteger attempts = new AtomicInteger();
    /** Nanoseconds that a worker takes for a request, smoothed; 0 before the first. */
    private volatile long pace;

    BatchingModel(ModelArchive archive, int queueSize, boolean preload, boolean script) {
        super(archive, queueSize, String.valueOf(preload));
        this.queueSize = queueSize;
        this.script = script;
        setBatchSize(script ? Settings.SCRIPT_BATCH_SIZE : Settings.BATCH_SIZE);
        setMaxBatchDelay(Settings.BATCH_DELAY);
    }

    /** Timeout for any worker response, model loading included; ModelWatch sees to overdue requests. */
    @Override
    public int getResponseTimeoutSeconds() {
        long longest = TimeUnit.NANOSECONDS.toSeconds(limit(getBatchSize())) + 60;
        return (int) Math.min(Integer.MAX_VALUE, Math.max(Settings.STARTUP_SECONDS, longest));
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
        return queue.size() < queueSize && queue.offer(job);
    }

    @Override
    public void addFirst(Job job) {
        queue.addFirst(job);
    }

    @Override
    public void pollBatch(String channel, long wait, Map<String, Job> batch) throws InterruptedException {
        finished(channel);
        Job order = orders.remove(channel);
        if (order != null) {
            attempts.incrementAndGet();
            batch.put(order.getJobId(), order);
            return;
        }
        List<Job> jobs = new ArrayList<>();
        idle.incrementAndGet();
        try {
            jobs.add(queue.take());
        } finally {
            if (jobs.isEmpty()) {
                idle.decrementAndGet();
            }
        }
        if (getMaxBatchDelay() > 0) {
            idle.decrementAndGet();
            collect(jobs);
        } else {
            share(jobs);
        }
        int busy = queue.isEmpty() ? Settings.WORKERS - idle.get() : Settings.WORKERS;
        jobs.get(0).getPayload().updateHeaders(BUSY, String.valueOf(Math.max(1, busy)));
        Batch taken = new Batch();
        for (Job job : jobs) {
            Attempt attempt = new Attempt(job, jobs.size(), this::addFirst);
            taken.attempts.add(attempt);
            batch.put(attempt.getJobId(), attempt);
        }
        working.put(channel, taken);
    }

    private void finished(String channel) {
        ResponseMemory.release(channel);
        Batch batch = working.remove(channel);
        if (batch != null) {
            long each = batch.each();
            pace = pace == 0 ? each : (3 * pace + each) / 4;
        }
    }

    /** Takes this worker's share of what waits; one worker at a time, so that each is counted once. */
    private synchronized void share(List<Job> jobs) {
        int waiters = idle.getAndDecrement();
        int most = Math.min(getBatchSize(), (queue.size() + waiters) / waiters);
        Job job = null;
        do {
            job = jobs.size() < most ? queue.poll() : null;
        } while (job != null && add(jobs, job));
    }

    private void collect(List<Job> jobs) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(getMaxBatchDelay());
        try {
            Job job = null;
            do {
                long left = end - System.nanoTime();
                job = jobs.size() < getBatchSize() ? queue.poll(left, TimeUnit.NANOSECONDS) : null;
            } while (job != null && add(jobs, job));
        } catch (InterruptedException e) {
            jobs.forEach(queue::addFirst); // the worker has ended: another one takes them
            throw e;
        }
    }

    /** False when the job must not be in this batch; then it is the next to be taken. */
    private boolean add(List<Job> jobs, Job job) {
        long bytes = bytes(job) + jobs.stream().mapToLong(BatchingModel::bytes).sum();
        if (bytes > Settings.BATCH_BYTES || job instanceof Attempt.Alone || jobs.get(0) instanceof Attempt.Alone) {
            queue.addFirst(job);
            return false;
        }
        return jobs.add(job);
    }

    private static long bytes(Job job) {
        long bytes = 0;
        for (InputParameter parameter : job.getPayload().getParameters()) {
            bytes += parameter.getValue().length;
        }
        return bytes;
    }

    /** How often a worker was told to load the model. */
    int attempts() {
        return attempts.get();
    }

    /** Whether the worker with this channel has had its batch for longer than it may; its requests then know it too. */
    boolean overdue(String shortChannelId) {
        for (Map.Entry<String, Batch> entry : working.entrySet()) {
            Batch batch = entry.getValue();
            if (entry.getKey().endsWith(shortChannelId) && batch.age() > limit(batch.attempts.size())) {
                batch.attempts.forEach(Attempt::overdue);
                return true;
            }
        }
        return false;
    }

    /** Nanoseconds for a batch of so many requests: those that share a forward pass share a request's time. */
    private long limit(int requests) {
        return TimeUnit.SECONDS.toNanos((long) Settings.TIMEOUT_SECONDS * (script ? requests : 1));
    }

    /** Refuses those of the waiting requests, the latest first, that can't be done in so many nanoseconds. */
    int refuseHopeless(long left) {
        long each = pace;
        for (Batch batch : working.values()) {
            each = Math.max(each, batch.each());
        }
        if (each == 0) {
            return 0;
        }
        int refused = 0;
        long fit = left * Math.max(1, Workers.loaded(getModelName())) / each;
        while (queue.size() > fit) {
            Job job = queue.pollLast();
            if (job == null) {
                break;
            }
            job.sendError(HttpResponseStatus.SERVICE_UNAVAILABLE, Stopping.MESSAGE);
            refused++;
        }
        return refused;
    }

    private static final class Batch {
        private final long begin = System.nanoTime();
        private final List<Attempt> attempts = new ArrayList<>();

        long age() {
            return System.nanoTime() - begin;
        }

        long each() {
            return age() / attempts.size();
        }
    }
}
