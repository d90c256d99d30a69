package com.amazonaws.ml.mms.util.codec;

import com.amazonaws.ml.mms.util.messages.ModelWorkerResponse;
import com.amazonaws.ml.mms.util.messages.Predictions;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.codec.CorruptedFrameException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Stands in for multi-model-server's class of this name, which comes later on the class path: that one fails when what
 * it has read so far ends before a status or within a header, which batches of a few kilobytes bring about, and the
 * failure ends the worker and its whole batch. This one waits for a whole message. An answer that is too large becomes
 * an error of its own request.
 */
public class ModelResponseDecoder extends ByteToMessageDecoder {
    private static final int END = -1;
    private static final String TOO_LARGE =
            "{\"error\": {\"code\": \"answer_too_large\", \"message\": \"the model's answer is larger than can be sent\"}}";

    private final int limit;

    public ModelResponseDecoder(int limit) {
        this.limit = limit;
    }

    @Override
    protected void decode(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
        if (whole(in)) {
            out.add(read(in));
        }
    }

    /** Whether {@code in} holds a message to its end; reads nothing. */
    private boolean whole(ByteBuf in) {
        Scan scan = new Scan(in);
        scan.skip(4); // the status of all
        scan.skip(scan.length()); // its text
        while (scan.enough) {
            int identity = scan.length();
            if (!scan.enough || identity == END) {
                break;
            }
            scan.skip(identity);
            scan.skip(scan.length()); // content type
            scan.skip(4); // status
            scan.skip(scan.length()); // phrase
            for (int headers = scan.length(); headers > 0 && scan.enough; headers--) {
                scan.skip(scan.length());
                scan.skip(scan.length());
            }
            scan.skip(scan.length()); // body
        }
        return scan.enough;
    }

    private static final class Scan {
        private final ByteBuf in;
        private long at;
        private boolean enough = true;

        Scan(ByteBuf in) {
            this.in = in;
            at = in.readerIndex();
        }

        void skip(int bytes) {
            if (bytes < 0) {
                throw new CorruptedFrameException("a length of " + bytes);
            }
            at += bytes;
            enough = enough && at <= in.writerIndex();
        }

        int length() {
            long from = at;
            skip(4);
            return enough ? in.getInt((int) from) : 0;
        }
    }

    private ModelWorkerResponse read(ByteBuf in) {
        ModelWorkerResponse response = new ModelWorkerResponse();
        response.setCode(in.readInt());
        response.setMessage(text(in, in.readInt()));
        List<Predictions> predictions = new ArrayList<>();
        for (int identity = in.readInt(); identity != END; identity = in.readInt()) {
            Predictions prediction = new Predictions();
            prediction.setRequestId(text(in, identity));
            prediction.setContentType(text(in, in.readInt()));
            prediction.setStatusCode(in.readInt());
            prediction.setReasonPhrase(text(in, in.readInt()));
            Map<String, String> headers = new HashMap<>();
            for (int count = in.readInt(); count > 0; count--) {
                String name = text(in, in.readInt());
                headers.put(name, text(in, in.readInt()));
            }
            prediction.setHeaders(headers);
            int size = in.readInt();
            if (size > limit) {
                in.skipBytes(size);
                prediction.setStatusCode(507);
                prediction.setReasonPhrase("Insufficient Storage");
                headers.put("content-type", "application/json");
                prediction.setResp(TOO_LARGE.getBytes(StandardCharsets.UTF_8));
            } else {
                byte[] body = new byte[size];
                in.readBytes(body);
                prediction.setResp(body);
            }
            predictions.add(prediction);
        }
        response.setPredictions(predictions);
        return response;
    }

    private static String text(ByteBuf in, int length) {
        String text = in.toString(in.readerIndex(), length, StandardCharsets.UTF_8);
        in.skipBytes(length);
        return text;
    }
}
