package org.fastaisagemaker.mms;

import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.util.ReferenceCountUtil;
import io.netty.util.concurrent.ScheduledFuture;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/**
 * Stands before MMS's own handler: answers /ping, /execution-parameters and the multi-model endpoint's paths, hands
 * /invocations on, one request of a connection after the other, gives every error one form, and logs each answer.
 */
final class FrontendHandler extends ChannelDuplexHandler {
    /** Set by our workers, who form their errors themselves; not sent to clients. */
    private static final String FROM_WORKER = "x-fastai-worker";
    /** The client's Content-Type: MMS would take forms apart, and fails on a broken one. */
    private static final String CONTENT_TYPE = "x-fastai-content-type";
    /** In MMS's answer when the queue is full; it says 503 of a worker's failures too. */
    private static final String QUEUE_FULL = "ServiceUnavailableException";
    private static final String REQUEST_ID = "x-request-id";
    private static final String[] REQUEST_IDS = {"x-amzn-requestid", "x-amzn-sagemaker-inference-id", REQUEST_ID};
    private static final Pattern SAFE_ID = Pattern.compile("[A-Za-z0-9._:/+=@-]{1,128}");
    private static final Logger ACCESS = LoggerFactory.getLogger("access");

    /** Requests that each model of a multi-model endpoint has now. */
    private static final Map<String, Integer> INVOKING = new ConcurrentHashMap<>();

    private final RequestReader reader;
    private boolean busy;
    /** Whether the answer is a head alone. */
    private boolean headOnly;
    private boolean keepAlive;
    private boolean silent;
    private long begin;
    private long bytes;
    private String what;
    private String requestId;
    private ScheduledFuture<?> deadline;
    private String model;

    FrontendHandler(RequestReader reader) {
        this.reader = reader;
    }

    static int invoking(String model) {
        return INVOKING.getOrDefault(model, 0);
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        busy = true;
        silent = false;
        headOnly = false;
        begin = System.nanoTime();
        bytes = 0;
        what = "-";
        requestId = null;
        if (message instanceof RefusedRequest) {
            refuse(context, (RefusedRequest) message);
        } else {
            take(context, (FullHttpRequest) message);
        }
    }

    private void refuse(ChannelHandlerContext context, RefusedRequest refused) {
        if (refused.request != null) {
            look(refused.request);
        }
        keepAlive = !refused.why.last && HttpUtil.isKeepAlive(refused.request);
        context.channel().writeAndFlush(Responses.error(refused.why));
    }

    /** Notes what is asked; the path. */
    private String look(HttpRequest request) {
        String path = Routes.path(request.uri());
        what = request.method().name() + ' ' + printable(path);
        requestId = identify(request.headers());
        headOnly = HttpMethod.HEAD.equals(request.method());
        silent = path.equals("/ping");
        return path;
    }

    private void take(ChannelHandlerContext context, FullHttpRequest request) {
        bytes = request.content().readableBytes();
        keepAlive = HttpUtil.isKeepAlive(request);
        String path = look(request);
        if (headOnly) {
            request.setMethod(HttpMethod.GET);
        }
        FullHttpResponse answer = null;
        try {
            answer = route(context, request, path);
        } catch (HttpError refusal) {
            answer = Responses.error(refusal);
        }
        if (answer != null) {
            request.release();
            context.channel().writeAndFlush(answer);
        }
    }

    /** The answer, or null when the request was handed on or its answer comes later. */
    private FullHttpResponse route(ChannelHandlerContext context, FullHttpRequest request, String path) throws HttpError {
        if (HttpMethod.OPTIONS.equals(request.method()) && !Routes.anothersEndpoint(path)) {
            return Responses.options(Routes.allowed(path));
        }
        switch (path) {
            case "/ping":
                HttpError reason = ModelLifecycle.unhealthy();
                return reason != null ? Responses.error(reason) : Responses.json(200, Map.of("status", "healthy"));
            case "/execution-parameters":
                return Responses.json(200, parameters());
            case "/invocations":
                if (!ModelLifecycle.started()) {
                    throw ModelLifecycle.unhealthy();
                }
                handOn(context, request, "/invocations");
                return null;
            default:
        }
        if (Settings.multiModel() && (path.equals("/models") || path.startsWith("/models/"))) {
            String name = MultiModel.invoked(request.method(), path);
            if (name != null) {
                model = name;
                INVOKING.merge(name, 1, Integer::sum);
                handOn(context, request, "/models/" + name + "/invoke");
                return null;
            }
            MultiModel.answer(context.channel(), request, path);
            return null;
        }
        context.fireChannelRead(request); // another plug-in's: Routes.check lets nothing else through
        return null;
    }

    private static Map<String, Object> parameters() {
        long fit = Math.max(1, Settings.MAX_HELD / Settings.MAX_REQUEST);
        long concurrent = Math.min(fit, (long) Settings.WORKERS * Settings.BATCH_SIZE);
        return Map.of(
                "MaxConcurrentTransforms", concurrent,
                "BatchStrategy", "SingleRecord",
                "MaxPayloadInMB", Settings.MAX_REQUEST >> 20);
    }

    private void handOn(ChannelHandlerContext context, FullHttpRequest request, String uri) {
        HttpHeaders headers = request.headers();
        String type = headers.get(HttpHeaderNames.CONTENT_TYPE, "");
        headers.set(CONTENT_TYPE, type);
        headers.set(HttpHeaderNames.CONTENT_TYPE, "application/octet-stream");
        headers.set(REQUEST_ID, requestId);
        headers.remove(BatchingModel.BUSY); // ours to say, not a client's
        request.setUri(uri);
        deadline = context.executor().schedule(() -> late(context), Settings.WAIT_SECONDS, TimeUnit.SECONDS);
        context.fireChannelRead(request);
    }

    private void late(ChannelHandlerContext context) {
        giveUp(context, Responses.error(ErrorCode.TIMEOUT, "no answer was found in " + Settings.WAIT_SECONDS + " s"));
    }

    private void giveUp(ChannelHandlerContext context, FullHttpResponse answer) {
        keepAlive = false; // the answer may still come, and must not be taken for another request's
        context.channel().writeAndFlush(answer);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) throws Exception {
        if (event == Stop.TIME_IS_UP && busy) {
            giveUp(context, Responses.error(Stop.refusal()));
        }
        super.userEventTriggered(context, event);
    }

    private static String identify(HttpHeaders headers) {
        for (String name : REQUEST_IDS) {
            String value = headers.get(name);
            if (value != null && SAFE_ID.matcher(value).matches()) {
                return value;
            }
        }
        return UUID.randomUUID().toString();
    }

    private static String printable(String path) {
        String shown = path.length() > 200 ? path.substring(0, 200) : path;
        return shown.replaceAll("[^!-~]", "?");
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) throws Exception {
        if (!(message instanceof FullHttpResponse)) {
            super.write(context, message, promise);
            return;
        }
        if (!busy) { // too late: the request was answered
            ReferenceCountUtil.release(message);
            return;
        }
        FullHttpResponse answer = formed((FullHttpResponse) message);
        boolean stay = keepAlive && !InFlight.draining() && !reader.isLast();
        HttpHeaders headers = answer.headers();
        headers.set(HttpHeaderNames.CONNECTION, stay ? HttpHeaderValues.KEEP_ALIVE : HttpHeaderValues.CLOSE);
        if (requestId != null) {
            headers.set(REQUEST_ID, requestId);
        }
        // Not the caller's promise: MMS closes the connection after every error when that is kept.
        ChannelPromise written = context.newPromise();
        Runnable line = line(answer);
        written.addListener(
                future -> {
                    line.run(); // once the client has its answer
                    InFlight.end();
                });
        if (!stay) {
            written.addListener(future -> reader.close());
        }
        finish();
        context.write(headOnly ? headOf(answer) : answer, written);
        if (stay) {
            context.executor().execute(() -> next(context));
        }
    }

    private static FullHttpResponse headOf(FullHttpResponse answer) {
        HttpUtil.setContentLength(answer, answer.content().readableBytes());
        FullHttpResponse head =
                new DefaultFullHttpResponse(
                        answer.protocolVersion(),
                        answer.status(),
                        Unpooled.EMPTY_BUFFER,
                        answer.headers(),
                        answer.trailingHeaders());
        answer.release();
        return head;
    }

    private FullHttpResponse formed(FullHttpResponse answer) {
        int status = answer.status().code();
        boolean ours = answer.headers().contains(FROM_WORKER) || answer.headers().get("pragma") == null;
        answer.headers().remove(FROM_WORKER);
        if (status < 400 || ours) {
            return answer;
        }
        // MMS's own words: a class of Java's and a sentence.
        String words = answer.content().toString(StandardCharsets.UTF_8);
        answer.release();
        switch (status) {
            case 404:
                return Responses.error(ErrorCode.MODEL_NOT_FOUND, "no model of this name is loaded");
            case 503:
                if (words.contains(Stop.WORDS)) {
                    return Responses.error(Stop.refusal());
                }
                if (words.contains(QUEUE_FULL)) {
                    return Responses.error(ErrorCode.BUSY, "as many requests wait as may; try again");
                }
                return Responses.error(ErrorCode.INTERNAL_ERROR, "the worker could not answer this request");
            case 504:
                return Responses.error(ErrorCode.TIMEOUT, "the model did not answer within " + Settings.TIMEOUT_SECONDS + " s");
            case 507:
                return Responses.error(ErrorCode.OUT_OF_MEMORY, "there was not enough memory for this request");
            case 500:
                if (Memory.shortSince(begin)) {
                    return Responses.error(ErrorCode.OUT_OF_MEMORY, "there was not enough memory for this request");
                }
                return Responses.error(ErrorCode.WORKER_LOST, "the worker ended while it had this request; try again");
            default:
                return Responses.error(ErrorCode.ERROR, status, answer.status().reasonPhrase());
        }
    }

    /** What logs this answer; the connection may be at its next request by then. */
    private Runnable line(FullHttpResponse answer) {
        if (silent || !ACCESS.isInfoEnabled()) {
            return () -> {};
        }
        long milliseconds = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
        String id = requestId == null ? "" : requestId;
        Object[] told = {what, answer.status().code(), milliseconds, bytes};
        return () -> {
            MDC.put("request_id", id);
            ACCESS.info("{} {} {} ms {} bytes", told);
            MDC.remove("request_id");
        };
    }

    private void finish() {
        InFlight.release(bytes);
        bytes = 0;
        busy = false;
        if (model != null) {
            INVOKING.computeIfPresent(model, (name, count) -> count > 1 ? count - 1 : null);
            model = null;
        }
        if (deadline != null) {
            deadline.cancel(false);
            deadline = null;
        }
    }

    private void next(ChannelHandlerContext context) {
        // A client that asks on and takes no answers is waited for.
        if (!busy && context.channel().isWritable()) {
            reader.resume();
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        next(context);
        context.fireChannelWritabilityChanged();
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) throws Exception {
        if (busy) {
            finish();
            InFlight.end();
        }
        super.channelInactive(context);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        // A client that goes away is its own affair.
        context.close();
    }
}
