package com.amazonaws.ml.mms.util.codec;

import com.amazonaws.ml.mms.util.messages.ModelWorkerResponse;
import com.amazonaws.ml.mms.util.messages.Predictions;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.codec.CorruptedFrameException;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.fastaisagemaker.mms.ErrorCode;
import org.fastaisagemaker.mms.ResponseMemory;

/**
 * Stands in for multi-model-server's class of this name, which comes later on the class path: that one fails when what
 * it has read so far ends before a status or within a header, which batches of a few kilobytes bring about, and the
 * failure ends the worker and its whole batch. This one waits for a whole head, and takes a body as it comes: only its
 * own array holds it. An answer that is too large, or that there is no memory for now, becomes an error of its own
 * request.
 */
public class ModelResponseDecoder extends ByteToMessageDecoder {
    private static final int END = -1;
    /** Bytes that come before a body: headers, a content type. */
    private static final int MAX_HEAD = 1 << 20;

    private final int limit;
    private ModelWorkerResponse response;
    private Predictions prediction;
    /** The answer that is coming in, or null when it is thrown away. */
    private byte[] body;
    private int at;
    private int size;

    public ModelResponseDecoder(int limit) {
        this.limit = limit;
    }

    @Override
    protected void decode(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
        if (response == null) {
            begin(in);
        } else if (prediction == null) {
            next(context, in, out);
        } else {
            fill(in);
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) throws Exception {
        super.channelInactive(context);
        ResponseMemory.release(context.channel().id().asLongText());
    }

    private void begin(ByteBuf in) {
        Scan scan = new Scan(in);
        scan.skip(4); // the status of all
        scan.skip(scan.length()); // its text
        if (scan.enough()) {
            response = new ModelWorkerResponse();
            response.setCode(in.readInt());
            response.setMessage(text(in, in.readInt()));
            response.setPredictions(new ArrayList<>());
        }
    }

    /** Reads an answer's head, or the end of all. */
    private void next(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
        Scan scan = new Scan(in);
        int identity = scan.length();
        if (scan.enough() && identity == END) {
            in.skipBytes(4);
            out.add(response);
            response = null;
            return;
        }
        scan.skip(identity);
        scan.skip(scan.length()); // content type
        scan.skip(4); // status
        scan.skip(scan.length()); // phrase
        for (int headers = scan.length(); headers > 0 && scan.enough(); headers--) {
            scan.skip(scan.length());
            scan.skip(scan.length());
        }
        scan.skip(4); // the body's size
        if (scan.enough()) {
            head(in);
            room(context.channel().id().asLongText());
            fill(in);
        }
    }

    private void head(ByteBuf in) {
        prediction = new Predictions();
        prediction.setRequestId(text(in, in.readInt()));
        prediction.setContentType(text(in, in.readInt()));
        prediction.setStatusCode(in.readInt());
        prediction.setReasonPhrase(text(in, in.readInt()));
        Map<String, String> headers = new HashMap<>();
        for (int count = in.readInt(); count > 0; count--) {
            String name = text(in, in.readInt());
            headers.put(name, text(in, in.readInt()));
        }
        prediction.setHeaders(headers);
        size = in.readInt();
        if (size < 0) {
            throw new CorruptedFrameException("a body of " + size + " bytes");
        }
    }

    private void room(String channel) {
        at = 0;
        body = null;
        long most = Math.min(limit, ResponseMemory.LARGEST);
        if (size > most) {
            refuse(
                    ErrorCode.ANSWER_TOO_LARGE,
                    "the model's answer has " + size + " bytes, more than the " + most + " that can be sent");
        } else if (ResponseMemory.hold(channel, size)) {
            body = new byte[size];
        } else {
            prediction.getHeaders().put("retry-after", "1");
            refuse(ErrorCode.BUSY, "the server holds as many answers as it has memory for; try again");
        }
    }

    private void refuse(ErrorCode code, String message) {
        String json = "{\"error\": {\"code\": \"" + code.code() + "\", \"message\": \"" + message + "\"}}";
        prediction.setStatusCode(code.status());
        prediction.setReasonPhrase(HttpResponseStatus.valueOf(code.status()).reasonPhrase());
        prediction.setContentType("application/json");
        prediction.getHeaders().put("content-type", "application/json");
        prediction.setResp(json.getBytes(StandardCharsets.UTF_8));
    }

    private void fill(ByteBuf in) {
        int count = Math.min(size - at, in.readableBytes());
        if (body == null) {
            in.skipBytes(count);
        } else {
            in.readBytes(body, at, count);
        }
        at += count;
        if (at == size) {
            if (body != null) {
                prediction.setResp(body);
            }
            response.getPredictions().add(prediction);
            prediction = null;
            body = null;
        }
    }

    private static String text(ByteBuf in, int length) {
        String text = in.toString(in.readerIndex(), length, StandardCharsets.UTF_8);
        in.skipBytes(length);
        return text;
    }

    /** Looks ahead without reading. */
    private static final class Scan {
        private final ByteBuf in;
        private long at;

        Scan(ByteBuf in) {
            this.in = in;
            at = in.readerIndex();
        }

        void skip(int bytes) {
            if (bytes < 0) {
                throw new CorruptedFrameException("a length of " + bytes);
            }
            at += bytes;
            if (at - in.readerIndex() > MAX_HEAD) {
                throw new CorruptedFrameException("more than " + MAX_HEAD + " bytes before an answer's body");
            }
        }

        /** Whether all that was skipped is there. */
        boolean enough() {
            return at <= in.writerIndex();
        }

        int length() {
            long from = at;
            skip(4);
            return enough() ? in.getInt((int) from) : 0;
        }
    }
}
