package org.fastaisagemaker.mms;

import java.lang.management.ManagementFactory;
import java.util.concurrent.TimeUnit;

/**
 * Gives memory back after large bodies, or models that were unloaded: the collector shrinks the heap at a full
 * collection alone, and none comes by itself when there is nothing to do.
 */
final class IdleMemory {
    /** Nanoseconds of hardly any traffic after which a pause of some 30 ms holds up nobody. */
    private static final long QUIET = TimeUnit.SECONDS.toNanos(10);
    /** Bytes of bodies and answers in that time that are hardly any. */
    private static final long LITTLE = 4L << 20;
    /** Bytes that the heap must have grown by to be worth it. */
    private static final long GROWN = 16L << 20;

    private static long least = committed();
    private static long begin = System.nanoTime();
    private static long carried;

    private IdleMemory() {}

    /** Called again and again. */
    static void look() {
        long now = InFlight.carried();
        if (now - carried > LITTLE) {
            carried = now;
            begin = System.nanoTime();
        } else if (System.nanoTime() - begin > QUIET) {
            carried = now;
            begin = System.nanoTime();
            if (committed() > least + GROWN) {
                System.gc();
                // Where even this left more, so much is in use: don't try again before it has grown more.
                least = committed();
            }
        }
    }

    private static long committed() {
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getCommitted();
    }
}
