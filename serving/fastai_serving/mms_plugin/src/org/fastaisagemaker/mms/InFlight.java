package org.fastaisagemaker.mms;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** What is being worked on: requests begun and not answered, and the bytes of their bodies. */
final class InFlight {
    private static final AtomicInteger REQUESTS = new AtomicInteger();
    private static final AtomicLong BYTES = new AtomicLong();
    /** All bytes ever held. */
    private static final AtomicLong CARRIED = new AtomicLong();
    /** Requests that each model of a multi-model endpoint has now. */
    private static final Map<String, Integer> INVOKING = new ConcurrentHashMap<>();
    private static volatile boolean draining;

    private InFlight() {}

    static void begin() {
        REQUESTS.incrementAndGet();
    }

    static void end() {
        REQUESTS.decrementAndGet();
    }

    static int requests() {
        return REQUESTS.get();
    }

    /** Whether there was room for so many more bytes; then they count until they are released. */
    static boolean hold(long bytes) {
        if (BYTES.addAndGet(bytes) <= Settings.MAX_HELD) {
            CARRIED.addAndGet(bytes);
            return true;
        }
        BYTES.addAndGet(-bytes);
        return false;
    }

    static void release(long bytes) {
        BYTES.addAndGet(-bytes);
    }

    /** An answer of so many bytes came. */
    static void answered(long bytes) {
        CARRIED.addAndGet(bytes);
    }

    static long carried() {
        return CARRIED.get();
    }

    /** A request to this model of a multi-model endpoint has begun. */
    static void invoke(String model) {
        INVOKING.merge(model, 1, Integer::sum);
    }

    /** A request to this model has ended. */
    static void invoked(String model) {
        INVOKING.computeIfPresent(model, (name, count) -> count > 1 ? count - 1 : null);
    }

    /** How many requests this model has now. */
    static int invoking(String model) {
        return INVOKING.getOrDefault(model, 0);
    }

    static void drain() {
        draining = true;
    }

    static boolean draining() {
        return draining;
    }
}
