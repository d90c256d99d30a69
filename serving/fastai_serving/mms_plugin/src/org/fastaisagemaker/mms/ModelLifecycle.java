package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.archive.ModelArchive;
import com.amazonaws.ml.mms.util.ConfigManager;
import com.amazonaws.ml.mms.wlm.Model;
import com.amazonaws.ml.mms.wlm.ModelManager;
import com.amazonaws.ml.mms.wlm.WorkerThread;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.io.File;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Loads and unloads models in MMS, with their processes. */
final class ModelLifecycle {
    private static final Logger LOGGER = LoggerFactory.getLogger(ModelLifecycle.class);
    /** The name that multi-model-server has for the one model of an ordinary endpoint. */
    static final String SINGLE = "model";

    private ModelLifecycle() {}

    /** Loads the one model of an ordinary endpoint. */
    static void loadSingle() throws Exception {
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
            channels.add(String.valueOf(Workers.channel(worker)));
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
}
