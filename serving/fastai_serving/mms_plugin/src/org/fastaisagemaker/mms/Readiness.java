package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.wlm.ModelManager;

/** Whether requests can be answered, and if not, why. */
final class Readiness {
    /** Whether every worker of the one model was loaded once, or models may be loaded by request. */
    private static volatile boolean started;

    private Readiness() {}

    /** From now on requests wait for a worker that is being started again. */
    static void start() {
        started = true;
    }

    static boolean started() {
        return started;
    }

    /** Why requests can't be answered now, or null when they can. */
    static HttpError unhealthy() {
        if (InFlight.draining()) {
            return new HttpError(ErrorCode.STOPPING, Stopping.MESSAGE);
        }
        if (!started) {
            int count = ModelManager.getInstance() == null ? 0 : Workers.loaded(ModelLifecycle.SINGLE);
            String message = count + " of " + Settings.WORKERS + " workers have loaded the model";
            return new HttpError(ErrorCode.LOADING, message);
        }
        if (!Settings.multiModel() && Workers.loaded(ModelLifecycle.SINGLE) == 0) {
            return new HttpError(ErrorCode.NO_WORKER, "no worker is up; they are being started again");
        }
        return null;
    }
}
