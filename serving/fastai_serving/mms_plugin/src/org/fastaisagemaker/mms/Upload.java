package org.fastaisagemaker.mms;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * A body on its way: the memory that it has (counted in InFlight), and how long more of it is waited for. When memory is
 * short, uploads that have come to a halt lose theirs to those that go on.
 */
final class Upload {
    static final long WAIT = TimeUnit.SECONDS.toNanos(Settings.BODY_SECONDS);
    /** Nanoseconds that a byte buys: 4 kB/s keep an upload alive for ever, less makes it end after WAIT or somewhat more. */
    private static final long PER_BYTE = TimeUnit.SECONDS.toNanos(1) / 4096;
    /** Nanoseconds behind the least rate from which on an upload's memory is given to others. */
    private static final long HALTED = TimeUnit.SECONDS.toNanos(1);

    private static final Set<Upload> UPLOADS = ConcurrentHashMap.newKeySet();

    /** Told, on any thread, that the memory was taken away. */
    private final Runnable lost;

    private long held;
    private boolean over;
    private volatile long until = System.nanoTime() + WAIT;

    Upload(Runnable lost) {
        this.lost = lost;
        UPLOADS.add(this);
    }

    /** What the request is told whose memory was given to others. */
    static HttpError halted() {
        String message = "the request's body came to a halt, and its memory was needed for others; try again";
        return new HttpError(ErrorCode.REQUEST_TIMEOUT, message, true);
    }

    void received(long bytes) {
        until = Math.min(System.nanoTime() + WAIT, until + bytes * PER_BYTE);
    }

    boolean overdue() {
        return System.nanoTime() - until > 0;
    }

    /** Whether there was room for so many more bytes. */
    boolean hold(long bytes) {
        while (!InFlight.hold(bytes)) {
            if (!takeFromHalted()) {
                return false;
            }
        }
        synchronized (this) {
            if (!over) {
                held += bytes;
                return true;
            }
        }
        InFlight.release(bytes);
        return false;
    }

    private boolean takeFromHalted() {
        long now = System.nanoTime();
        Upload worst = null;
        for (Upload upload : UPLOADS) {
            boolean halted = now + WAIT - upload.until > HALTED;
            if (halted && upload != this && upload.holds() && (worst == null || upload.until - worst.until < 0)) {
                worst = upload;
            }
        }
        if (worst == null) {
            return false;
        }
        if (worst.end(0)) {
            worst.lost.run();
        }
        return true;
    }

    private synchronized boolean holds() {
        return held > 0;
    }

    /** Gives its memory back but for {@code kept} bytes, which are its request's from now on; false when it had ended. */
    synchronized boolean end(long kept) {
        if (over) {
            return false;
        }
        over = true;
        UPLOADS.remove(this);
        InFlight.release(held - kept);
        held = 0;
        return true;
    }
}
