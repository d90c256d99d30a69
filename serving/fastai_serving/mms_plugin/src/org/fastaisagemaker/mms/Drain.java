package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.wlm.Model;
import com.amazonaws.ml.mms.wlm.ModelManager;
import io.netty.channel.Channel;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What happens after SIGTERM: no more connections are taken, and what is in flight is answered. What can't be done in
 * the time that is left is refused as soon as that shows.
 */
final class Drain {
    /** The connections that there are now. */
    static final ChannelGroup CONNECTIONS = new DefaultChannelGroup("connections", GlobalEventExecutor.INSTANCE, true);

    private static final Logger LOGGER = LoggerFactory.getLogger(Drain.class);
    /** Milliseconds; connections that are idle when draining begins may still bring a request that was on its way. */
    private static final long GRACE = 500;
    /** Milliseconds for the last refusals to reach their clients. */
    private static final long LAST_WORDS = 1500;

    private Drain() {}

    /** Returns when everything is answered; the process then ends. */
    static void run(Channel listening) {
        InFlight.drain();
        if (listening != null) {
            listening.close().awaitUninterruptibly(1000);
        }
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(Settings.DRAIN_SECONDS);
        int refused = 0;
        long quiet = System.nanoTime();
        // The number may touch zero between two requests of one connection.
        while (System.nanoTime() < end && System.nanoTime() - quiet < TimeUnit.MILLISECONDS.toNanos(GRACE)) {
            if (InFlight.requests() > 0) {
                quiet = System.nanoTime();
            }
            refused += refuseHopeless(end - System.nanoTime());
            if (!sleep()) {
                return;
            }
        }
        int left = InFlight.requests();
        if (refused + left > 0) {
            LOGGER.warn("{} requests could not be answered in {} s and were refused", refused + left, Settings.DRAIN_SECONDS);
        }
        CONNECTIONS.forEach(channel -> channel.pipeline().fireUserEventTriggered(Stopping.TIME_IS_UP));
        end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(LAST_WORDS);
        while (InFlight.requests() > 0 && System.nanoTime() < end && sleep()) {
            continue;
        }
    }

    private static int refuseHopeless(long left) {
        int refused = 0;
        for (Model model : ModelManager.getInstance().getModels().values()) {
            refused += ((BatchingModel) model).refuseHopeless(left);
        }
        return refused;
    }

    private static boolean sleep() {
        try {
            Thread.sleep(5);
            return true;
        } catch (InterruptedException e) {
            return false;
        }
    }
}
