package org.fastaisagemaker.mms;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import java.util.concurrent.TimeUnit;

/**
 * Makes whole requests of what a connection brings, one after the other: the next one is read once the last one is
 * answered. Stands in for Netty's decoder and aggregator, whose version in multi-model-server's jar takes bodies apart
 * that others read differently (docs/netty.md), and needs time quadratic in a body's pieces.
 *
 * <p>What can't be read, or comes too slowly, is answered and the connection closed. What is refused from its head is
 * read to its end, within limits, so that a client that is still sending gets the answer and not a reset connection.
 */
final class RequestReader extends ChannelInboundHandlerAdapter implements Connection.Progress {
    private static final int MAX_LINE = 8 * 1024;
    private static final int MAX_HEAD = 32 * 1024 + MAX_LINE;
    /** Bytes of all chunks' extensions: they are of no use to anybody. */
    private static final int MAX_EXTENSIONS = 16 * 1024;
    private static final int MAX_EMPTY_LINES = 4;
    /** Milliseconds in which a client may still read its answer after the connection was closed for writing. */
    private static final long LINGER = 2000;
    /**
     * Lines and chunks that are read at once; then other connections have their turn, and this one goes on after a
     * millisecond. Netty alone would let a client of tiny chunks keep the others of its thread waiting for many seconds.
     */
    private static final int MAX_STEPS = 4096;

    private enum State { HEAD, BODY, CHUNK_LINE, CHUNK, CHUNK_END, TRAILERS, CLOSED }

    /** What keeps an eye on this connection's times. */
    private final Connection connection = new Connection(this);

    private ChannelHandlerContext context;
    private State state = State.HEAD;
    /** While a request is being answered; what comes meanwhile is {@code rest}. */
    private boolean paused;
    /** While others have their turn. */
    private boolean resting;
    private ByteBuf rest;
    private boolean inputEnded;

    private final Lines lines = new Lines();
    private int emptyLines;

    /** The request that is arriving; null between two. */
    private HttpRequest request;
    private Body body;
    /** Bytes until the end of the body or of its chunk. */
    private long missing;
    /** Bytes of the body that were in the last piece that came. */
    private long taken;
    private int extensions;

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        this.context = context;
    }

    @Override
    public void channelActive(ChannelHandlerContext context) {
        connection.open(context);
        context.fireChannelActive();
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        ByteBuf in = (ByteBuf) message;
        if (!paused && !resting) {
            read(in);
            return;
        }
        context.channel().config().setAutoRead(false);
        if (rest == null) {
            rest = in;
        } else {
            ByteBuf joined = context.alloc().buffer(rest.readableBytes() + in.readableBytes());
            joined.writeBytes(rest).writeBytes(in);
            rest.release();
            in.release();
            rest = joined;
        }
    }

    private void read(ByteBuf in) {
        taken = 0;
        try {
            for (int steps = 0; in.isReadable() && !paused && state != State.CLOSED && steps < MAX_STEPS; steps++) {
                step(in);
            }
        } catch (HttpError why) {
            fail(why);
        }
        if (currentUpload() != null) {
            currentUpload().received(taken);
        }
        if (in.isReadable() && state != State.CLOSED) {
            rest = in;
            if (!paused) {
                resting = true;
                context.channel().config().setAutoRead(false);
                context.executor().schedule(this::rested, 1, TimeUnit.MILLISECONDS);
            }
        } else {
            in.release();
        }
    }

    private void rested() {
        if (resting) {
            resting = false;
            goOn();
        }
    }

    private void step(ByteBuf in) throws HttpError {
        switch (state) {
            case HEAD:
                head(in);
                break;
            case BODY:
                if (take(in)) {
                    end();
                }
                break;
            case CHUNK_LINE:
                chunkLine(in);
                break;
            case CHUNK:
                if (take(in)) {
                    missing = 2;
                    state = State.CHUNK_END;
                }
                break;
            case CHUNK_END:
                if (in.readByte() != (missing-- == 2 ? '\r' : '\n')) {
                    throw ChunkLine.broken();
                }
                state = missing == 0 ? State.CHUNK_LINE : state;
                break;
            default:
                trailers(in);
        }
    }

    private void head(ByteBuf in) throws HttpError {
        if (lines.size == 0) {
            connection.headBegins();
        }
        boolean first = lines.isFirst();
        boolean found =
                first
                        ? lines.gather(in, MAX_LINE, ErrorCode.URI_TOO_LONG)
                        : lines.gather(in, MAX_HEAD, ErrorCode.HEADERS_TOO_LARGE);
        if (!found) {
            return;
        }
        if (!lines.isEmpty()) {
            lines.next();
        } else if (!first) {
            RequestHead head = RequestHead.parse(lines.bytes, lines.size);
            lines.clear();
            begin(head, in.isReadable());
        } else if (lines.size == 2 && ++emptyLines <= MAX_EMPTY_LINES) {
            lines.clear(); // some clients end a body with one more line end
        } else {
            throw RequestHead.bad("it begins with empty lines");
        }
    }

    private void begin(RequestHead head, boolean bodyIsHere) throws HttpError {
        InFlight.begin();
        connection.busy();
        request = head.request;
        emptyLines = 0;
        extensions = 0;
        missing = head.length;
        HttpError refusal = refused(head);
        if (refusal != null && (head.waits || head.length > Settings.MAX_DISCARDED)) {
            throw refusal.asLast();
        }
        body = new Body(head, refusal, head.length == 0 ? null : connection.upload());
        if (head.length == 0) {
            end();
            return;
        }
        state = head.length == RequestHead.CHUNKED ? State.CHUNK_LINE : State.BODY;
        if (refusal == null && head.waits && !bodyIsHere) {
            context.writeAndFlush(new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.CONTINUE));
        }
    }

    private static HttpError refused(RequestHead head) {
        try {
            Routes.check(head.request, head.length != 0);
            return head.length > Settings.MAX_REQUEST ? Body.tooLarge() : null;
        } catch (HttpError why) {
            return why;
        }
    }

    private void chunkLine(ByteBuf in) throws HttpError {
        if (!lines.gather(in, MAX_LINE, ErrorCode.BAD_REQUEST)) {
            return;
        }
        missing = ChunkLine.size(lines.bytes, lines.size);
        if (missing > Settings.MAX_DISCARDED) {
            throw Body.tooLarge().asLast();
        }
        extensions += lines.size - Math.min(lines.size, 18); // a size has that many bytes at most, with its line end
        if (extensions > MAX_EXTENSIONS) {
            throw RequestHead.bad("its chunks have too many extensions");
        }
        lines.clear();
        state = missing == 0 ? State.TRAILERS : State.CHUNK;
    }

    /** Fields after the last chunk: their form is checked, and nothing uses them. */
    private void trailers(ByteBuf in) throws HttpError {
        if (!lines.gather(in, MAX_HEAD, ErrorCode.HEADERS_TOO_LARGE)) {
            return;
        }
        if (!lines.isEmpty()) {
            lines.next();
            return;
        }
        RequestHead.checkFields(lines.bytes, lines.size);
        lines.clear();
        end();
    }

    /** Takes what there is of the body or its chunk; whether that was all of it. */
    private boolean take(ByteBuf in) throws HttpError {
        int count = (int) Math.min(in.readableBytes(), missing);
        missing -= count;
        taken += count;
        body.take(in, count);
        return missing == 0;
    }

    /** The request is whole. */
    private void end() {
        Object whole = body.whole();
        request = null;
        body = null;
        state = State.HEAD;
        pass(whole);
    }

    private void pass(Object message) {
        connection.busy();
        paused = true;
        context.fireChannelRead(message);
    }

    /** Answers what can't be read to its end; nothing more is read from this connection. */
    @Override
    public void fail(HttpError why) {
        if (paused || state == State.CLOSED) {
            return;
        }
        if (request == null) {
            InFlight.begin();
        }
        HttpRequest head = request;
        forget();
        lines.clear();
        state = State.CLOSED;
        resting = false;
        pass(new RefusedRequest(head, why.last ? why : why.asLast()));
    }

    private void forget() {
        if (body != null) {
            body.drop();
        }
        request = null;
        body = null;
    }

    /** The answer is written: reads on. */
    void resume() {
        if (!paused || state == State.CLOSED) {
            return;
        }
        paused = false;
        connection.idle();
        goOn();
    }

    private void goOn() {
        ByteBuf in = rest;
        if (in != null) {
            rest = null;
            read(in);
        }
        if (!paused && !resting) {
            if (inputEnded) {
                inputEnds();
            } else {
                context.channel().config().setAutoRead(true);
            }
        }
    }

    /** Whether nothing can come any more and nothing waits. */
    boolean isLast() {
        return inputEnded && rest == null;
    }

    @Override
    public boolean isAnswering() {
        return paused;
    }

    @Override
    public boolean isReadingHead() {
        return lines.size > 0;
    }

    @Override
    public Upload currentUpload() {
        return body == null ? null : body.upload;
    }

    /** Closes the connection; where the client may still be sending, so that this does not cost it the answer. */
    void close() {
        boolean unread = rest != null || state == State.CLOSED || InFlight.draining();
        connection.idle();
        state = State.CLOSED;
        paused = false;
        if (rest != null) {
            rest.release();
            rest = null;
        }
        if (!unread || inputEnded) {
            context.close();
            return;
        }
        ((DuplexChannel) context.channel()).shutdownOutput();
        context.channel().config().setAutoRead(true);
        context.executor().schedule(() -> context.close(), LINGER, TimeUnit.MILLISECONDS);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event == Stopping.TIME_IS_UP && (request != null || lines.size > 0)) {
            fail(Stopping.error());
        }
        if (event instanceof ChannelInputShutdownEvent) {
            inputEnded = true;
            if (!paused && !resting) {
                inputEnds();
            }
        }
        context.fireUserEventTriggered(event);
    }

    private void inputEnds() {
        if (state != State.CLOSED && (request != null || lines.size > 0)) {
            fail(RequestHead.bad("it ended before its end"));
        } else {
            context.close();
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        connection.over();
        if (request != null) {
            InFlight.end();
        }
        forget();
        state = State.CLOSED;
        if (rest != null) {
            rest.release();
            rest = null;
        }
        context.fireChannelInactive();
    }
}
