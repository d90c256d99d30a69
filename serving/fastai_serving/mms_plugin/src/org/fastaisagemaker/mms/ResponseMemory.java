package org.fastaisagemaker.mms;

import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Room for the workers' answers. One is in the heap from when it comes in until its worker asks for the next batch, and
 * from then on beside the heap until its client has read it, which the client may put off.
 */
public final class ResponseMemory {
    /** Bytes of one answer. */
    public static final long LARGEST = Settings.MAX_ANSWERS;

    /** Bytes; so small an answer is always taken. */
    private static final int SMALL = 64 * 1024;
    private static final BufferPoolMXBean DIRECT =
            ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class).stream()
                    .filter(pool -> pool.getName().equals("direct"))
                    .findFirst()
                    .orElseThrow();

    private static final AtomicLong BYTES = new AtomicLong();
    /** Of BYTES, what came from each worker, by the id of its channel. */
    private static final Map<String, Long> HELD = new ConcurrentHashMap<>();

    private ResponseMemory() {}

    /** Whether there is room for an answer of so many bytes; then it counts until its worker's are released. */
    public static boolean hold(String channel, int bytes) {
        InFlight.answered(bytes);
        if (bytes <= SMALL) {
            return true;
        }
        long all = BYTES.addAndGet(bytes);
        if (all > Settings.MAX_ANSWERS || DIRECT.getMemoryUsed() + all > Settings.MAX_DIRECT) {
            BYTES.addAndGet(-bytes);
            return false;
        }
        HELD.merge(channel, (long) bytes, Long::sum);
        return true;
    }

    /** The answers of this worker have left the heap. */
    public static void release(String channel) {
        Long bytes = HELD.remove(channel);
        if (bytes != null) {
            BYTES.addAndGet(-bytes);
        }
    }
}
