package org.fastaisagemaker.mms;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;

/**
 * Sees a request's head and the pieces of its body before they are put together: refuses one that is too large (413)
 * or for which there is no memory now (503), and reads a refused body to its end so that the client, which is still
 * sending, gets the answer and not a reset connection.
 */
final class RequestGate extends ChannelInboundHandlerAdapter {
    /** Bytes of the request that is arriving, counted in InFlight. */
    private long held;
    private boolean arriving;
    private Refusal refusal;
    private long discarded;

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        if (message instanceof HttpRequest) {
            InFlight.begin();
            arriving = true;
            head((HttpRequest) message);
            if (refusal != null) {
                if (HttpUtil.is100ContinueExpected((HttpRequest) message)) {
                    // The body was not sent yet, and after this answer it need not be.
                    ReferenceCountUtil.release(message);
                    refuse(context, refusal.asLast());
                    return;
                }
                if (!(message instanceof LastHttpContent)) {
                    ReferenceCountUtil.release(message);
                    return;
                }
            }
        }
        if (message instanceof HttpContent && arriving && refusal == null) {
            piece((HttpContent) message);
        }
        if (refusal != null) {
            discard(context, message);
            return;
        }
        if (message instanceof LastHttpContent) {
            // Whole: whoever answers it ends it and gives its bytes back.
            arriving = false;
            held = 0;
        }
        context.fireChannelRead(message);
    }

    private void head(HttpRequest request) {
        held = 0;
        discarded = 0;
        refusal = null;
        long length;
        try {
            length = HttpUtil.getContentLength(request, 0L);
        } catch (NumberFormatException e) {
            return; // the codec has marked the request as broken
        }
        if (length > Settings.MAX_REQUEST) {
            refusal = tooLarge();
        }
    }

    private void piece(HttpContent content) {
        int bytes = content.content().readableBytes();
        if (held + bytes > Settings.MAX_REQUEST) {
            refusal = tooLarge();
        } else if (InFlight.hold(bytes)) {
            held += bytes;
        } else {
            refusal = new Refusal(503, "busy", "the server holds as many requests as it has memory for; try again");
        }
        if (refusal != null) {
            InFlight.release(held);
            held = 0;
        }
    }

    private void discard(ChannelHandlerContext context, Object message) {
        boolean end = message instanceof LastHttpContent;
        if (message instanceof HttpContent) {
            discarded += ((HttpContent) message).content().readableBytes();
        }
        ReferenceCountUtil.release(message);
        if (end) {
            refuse(context, refusal);
        } else if (discarded > Settings.MAX_DISCARDED) {
            refuse(context, refusal.asLast());
        }
    }

    private void refuse(ChannelHandlerContext context, Refusal why) {
        if (!arriving) {
            return;
        }
        arriving = false;
        if (why.last) {
            discarded = Long.MIN_VALUE; // what still comes is thrown away until the connection is closed
        } else {
            refusal = null;
        }
        // The aggregator may have seen the head and waits for pieces: a new one is put in its place.
        Server.renewAggregator(context.pipeline());
        context.fireChannelRead(why);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) throws Exception {
        if (event == Stop.TIME_IS_UP && arriving) {
            InFlight.release(held);
            held = 0;
            refusal = Stop.refusal().asLast();
            refuse(context, refusal);
        }
        super.userEventTriggered(context, event);
    }

    private static Refusal tooLarge() {
        return new Refusal(
                413,
                "too_large",
                "the request's body is larger than " + Settings.MAX_REQUEST + " bytes, the limit that "
                        + "SAGEMAKER_MAX_PAYLOAD_IN_MB sets; send a smaller picture");
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        if (arriving) {
            arriving = false;
            InFlight.release(held);
            InFlight.end();
        }
        context.fireChannelInactive();
    }
}
