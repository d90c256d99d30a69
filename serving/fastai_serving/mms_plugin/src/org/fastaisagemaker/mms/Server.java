package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.ModelServer;
import com.amazonaws.ml.mms.http.HttpRequestHandler;
import com.amazonaws.ml.mms.http.HttpRequestHandlerChain;
import com.amazonaws.ml.mms.http.InferenceRequestHandler;
import com.amazonaws.ml.mms.http.InvalidRequestHandler;
import com.amazonaws.ml.mms.servingsdk.impl.PluginsManager;
import com.amazonaws.ml.mms.util.ConfigManager;
import com.amazonaws.ml.mms.util.Connector;
import com.amazonaws.ml.mms.util.ConnectorType;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.EventLoopGroup;
import io.netty.handler.codec.http.HttpResponseEncoder;
import io.netty.util.internal.logging.InternalLoggerFactory;
import io.netty.util.internal.logging.Slf4JLoggerFactory;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.util.concurrent.CountDownLatch;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.DefaultParser;

/**
 * multi-model-server with one listening address and our own handlers in front of its own: see FrontendHandler. Its
 * management API has no address at all. SIGTERM drains (a shutdown hook): see Drain.
 */
public final class Server extends ModelServer {
    /**
     * Bytes of an answer that the kernel takes ahead of the client. It says that there is room again once a third of
     * them is gone, and of its own choice, some megabytes, a slow client takes no third in the time that it has
     * (see Connection).
     */
    private static final int SEND_BUFFER = 256 << 10;

    private volatile Channel listening;

    private Server(ConfigManager configuration) {
        super(configuration);
    }

    /** Arguments are those of ModelServer. */
    public static void main(String[] arguments) {
        try {
            silenceReflectionWarning();
            CommandLine line =
                    new DefaultParser().parse(ConfigManager.Arguments.getOptions(), arguments, null, false);
            ConfigManager.init(new ConfigManager.Arguments(line));
            InternalLoggerFactory.setDefaultFactory(Slf4JLoggerFactory.INSTANCE);
            PluginsManager.getInstance().initialize();
            Server server = new Server(ConfigManager.getInstance());
            ModelWatch.begin();
            server.start();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> Drain.run(server.listening), "drain"));
            if (Settings.multiModel()) {
                Readiness.start();
            } else {
                ModelLifecycle.loadSingle();
            }
            new CountDownLatch(1).await();
        } catch (Throwable e) {
            FatalError.exit("the model server can't start: " + e);
        }
    }

    /** log4j, packed into one jar, prints a remark about its own speed to standard output; it is of use to nobody. */
    private static void silenceReflectionWarning() throws ClassNotFoundException {
        PrintStream out = System.out;
        System.setOut(new PrintStream(OutputStream.nullOutputStream()));
        try {
            Class.forName("org.apache.logging.log4j.util.StackLocator");
        } finally {
            System.setOut(out);
        }
    }

    @Override
    public ChannelFuture initializeServer(
            Connector connector, EventLoopGroup accepting, EventLoopGroup serving, ConnectorType type)
            throws InterruptedException {
        // Not MMS's linger of 0 s: it would throw away an answer that is still on its way when a connection is closed.
        ServerBootstrap bootstrap =
                new ServerBootstrap()
                        .group(accepting, serving)
                        .channel(connector.getServerChannel())
                        .option(ChannelOption.SO_BACKLOG, 1024)
                        .option(ChannelOption.SO_REUSEADDR, true)
                        .childOption(ChannelOption.SO_KEEPALIVE, true)
                        .childOption(ChannelOption.SO_SNDBUF, SEND_BUFFER)
                        // A client may close its side once it has asked, and is answered all the same.
                        .childOption(ChannelOption.ALLOW_HALF_CLOSURE, true)
                        .childHandler(
                                new ChannelInitializer<Channel>() {
                                    @Override
                                    protected void initChannel(Channel channel) {
                                        Drain.CONNECTIONS.add(channel);
                                        addHandlers(channel.pipeline());
                                    }
                                });
        // The port is ours: MMS refuses those above 32766.
        ChannelFuture bound = bootstrap.bind(new InetSocketAddress("0.0.0.0", Settings.PORT)).sync();
        listening = bound.channel();
        return listening.closeFuture();
    }

    private static void addHandlers(ChannelPipeline pipeline) {
        HttpRequestHandlerChain chain =
                new InferenceRequestHandler(PluginsManager.getInstance().getInferenceEndpoints());
        chain.setNextHandler(new InvalidRequestHandler());
        RequestReader reader = new RequestReader();
        pipeline.addLast("encoder", new HttpResponseEncoder());
        pipeline.addLast("reader", reader);
        pipeline.addLast("frontend", new FrontendHandler(reader));
        pipeline.addLast("handler", new HttpRequestHandler(chain));
    }
}
