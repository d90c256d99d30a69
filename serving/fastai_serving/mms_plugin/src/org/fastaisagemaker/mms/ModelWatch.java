package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.wlm.Model;
import com.amazonaws.ml.mms.wlm.ModelManager;
import com.amazonaws.ml.mms.wlm.WorkerState;
import com.amazonaws.ml.mms.wlm.WorkerThread;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks at the workers ten times a second: notes that the model is loaded, ends workers that don't answer, and the process
 * when there is no hope of a worker.
 */
final class ModelWatch implements Runnable {
    private static final Logger LOGGER = LoggerFactory.getLogger(ModelWatch.class);
    /** Milliseconds between two looks at the workers. */
    private static final long INTERVAL = 100;
    /** Milliseconds without a single worker after which the process gives up. */
    private static final long HOPELESS = 20_000;
    /** Deaths while loading after which the process gives up. */
    private static final int DEATHS = 3;

    /** When watching began: of System.nanoTime, and of System.currentTimeMillis. */
    private final long start = System.nanoTime();
    private final long begin = System.currentTimeMillis();
    /** When a worker was last seen that can answer (System.currentTimeMillis). */
    private long served = begin;
    /** How a process that loaded the start-up model ended, the last time that one did. */
    private LoadFailure.Death lastDeath;
    private Process lastParent;
    private int parentDeaths;

    private ModelWatch() {}

    /** Begins to watch in a thread of its own, before anything that may take long. */
    static void begin() {
        WorkerLines.remember();
        Thread watch = new Thread(new ModelWatch(), "watch");
        watch.setDaemon(true);
        watch.start();
    }

    @Override
    public void run() {
        while (true) {
            look();
            try {
                Thread.sleep(INTERVAL);
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    private void look() {
        boolean there = ModelManager.getInstance() != null;
        Memory.shortSince(0); // notes the time of a kill
        IdleMemory.look();
        if (there) {
            ModelManager.getInstance().getModels().values().forEach(ModelWatch::endOverdue);
            if (!Readiness.started() && !Settings.multiModel()) {
                endHopelessStart();
            }
        }
        long now = System.currentTimeMillis();
        int count = Settings.multiModel() ? 1 : there ? Workers.loaded(ModelLifecycle.SINGLE) : 0;
        if (count > 0) {
            served = now;
        }
        if (!Readiness.started() && count >= Settings.WORKERS) {
            Readiness.start();
            LOGGER.info("ready after {} ms: {} workers", now - begin, count);
        }
        if (!Readiness.started() && now - begin > Settings.STARTUP_SECONDS * 1000L) {
            FatalError.exit(
                    "the model was not loaded in " + Settings.STARTUP_SECONDS
                            + " s; SAGEMAKER_STARTUP_TIMEOUT sets another limit");
        }
        if (Readiness.started() && !InFlight.draining() && now - served > HOPELESS) {
            FatalError.exit("no worker came up again in " + HOPELESS / 1000 + " s");
        }
    }

    /** Ends workers that don't answer; multi-model-server sees it and starts others. */
    private static void endOverdue(Model model) {
        for (WorkerThread worker : ModelManager.getInstance().getWorkers(model.getModelName())) {
            String channel = Workers.channel(worker);
            if (channel == null || worker.getPid() <= 0 || worker.getState() != WorkerState.WORKER_MODEL_LOADED) {
                continue;
            }
            if (((BatchingModel) model).overdue(channel)) {
                LOGGER.warn("worker {} did not answer in time and is ended", worker.getPid());
                ProcessHandle.of(worker.getPid()).ifPresent(ProcessHandle::destroyForcibly);
            }
        }
    }

    /** Ends the process when workers died again and again while they loaded the start-up model. */
    private void endHopelessStart() {
        Model model = ModelManager.getInstance().getModels().get(ModelLifecycle.SINGLE);
        if (model == null || model.getServerThread() == null) {
            return;
        }
        LoadFailure.Death death = LoadFailure.death(model);
        if (death != null) {
            lastDeath = death;
        }
        Process parent = model.getServerThread().getLifeCycle().getProcess();
        if (parent != null && !parent.isAlive() && parent != lastParent) {
            lastParent = parent;
            parentDeaths++;
        }
        // Each order to load beyond the first of each worker is one that a death made necessary.
        int deaths = ((BatchingModel) model).attempts() - Settings.WORKERS;
        if (parentDeaths >= DEATHS || deaths >= Math.max(DEATHS, Settings.WORKERS + 1)) {
            FatalError.exit(LoadFailure.of(model, lastDeath, start).reason);
        }
    }
}
