package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.wlm.ModelManager;
import com.amazonaws.ml.mms.wlm.WorkerState;
import com.amazonaws.ml.mms.wlm.WorkerThread;

/** The worker processes of a model, as multi-model-server knows them. */
final class Workers {
    private Workers() {}

    /** How many workers of a model can answer now. */
    static int loaded(String model) {
        int count = 0;
        for (WorkerThread worker : ModelManager.getInstance().getWorkers(model)) {
            if (worker.getState() == WorkerState.WORKER_MODEL_LOADED) {
                count++;
            }
        }
        return count;
    }

    /** The end of the id of the channel to a worker, or null before it has one. */
    static String channel(WorkerThread worker) {
        String id = worker.getWorkerId();
        return id == null ? null : id.substring(id.lastIndexOf('-') + 1);
    }
}
