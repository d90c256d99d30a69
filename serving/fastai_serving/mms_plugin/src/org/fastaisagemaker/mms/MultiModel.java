package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.wlm.Model;
import com.amazonaws.ml.mms.wlm.ModelManager;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import io.netty.channel.Channel;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;

/** SageMaker's contract for multi-model endpoints: load, list, describe, unload, invoke. */
final class MultiModel {
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,255}");
    private static final int PAGE = 100;
    /** Names that are being loaded or unloaded. */
    private static final Set<String> CHANGING = ConcurrentHashMap.newKeySet();

    /** One at a time: two models that load at once would both count the same free memory. */
    private static final ExecutorService CHANGES = Executors.newSingleThreadExecutor();

    private MultiModel() {}

    /** The name of the model that a request invokes, or null for any other request. */
    static String invoked(HttpMethod method, String path) throws HttpError {
        String[] segments = path.split("/", -1);
        if (segments.length != 4 || !segments[3].equals("invoke")) {
            return null;
        }
        if (!HttpMethod.POST.equals(method)) {
            throw new HttpError(ErrorCode.METHOD_NOT_ALLOWED, "only POST is answered here");
        }
        String name = name(segments[2]);
        if (CHANGING.contains(name) || !ModelManager.getInstance().getModels().containsKey(name)) {
            throw notFound(name);
        }
        return name;
    }

    /** Answers every other request below /models, now or, when processes start or end, later; releases it. */
    static void answer(Channel channel, FullHttpRequest request, String path) throws HttpError {
        String[] segments = path.split("/", -1);
        HttpMethod method = request.method();
        if (segments.length == 2 && HttpMethod.GET.equals(method)) {
            FullHttpResponse list = Responses.json(200, list(new QueryStringDecoder(request.uri())));
            request.release();
            channel.writeAndFlush(list);
        } else if (segments.length == 2 && HttpMethod.POST.equals(method)) {
            JsonObject body = parse(request.content().toString(StandardCharsets.UTF_8));
            String name = name(text(body, "model_name"));
            String folder = folder(text(body, "url"));
            if (ModelManager.getInstance().getModels().containsKey(name) || !CHANGING.add(name)) {
                throw new HttpError(ErrorCode.ALREADY_LOADED, "the model " + name + " is loaded already");
            }
            request.release();
            change(channel, name, () -> load(name, folder));
        } else if (segments.length == 3 && HttpMethod.GET.equals(method)) {
            String name = name(segments[2]);
            Model model = ModelManager.getInstance().getModels().get(name);
            if (model == null || CHANGING.contains(name)) {
                throw notFound(name);
            }
            request.release();
            channel.writeAndFlush(Responses.json(200, describe(name, model)));
        } else if (segments.length == 3 && HttpMethod.DELETE.equals(method)) {
            String name = name(segments[2]);
            if (!ModelManager.getInstance().getModels().containsKey(name) || !CHANGING.add(name)) {
                throw notFound(name);
            }
            request.release();
            change(channel, name, () -> unload(name));
        } else if (segments.length > 3) {
            throw new HttpError(ErrorCode.NOT_FOUND, "there is nothing here");
        } else {
            throw new HttpError(ErrorCode.METHOD_NOT_ALLOWED, "models are listed by GET, loaded by POST, unloaded by DELETE");
        }
    }

    private interface Change {
        FullHttpResponse run() throws Exception;
    }

    private static void change(Channel channel, String name, Change change) {
        CHANGES.execute(
                () -> {
                    FullHttpResponse answer;
                    try {
                        answer = change.run();
                    } catch (HttpError e) {
                        answer = Responses.error(e);
                    } catch (Exception e) {
                        answer = Responses.error(ErrorCode.INTERNAL_ERROR, "the model's processes could not be changed: " + e);
                    } finally {
                        CHANGING.remove(name);
                    }
                    channel.writeAndFlush(answer);
                });
    }

    private static FullHttpResponse load(String name, String folder) throws Exception {
        long free = Memory.free();
        if (free < Settings.MODEL_BYTES) {
            throw new HttpError(
                    ErrorCode.OUT_OF_MEMORY,
                    "there is not enough memory for one more model: " + (free >> 20) + " MB are free, "
                            + (Settings.MODEL_BYTES >> 20) + " MB are needed; unload one");
        }
        HttpResponseStatus status;
        long begin = System.nanoTime();
        try {
            LoadFailure.written(name); // of an earlier attempt
            status = ModelLifecycle.register(name, folder).get(Settings.STARTUP_SECONDS, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            ModelLifecycle.unregister(name);
            throw new HttpError(ErrorCode.LOAD_FAILED, "the model was not loaded in " + Settings.STARTUP_SECONDS + " s");
        } catch (Exception e) {
            ModelLifecycle.unregister(name);
            throw e;
        }
        if (status.code() == 200) {
            return Responses.json(200, Map.of("status", "the model " + name + " is loaded"));
        }
        String reason = LoadFailure.written(name);
        boolean memory = status.code() == 507;
        if (reason == null) {
            Model model = ModelManager.getInstance().getModels().get(name);
            LoadFailure failure = LoadFailure.of(model, LoadFailure.death(model), begin);
            reason = failure.reason;
            memory = memory || failure.memory;
        }
        ModelLifecycle.unregister(name);
        if (memory) {
            throw new HttpError(ErrorCode.OUT_OF_MEMORY, "there was not enough memory to load the model; unload one");
        }
        throw new HttpError(ErrorCode.LOAD_FAILED, reason);
    }

    private static FullHttpResponse unload(String name) throws Exception {
        // Requests that the model has already taken are answered first; new ones get 404 from now on.
        Model model = ModelManager.getInstance().getModels().get(name);
        long end = System.currentTimeMillis() + Settings.TIMEOUT_SECONDS * 1000L;
        while (InFlight.invoking(name) > 0 && System.currentTimeMillis() < end) {
            Thread.sleep(2);
        }
        if (model == null || !ModelLifecycle.unregister(name)) {
            throw notFound(name);
        }
        return Responses.json(200, Map.of("status", "the model " + name + " is unloaded"));
    }

    private static Map<String, Object> list(QueryStringDecoder query) throws HttpError {
        int from = number(query, "next_page_token", 0);
        int limit = Math.min(PAGE, Math.max(1, number(query, "limit", PAGE)));
        Map<String, Model> loaded = new TreeMap<>(ModelManager.getInstance().getModels());
        loaded.keySet().removeIf(CHANGING::contains);
        List<Map<String, Object>> page = new ArrayList<>();
        int index = 0;
        for (Map.Entry<String, Model> entry : loaded.entrySet()) {
            if (index >= from && page.size() < limit) {
                page.add(describe(entry.getKey(), entry.getValue()));
            }
            index++;
        }
        Map<String, Object> content = new LinkedHashMap<>();
        content.put("models", page);
        if (from + page.size() < index) {
            content.put("nextPageToken", String.valueOf(from + page.size()));
        }
        return content;
    }

    private static Map<String, Object> describe(String name, Model model) {
        return Map.of("modelName", name, "modelUrl", model.getModelUrl());
    }

    private static int number(QueryStringDecoder query, String key, int otherwise) throws HttpError {
        List<String> values = query.parameters().get(key);
        if (values == null || values.isEmpty()) {
            return otherwise;
        }
        try {
            return Math.max(0, Integer.parseInt(values.get(0)));
        } catch (NumberFormatException e) {
            throw new HttpError(ErrorCode.BAD_REQUEST, key + " must be a whole number");
        }
    }

    private static JsonObject parse(String text) throws HttpError {
        try {
            return JsonParser.parseString(text).getAsJsonObject();
        } catch (JsonParseException | IllegalStateException e) {
            throw new HttpError(ErrorCode.BAD_REQUEST, "the body must be a JSON object with model_name and url");
        }
    }

    private static String text(JsonObject body, String key) throws HttpError {
        try {
            return body.get(key).getAsString();
        } catch (RuntimeException e) {
            throw new HttpError(ErrorCode.BAD_REQUEST, "the body must be a JSON object with model_name and url");
        }
    }

    private static String name(String name) throws HttpError {
        if (!NAME.matcher(name).matches()) {
            throw new HttpError(ErrorCode.BAD_MODEL_NAME, "a model's name is made of letters, digits, '.', '_' and '-'");
        }
        return name;
    }

    /** The folder's real path. Refused outside of the folder where SageMaker puts models, links included. */
    private static String folder(String url) throws HttpError {
        try {
            Path root = Path.of(Settings.MODELS_ROOT).toRealPath();
            Path named = Path.of(url).toAbsolutePath().normalize();
            if (named.startsWith(root) && Files.notExists(named)) {
                throw new HttpError(ErrorCode.MODEL_NOT_FOUND, "there is no folder " + named);
            }
            Path folder = named.toRealPath();
            // A file would be taken for an archive and unpacked.
            if (folder.startsWith(root) && Files.isDirectory(folder)) {
                if (!Files.isReadable(folder) || !Files.isExecutable(folder)) {
                    // Its worker starts in there, and could not say why it can't.
                    Object user = Files.getAttribute(Path.of("/proc/self"), "unix:uid");
                    String what = folder + " can't be read by user " + user + ": allow it (chmod -R a+rX)";
                    throw new HttpError(ErrorCode.LOAD_FAILED, what);
                }
                return folder.toString();
            }
        } catch (IOException | RuntimeException e) {
            // as if it were elsewhere: what exists on the machine is nobody's business
        }
        throw new HttpError(ErrorCode.BAD_URL, "url must be a model's folder below " + Settings.MODELS_ROOT);
    }

    private static HttpError notFound(String name) {
        return new HttpError(ErrorCode.MODEL_NOT_FOUND, "no model named " + name + " is loaded");
    }
}
