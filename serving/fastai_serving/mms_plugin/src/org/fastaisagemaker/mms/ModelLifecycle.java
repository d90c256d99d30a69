package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.archive.ModelArchive;
import com.amazonaws.ml.mms.util.ConfigManager;
import com.amazonaws.ml.mms.wlm.Model;
import com.amazonaws.ml.mms.wlm.ModelManager;
import com.amazonaws.ml.mms.wlm.WorkerState;
import com.amazonaws.ml.mms.wlm.WorkerThread;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Loads and unloads models in MMS and knows whether they can answer. */
final class ModelLifecycle {
    private static final Logger LOGGER = LoggerFactory.getLogger(ModelLifecycle.class);
    private static final String SINGLE = "model";
    /** Milliseconds between two looks at the workers. */
    private static final long WATCH = 100;
    /** Milliseconds without a single worker after which the process gives up. */
    private static final long HOPELESS = 20_000;

    /** Deaths while loading after which the process gives up. */
    private static final int DEATHS = 3;

    /** How a process that loaded the start-up model ended, the last time that one did. */
    private static LoadFailure.Death lastDeath;
    private static Process lastParent;
    private static int parentDeaths;
    /** Whether every worker of the start-up model was loaded once. */
    private static volatile boolean started;

    private ModelLifecycle() {}

    /** Begins to watch the start, before anything that may take long. */
    static void watchStart() {
        WorkerLines.remember();
        Thread watch = new Thread(ModelLifecycle::watch, "watch");
        watch.setDaemon(true);
        watch.start();
    }

    static void start() throws Exception {
        if (Settings.multiModel()) {
            started = true;
            return;
        }
        register(SINGLE, Settings.MODEL);
        ModelManager.getInstance().getStartupModels().add(SINGLE);
    }

    /** Starts a model's Python parent and its workers; the future's status is 200 when every worker has loaded it. */
    static CompletableFuture<HttpResponseStatus> register(String name, String folder) throws Exception {
        ModelManager manager = ModelManager.getInstance();
        ModelArchive archive = ModelArchive.downloadModel("/", folder);
        archive.getManifest().getModel().setModelName(name);
        archive.getManifest().getModel().setHandler(Settings.HANDLER);
        archive.validate();
        int queueSize = ConfigManager.getInstance().getJobQueueSize();
        boolean script = Settings.SCRIPT || Settings.multiModel() && Files.isDirectory(Path.of(folder, "code"));
        BatchingModel model = new BatchingModel(archive, queueSize, Settings.PRELOAD, script);
        manager.getModels().put(name, model);
        manager.startBackendServer(model);
        mendServerThread(model);
        return manager.updateModel(name, Settings.WORKERS, Settings.WORKERS);
    }

    /**
     * The thread that waits for a model's Python parent would start a new one when it ends, but falls over a channel
     * that it never had (a null pointer), and from then on no worker can be replaced. So it gets one.
     */
    private static void mendServerThread(Model model) throws ReflectiveOperationException {
        Field channel = WorkerThread.class.getDeclaredField("backendChannel");
        channel.setAccessible(true);
        channel.set(model.getServerThread(), new EmbeddedChannel());
    }

    /** Ends a model's processes and comes back when they are gone. False when there is no such model. */
    static boolean unregister(String name) {
        Model model = ModelManager.getInstance().getModels().get(name);
        if (model == null) {
            return false;
        }
        List<ProcessHandle> processes = new ArrayList<>();
        List<String> channels = new ArrayList<>();
        for (WorkerThread worker : ModelManager.getInstance().getWorkers(name)) {
            String id = String.valueOf(worker.getWorkerId());
            channels.add(id.substring(id.lastIndexOf('-') + 1));
            if (worker.getPid() > 0) {
                ProcessHandle.of(worker.getPid()).ifPresent(processes::add);
            }
        }
        Process parent = model.getServerThread().getLifeCycle().getProcess();
        if (parent != null) {
            parent.toHandle().descendants().forEach(processes::add);
            processes.add(parent.toHandle());
        }
        ModelManager.getInstance().unregisterModel(name);
        for (ProcessHandle process : processes) {
            process.destroyForcibly();
        }
        for (ProcessHandle process : processes) {
            try {
                process.onExit().get(5, TimeUnit.SECONDS);
            } catch (TimeoutException e) {
                LOGGER.warn("process {} of model {} is still there", process.pid(), name);
            } catch (Exception e) {
                LOGGER.debug("process {}", process.pid(), e);
            }
        }
        removePipes(channels);
        return true;
    }

    /** A worker that is killed leaves the two pipes behind that its output went through. */
    private static void removePipes(List<String> channels) {
        File[] files = new File(Settings.STATE).listFiles();
        for (File file : files == null ? new File[0] : files) {
            for (String channel : channels) {
                boolean pipe = file.getName().endsWith(channel + "-stdout") || file.getName().endsWith(channel + "-stderr");
                if (pipe && !file.delete()) {
                    LOGGER.debug("{} is still there", file);
                }
            }
        }
    }

    /** How many workers of a model can answer now. */
    static int loaded(String name) {
        int count = 0;
        for (WorkerThread worker : ModelManager.getInstance().getWorkers(name)) {
            if (worker.getState() == WorkerState.WORKER_MODEL_LOADED) {
                count++;
            }
        }
        return count;
    }

    /** Whether the model was loaded once: from then on requests wait for a worker that is being started again. */
    static boolean started() {
        return started;
    }

    /** Why requests can't be answered now, or null when they can. */
    static HttpError unhealthy() {
        if (InFlight.draining()) {
            return new HttpError(ErrorCode.STOPPING, "the server is stopping");
        }
        if (!started) {
            int count = ModelManager.getInstance() == null ? 0 : loaded(SINGLE);
            String message = count + " of " + Settings.WORKERS + " workers have loaded the model";
            return new HttpError(ErrorCode.LOADING, message);
        }
        if (!Settings.multiModel() && loaded(SINGLE) == 0) {
            return new HttpError(ErrorCode.NO_WORKER, "no worker is up; they are being started again");
        }
        return null;
    }

    /** What a worker wrote about why it could not load the model, without line breaks; null when it wrote nothing. */
    static String failure(String name) {
        Path path = Path.of(Settings.STATE, "load-failure-" + name);
        try {
            String reason = Files.readString(path, StandardCharsets.UTF_8);
            Files.delete(path);
            return reason.strip().replace('\n', ' ');
        } catch (IOException e) {
            return null;
        }
    }

    /** Ends workers that don't answer; multi-model-server sees it and starts others. */
    private static void endOverdue(Model model) {
        for (WorkerThread worker : ModelManager.getInstance().getWorkers(model.getModelName())) {
            String id = worker.getWorkerId();
            if (id == null || worker.getPid() <= 0 || worker.getState() != WorkerState.WORKER_MODEL_LOADED) {
                continue;
            }
            if (((BatchingModel) model).overdue(id.substring(id.lastIndexOf('-') + 1))) {
                LOGGER.warn("worker {} did not answer in time and is ended", worker.getPid());
                ProcessHandle.of(worker.getPid()).ifPresent(ProcessHandle::destroyForcibly);
            }
        }
    }

    /** Ends the process when workers died again and again while they loaded the start-up model. */
    private static void endHopelessStart(long begin) {
        Model model = ModelManager.getInstance().getModels().get(SINGLE);
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
            Server.fail(LoadFailure.of(model, lastDeath, begin).reason);
        }
    }

    private static void watch() {
        long start = System.nanoTime();
        long begin = System.currentTimeMillis();
        long served = begin;
        while (true) {
            boolean there = ModelManager.getInstance() != null;
            Memory.shortSince(0); // notes the time of a kill
            IdleMemory.look();
            if (there) {
                ModelManager.getInstance().getModels().values().forEach(ModelLifecycle::endOverdue);
                if (!started && !Settings.multiModel()) {
                    endHopelessStart(start);
                }
            }
            long now = System.currentTimeMillis();
            int count = Settings.multiModel() ? 1 : there ? loaded(SINGLE) : 0;
            if (count > 0) {
                served = now;
            }
            if (!started && count >= Settings.WORKERS) {
                started = true;
                LOGGER.info("ready after {} ms: {} workers", now - begin, count);
            }
            if (!started && now - begin > Settings.STARTUP_SECONDS * 1000L) {
                Server.fail(
                        "the model was not loaded in " + Settings.STARTUP_SECONDS
                                + " s; SAGEMAKER_STARTUP_TIMEOUT sets another limit");
            }
            if (started && !InFlight.draining() && now - served > HOPELESS) {
                Server.fail("no worker came up again in " + HOPELESS / 1000 + " s");
            }
            try {
                Thread.sleep(WATCH);
            } catch (InterruptedException e) {
                return;
            }
        }
    }
}
