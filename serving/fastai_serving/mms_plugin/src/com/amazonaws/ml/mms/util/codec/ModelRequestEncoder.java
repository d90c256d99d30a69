package com.amazonaws.ml.mms.util.codec;

import com.amazonaws.ml.mms.util.messages.BaseModelRequest;
import com.amazonaws.ml.mms.util.messages.InputParameter;
import com.amazonaws.ml.mms.util.messages.ModelInferenceRequest;
import com.amazonaws.ml.mms.util.messages.ModelLoadModelRequest;
import com.amazonaws.ml.mms.util.messages.RequestInput;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.handler.stream.ChunkedInput;
import io.netty.handler.stream.ChunkedWriteHandler;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Stands in for multi-model-server's class of this name, which comes later on the class path: that one copies a whole
 * batch into one growing buffer, three times the bodies' size at its worst, and large pictures overflow the heap. This
 * one sends the bodies from where they are, a small piece at a time as the worker takes them.
 */
@ChannelHandler.Sharable
public class ModelRequestEncoder extends ChannelOutboundHandlerAdapter {
    private static final int END = -1;
    /** Bytes of a piece. */
    private static final int PIECE = 64 * 1024;
    /** Bytes; what is smaller is copied beside the fields around it. */
    private static final int SMALL = 4 * 1024;

    /** The argument is that of multi-model-server's; pieces are always direct, the kind that a socket takes uncopied. */
    public ModelRequestEncoder(boolean preferDirect) {}

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        context.pipeline().addBefore(context.name(), null, new ChunkedWriteHandler());
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
        context.write(message instanceof BaseModelRequest ? encode((BaseModelRequest) message) : message, promise);
    }

    private static Pieces encode(BaseModelRequest message) {
        Frame frame = new Frame();
        if (message instanceof ModelLoadModelRequest) {
            ModelLoadModelRequest request = (ModelLoadModelRequest) message;
            frame.fields.write('L');
            frame.text(request.getModelName());
            frame.text(request.getModelPath());
            frame.number(Math.max(1, request.getBatchSize()));
            frame.text(request.getHandler());
            frame.number(request.getGpuId());
            frame.text(request.getIoFileDescriptor());
        } else {
            frame.fields.write('I');
            for (RequestInput input : ((ModelInferenceRequest) message).getRequestBatch()) {
                frame.request(input);
            }
            frame.number(END);
        }
        return frame.pieces();
    }

    /** A message as the arrays that it is made of, one after the other. */
    private static final class Frame {
        private final List<byte[]> arrays = new ArrayList<>();
        private ByteArrayOutputStream fields = new ByteArrayOutputStream(1024);

        void number(int number) {
            for (int shift = 24; shift >= 0; shift -= 8) {
                fields.write(number >> shift);
            }
        }

        void text(CharSequence text) {
            bytes(text == null ? new byte[0] : text.toString().getBytes(StandardCharsets.UTF_8));
        }

        void bytes(byte[] bytes) {
            number(bytes.length);
            if (bytes.length < SMALL) {
                fields.write(bytes, 0, bytes.length);
                return;
            }
            arrays.add(fields.toByteArray());
            arrays.add(bytes);
            fields = new ByteArrayOutputStream(1024);
        }

        void request(RequestInput request) {
            text(request.getRequestId());
            for (Map.Entry<String, String> header : request.getHeaders().entrySet()) {
                text(header.getKey());
                text(header.getValue());
            }
            number(END);
            for (InputParameter parameter : request.getParameters()) {
                text(parameter.getName());
                text(parameter.getContentType());
                bytes(parameter.getValue());
            }
            number(END);
        }

        Pieces pieces() {
            arrays.add(fields.toByteArray());
            return new Pieces(arrays);
        }
    }

    /** Copies the arrays piece by piece, each when the one before it is on its way. */
    private static final class Pieces implements ChunkedInput<ByteBuf> {
        private final List<byte[]> arrays;
        private final long length;
        private long done;
        private int array;
        private int at;

        Pieces(List<byte[]> arrays) {
            this.arrays = arrays;
            length = arrays.stream().mapToLong(bytes -> bytes.length).sum();
        }

        @Override
        public boolean isEndOfInput() {
            return done == length;
        }

        @Override
        public ByteBuf readChunk(ByteBufAllocator allocator) {
            ByteBuf piece = allocator.directBuffer((int) Math.min(PIECE, length - done));
            while (piece.isWritable() && array < arrays.size()) {
                byte[] from = arrays.get(array);
                int count = Math.min(piece.writableBytes(), from.length - at);
                piece.writeBytes(from, at, count);
                at += count;
                if (at == from.length) {
                    array++;
                    at = 0;
                }
            }
            done += piece.readableBytes();
            return piece;
        }

        @Override
        @Deprecated
        public ByteBuf readChunk(ChannelHandlerContext context) {
            return readChunk(context.alloc());
        }

        @Override
        public long length() {
            return length;
        }

        @Override
        public long progress() {
            return done;
        }

        @Override
        public void close() {}
    }
}
