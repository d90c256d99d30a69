package org.fastaisagemaker.mms;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundBuffer;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * One connection's times: it is closed when nothing comes for too long, when a request comes too slowly, or when its
 * client doesn't take an answer; never while an answer is being computed. And how many there are: when there are too
 * many, the one that has been idle for the longest makes room.
 */
final class Connection {
    private static final long IDLE = TimeUnit.SECONDS.toNanos(Settings.IDLE_SECONDS);
    /** Nanoseconds between two looks. */
    private static final long LOOK =
            Math.min(TimeUnit.SECONDS.toNanos(5), Math.min(Upload.WAIT, IDLE) / 4);
    private static final Set<Connection> OPEN = ConcurrentHashMap.newKeySet();

    /** How far the request of a connection has come. */
    interface Progress {
        boolean isReadingHead();

        /** The body that is arriving, or null. */
        Upload currentUpload();

        boolean isAnswering();

        /** Gives up what is arriving, and the connection with it. */
        void fail(HttpError why);
    }

    private final Progress reader;
    private ChannelHandlerContext context;
    private ScheduledFuture<?> looking;
    /** Since when (System.nanoTime) there is nothing to do, or the client has taken nothing of an answer. */
    private volatile long idleSince;
    private volatile boolean idle;
    private long headSince;
    /** How far the sending of answers was at the last look. */
    private long sent = -1;

    Connection(Progress reader) {
        this.reader = reader;
    }

    void open(ChannelHandlerContext context) {
        this.context = context;
        idle();
        looking = context.executor().scheduleWithFixedDelay(this::look, LOOK, LOOK, TimeUnit.NANOSECONDS);
        OPEN.add(this);
        if (OPEN.size() > Settings.MAX_CONNECTIONS && !closeLongestIdle()) {
            reader.fail(new HttpError(ErrorCode.BUSY, "there are as many connections as may be; try again", true));
        }
    }

    private boolean closeLongestIdle() {
        Connection longest = null;
        for (Connection other : OPEN) {
            if (other != this && other.idle && (longest == null || other.idleSince - longest.idleSince < 0)) {
                longest = other;
            }
        }
        if (longest == null) {
            return false;
        }
        Connection chosen = longest;
        OPEN.remove(chosen);
        chosen.context.executor().execute(chosen::closeIfIdle);
        return true;
    }

    private void closeIfIdle() {
        if (idle) {
            context.close();
        } else if (context.channel().isActive()) {
            OPEN.add(this); // a request came just now
        }
    }

    void over() {
        OPEN.remove(this);
        if (looking != null) {
            looking.cancel(false);
        }
    }

    void headBegins() {
        headSince = System.nanoTime();
    }

    /** A request has begun, or is being answered. */
    void busy() {
        idle = false;
    }

    void idle() {
        idleSince = System.nanoTime();
        idle = true;
    }

    /** The times of a body that begins now. */
    Upload upload() {
        Upload[] made = new Upload[1];
        made[0] = new Upload(() -> context.executor().execute(() -> lost(made[0])));
        return made[0];
    }

    private void lost(Upload upload) {
        if (reader.currentUpload() == upload) {
            reader.fail(Upload.halted());
        }
    }

    private void look() {
        long now = System.nanoTime();
        boolean sending = isSending(now);
        boolean late = now - idleSince > IDLE; // after isSending, which may move it
        Upload upload = reader.currentUpload();
        if (reader.isAnswering()) {
            if (sending && late) {
                context.close();
            }
        } else if (upload != null) {
            if (upload.overdue()) {
                reader.fail(tooSlow("body"));
            }
        } else if (reader.isReadingHead()) {
            if (now - headSince > Upload.WAIT) {
                reader.fail(tooSlow("head"));
            }
        } else if (late) {
            context.close();
        }
    }

    private static HttpError tooSlow(String part) {
        String message =
                "the request's " + part + " did not arrive in time; the limit of FASTAI_SAGEMAKER_BODY_TIMEOUT is "
                        + Settings.BODY_SECONDS + " s without progress";
        return new HttpError(ErrorCode.REQUEST_TIMEOUT, message, true);
    }

    /** Whether there is something that the client has not taken; notes when it took the last of it. */
    private boolean isSending(long now) {
        Channel channel = context.channel();
        ChannelOutboundBuffer out = channel.unsafe().outboundBuffer();
        if (out == null || out.isEmpty()) {
            sent = -1;
            return false;
        }
        long reached = 31 * out.totalPendingWriteBytes() + out.currentProgress();
        if (reached != sent) {
            sent = reached;
            idleSince = now;
        }
        return true;
    }
}
