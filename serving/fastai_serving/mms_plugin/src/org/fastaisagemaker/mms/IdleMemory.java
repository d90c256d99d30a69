package org.fastaisagemaker.mms;

import java.lang.management.ManagementFactory;
import java.util.concurrent.TimeUnit;

/**
 * Gives memory back after large bodies, or models that were unloaded: the collector shrinks the heap at a full
 * collection alone, and none comes by itself when there is nothing to do.
 */
final class IdleMemory {
    /** Nanoseconds of hardly any traffic after which a pause of some 30 ms holds up nobody. */
    private static final long QUIET = TimeUnit.SECONDS.toNanos(12);
    /** Bytes of bodies and answers in that time that are hardly any. */
    private static final long LITTLE = 4L << 20;
    /** Bytes more than at the start that are worth it. */
    private static final long GROWN = 16L << 20;
    /** Collections after each busy time: threads let go of what they had last, and each generation shrinks by turns. */
    private static final int COLLECTIONS = 4;

    private static final long AT_START = committed();
    private static long begin = System.nanoTime();
    private static long carried;
    private static int left;

    private IdleMemory() {}

    /** Called again and again. */
    static void look() {
        long now = InFlight.carried();
        boolean busy = now - carried > LITTLE;
        if (!busy && System.nanoTime() - begin < QUIET) {
            return;
        }
        carried = now;
        begin = System.nanoTime();
        if (busy) {
            left = COLLECTIONS;
        } else if (left > 0 && committed() > AT_START + GROWN) {
            left--;
            System.gc();
        }
    }

    private static long committed() {
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getCommitted();
    }
}
