"""HTTP as it is not meant to be: nothing that is malformed is guessed at, and no body passes for a request."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import pytest

from tests.contract.conftest import Endpoint
from tests.contract.malformed_http import CHUNKED, HIDDEN, MALFORMED, PING, framed
from tests.contract.raw_http import Wire, ask, echo_model, ends_at_once, open_files, post
from tests.waiting import until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def echo(start_endpoint: Callable[..., Endpoint], tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    endpoint = start_endpoint(echo_model(tmp_path_factory.mktemp("echo") / "model"))
    endpoint.files_at_first = open_files(endpoint)  # type: ignore[attr-defined]
    return endpoint


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_400_and_the_connection_closed(echo: Endpoint, name: str):
    answers = ask(echo, MALFORMED[name] + HIDDEN)
    assert [answer.status for answer in answers] == [400], answers
    assert answers[0].code == "bad_request"
    assert answers[0].headers["connection"] == "close"
    assert answers[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (framed("Expect: something-else", "Content-Length: 54", body=HIDDEN), 417, "expectation_failed"),
        (framed("Expect: 100-continue, x", "Content-Length: 54", body=HIDDEN), 417, "expectation_failed"),
        (framed("Expect: x", "Expect: 100-continue", "Content-Length: 54", body=HIDDEN), 417, "expectation_failed"),
        (b"GET /ping HTTP/9.9\r\nHost: a\r\n\r\n", 505, "http_version_not_supported"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version_not_supported"),
        (b"GET /ping HTTP/0.9\r\nHost: a\r\n\r\n", 505, "http_version_not_supported"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
        (b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
        (PING + b"A: " + b"a" * 1_000_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (PING + b"A: bcdefgh\r\n" * 10_000 + b"\r\n", 431, "headers_too_large"),
        (CHUNKED + b"0\r\n" + b"A: bcdefgh\r\n" * 10_000 + b"\r\n", 431, "headers_too_large"),
        (framed("Content-Length: 99999999999999999999"), 413, "too_large"),
        (framed("Content-Length: 9000000000000000000"), 413, "too_large"),
        (CHUNKED + b"ffffffffffff\r\n" + b"x" * 100_000, 413, "too_large"),
        (CHUNKED + b"100000\r\n%s\r\n" % (b"x" * (1 << 20)) * 80, 413, "too_large"),
    ],
)
def test_what_can_not_be_read_on_is_answered_and_the_connection_closed(
    echo: Endpoint, sent: bytes, status: int, code: str
):
    answers = ask(echo, sent + HIDDEN)
    assert [answer.status for answer in answers] == [status], answers
    assert answers[0].code == code
    assert answers[0].headers["connection"] == "close"


@pytest.mark.parametrize("size", [54, 200_000])
@pytest.mark.parametrize("kind", ["length", "chunked", "waits"])
@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/nothing", [], 404),
        ("PUT", "/invocations", [], 405),
        ("FOO", "/invocations", [], 405),
        ("POST", "/ping", [], 405),
        ("TRACE", "/ping", [], 405),
        ("POST", "/invocations", ["Content-Encoding: gzip"], 415),
        ("POST", "/invocations", ["Content-Encoding: identity", "Content-Encoding: br"], 415),
        ("POST", "/invocations", ["Content-Encoding: gzip, identity"], 415),
    ],
)
def test_the_body_of_what_is_refused_is_never_a_request(
    echo: Endpoint, method: str, path: str, headers: list[str], status: int, kind: str, size: int
):
    body = HIDDEN * (size // len(HIDDEN))
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *headers]
    if kind == "waits":
        lines.append("Expect: 100-continue")
    if kind == "chunked":
        lines.append("Transfer-Encoding: chunked")
        sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    else:
        lines.append(f"Content-Length: {len(body)}")
        sent = body
    with Wire(echo) as wire:
        wire.send("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)
        answer = wire.answer()
        assert answer is not None
        assert answer.status == status
        if status == 405:
            assert method not in answer.headers["allow"].split(", ")
        if status == 415:
            assert answer.headers["accept-encoding"] == "identity"
            assert "Content-Encoding" in answer.json()["error"]["message"]
        if kind == "waits":  # the client may send the body or not: only a new connection is certain
            assert answer.headers["connection"] == "close"
            assert wire.answers() == []
        else:
            assert answer.headers["connection"] == "keep-alive"
            wire.send(post(b"next"))
            again = wire.answer()
            assert again is not None
            assert again.json() == {"bytes": 4, "crc": zlib.crc32(b"next")}


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (post(b"hello"), b"hello"),
        (post(b"hello", "Content-Encoding: identity"), b"hello"),
        (post(b"hello", "Expect: 100-Continue"), b"hello"),
        (post(b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: Chunked"), b"hello"),
        (post(b"000005\r\nhello\r\n000\r\n\r\n", "Transfer-Encoding: chunked"), b"hello"),
        (
            post(b'2;a\r\nhe\r\n3 ; b = c;d="e;\\"f" \t;g\r\nllo\r\n0;x=y\r\n\r\n', "Transfer-Encoding: chunked"),
            b"hello",
        ),
        (post(b"A\r\nhellohello\r\n0\r\nA: b\r\nC: d\r\n\r\n", "Transfer-Encoding: chunked"), b"hellohello"),
        (post(b"hello", path="http://a:80/invocations?x=y"), b"hello"),
        (post(b"hello", path="HTTPS://a/invocations"), b"hello"),
        (post(b"hello", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: "), b"hello"),
        (post(b"hello", "A: \xe9\xff", "B:", "c:\t d \t", "Accept: \xe9", "A: twice"), b"hello"),
        (b"\r\n" + post(b"hello"), b"hello"),
        (post(b"hello").replace(b"HTTP/1.1", b"HTTP/1.2"), b"hello"),
        (post(b"hello").replace(b"HTTP/1.1", b"HTTP/1.0", 1).replace(b"Host: a", b"Connection: keep-alive"), b"hello"),
    ],
)
@pytest.mark.parametrize("piece", [0, 1])
def test_what_is_well_formed_is_read_in_whatever_pieces_it_comes(echo: Endpoint, sent: bytes, body: bytes, piece: int):
    expected = {"bytes": len(body), "crc": zlib.crc32(body)}
    with Wire(echo) as wire:
        for _ in range(2):
            if piece:
                wire.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
                for at in range(len(sent)):
                    wire.send(sent[at : at + 1])
            else:
                wire.send(sent)
            answer = wire.answer()
            while answer is not None and answer.status == 100:
                answer = wire.answer()
            assert answer is not None
            if b"A: twice" in sent:
                assert answer.status in (200, 406)  # Accept is a script's to judge
            else:
                assert answer.json() == expected


def test_continue_is_said_once_and_only_to_who_waits(echo: Endpoint):
    whole = post(b"hello", "Expect: 100-continue")
    head, body = whole[:-5], whole[-5:]
    with Wire(echo) as wire:
        first = wire.send(head).answer()
        assert first is not None
        assert first.status == 100
        second = wire.send(body).answer()
        assert second is not None
        assert second.json()["bytes"] == 5
        third = wire.send(head.replace(b"HTTP/1.1", b"HTTP/1.0") + body).answer()
        assert third is not None
        assert third.status == 200


def test_a_client_that_closes_its_side_after_its_requests_is_answered(echo: Endpoint):
    with Wire(echo) as wire:
        wire.send(post(b"sleep 0.5") + post(b"hello") + PING + b"\r\n").socket.shutdown(1)
        answers = wire.answers()
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [answer.json().get("bytes") for answer in answers[:2]] == [9, 5]


@pytest.mark.parametrize("sent", [b"GET /pi", post(b"hello")[:-1], CHUNKED + b"5\r\nhel", CHUNKED + b"5\r\nhello\r\n"])
def test_a_client_that_closes_its_side_within_a_request_gets_400(echo: Endpoint, sent: bytes):
    with Wire(echo) as wire:
        wire.send(sent).socket.shutdown(1)
        answers = wire.answers()
    assert [(answer.status, answer.code) for answer in answers] == [(400, "bad_request")]


@pytest.mark.parametrize(("path", "field"), [("/ping", "status"), ("/execution-parameters", "MaxPayloadInMB")])
def test_head_is_get_without_the_body(echo: Endpoint, path: str, field: str):
    with Wire(echo) as wire:
        got = wire.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).answer()
        head = wire.send(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).answer(head=True)
        assert got is not None
        assert head is not None
        assert field in got.json()
        assert head.status == got.status == 200
        for name in ("content-length", "content-type", "connection"):
            assert head.headers[name] == got.headers[name]
        missing = wire.send(b"HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n").answer(head=True)
        assert missing is not None
        assert missing.status == 404
        after = wire.send(post(b"hello")).answer()
        assert after is not None
        assert after.status == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/ping", {"GET", "HEAD", "OPTIONS"}),
        ("/execution-parameters", {"GET", "HEAD", "OPTIONS"}),
        ("/invocations", {"POST", "OPTIONS"}),
        ("/invocations?a=b", {"POST", "OPTIONS"}),
    ],
)
def test_methods_of_a_path_are_told(echo: Endpoint, path: str, allowed: set[str]):
    with Wire(echo) as wire:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "FOO", "OPTIONS"):
            sent = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode()
            answer = wire.send(sent).answer(head=method == "HEAD")
            assert answer is not None
            if method not in allowed:
                assert answer.status == 405, method
            if method == "OPTIONS":
                assert answer.status == 204
            if answer.status in (204, 405):
                assert set(answer.headers["allow"].split(", ")) == allowed
        star = wire.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").answer()
        assert star is not None
        assert star.status == 204
        assert "POST" in star.headers["allow"]
        lost = wire.send(b"OPTIONS /nothing HTTP/1.1\r\nHost: a\r\n\r\n").answer()
        assert lost is not None
        assert lost.status == 404


def test_many_small_requests_of_one_connection_are_answered_in_order(echo: Endpoint):
    bodies = [b"x" * size for size in range(1, 61)]
    with Wire(echo) as wire:
        wire.send(b"".join(post(body) + PING + b"\r\n" for body in bodies))
        for body in bodies:
            answer, ping = wire.answer(), wire.answer()
            assert answer is not None
            assert ping is not None
            assert answer.json()["bytes"] == len(body)
            assert ping.json() == {"status": "healthy"}


def test_a_scripts_own_status_keeps_its_words_and_only_a_full_queue_is_called_busy(
    start_endpoint: Callable[..., Endpoint], tmp_path_factory: pytest.TempPathFactory
):
    endpoint = start_endpoint(
        echo_model(tmp_path_factory.mktemp("status") / "model"), environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    )
    for status in (404, 500, 503, 504, 507):
        answer = endpoint.invoke(f"status {status}".encode())
        assert answer.status_code == status
        assert f"the script's own {status}" in answer.json()["error"]["message"]
    # What multi-model-server itself answers when a worker's code fails: 503 "Prediction failed".
    assert endpoint.invoke(b"break").status_code == 200
    answer = endpoint.invoke(b"hello")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "retry-after" not in answer.headers


#: The parts of Netty that requests may reach; docs/netty.md says which others are faulty in this version.
REACHED = re.compile(
    r"io\.netty\.handler\.codec\.("
    r"ByteToMessageDecoder|MessageTo\w+Encoder|Codec\w*|DecoderResult\w*|\w+Exception|(Default)?Headers\w*|"
    r"\w*ValueConverter|http\.(Default|Full|Combined|Empty)?Http(Full)?\w*(Headers?|Message|Object|Request|Response|Names|"
    r"Values|Constants|Content|Method|Status|StatusClass|Util|Version|ValidationUtil|HeadersEncoder|ObjectEncoder|"
    r"ResponseEncoder)|http\.(FullHttp\w+|DefaultFullHttp\w+|LastHttpContent|QueryStringDecoder)|"
    # only asked whether a request is a form, which it never is: its Content-Type is kept from it
    r"http\.multipart\.(HttpDataFactory|HttpPostRequestDecoder|InterfaceHttpPostRequestDecoder))(\$.*)?"
    # towards workers
    r"|io\.netty\.handler\.stream\.Chunked\w+(\$.*)?"
)


def test_the_faulty_parts_of_netty_are_not_even_loaded(
    start_endpoint: Callable[..., Endpoint], tmp_path_factory: pytest.TempPathFactory
):
    environment = {"SAGEMAKER_MODEL_SERVER_VMARGS": "-Xlog:class+load:file=/tmp/classes.log"}
    endpoint = start_endpoint(echo_model(tmp_path_factory.mktemp("netty") / "model"), environment=environment)
    for name in ("quoted extension over a line's end", "length and chunked in HTTP/1.0", "bare LF after a size", "TLS"):
        assert [answer.status for answer in ask(endpoint, MALFORMED[name])] == [400]
    form = b'--b\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\nc\r\n--b--\r\n'
    with Wire(endpoint) as wire:
        for sent, status in (
            (post(form).replace(b"application/octet-stream", b"multipart/form-data; boundary=b"), 200),
            (post(b"a=b&c").replace(b"application/octet-stream", b"application/x-www-form-urlencoded"), 200),
            (post(b"a", "Content-Encoding: br"), 415),
            (post(b"a", "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Key: AAAA"), 200),
            (post(b"a", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: "), 200),
            (post(b"a", "Accept-Encoding: gzip, br, zstd", "Origin: http://a", "Cookie: a=b"), 200),
        ):
            answer = wire.send(sent).answer()
            assert answer is not None
            assert answer.status == status, sent
    log = endpoint.container.exec_run(["cat", "/tmp/classes.log"]).output.decode()
    loaded = set(re.findall(r"\bio\.netty\.handler\.\S+", log))
    assert "io.netty.handler.codec.http.HttpResponseEncoder" in loaded
    assert sorted(name for name in loaded if not REACHED.fullmatch(name)) == []


def test_after_all_that_nothing_is_left(echo: Endpoint):
    """The module's last test: files are closed, requests are counted rightly, or SIGTERM would wait for 24 s."""
    until(lambda: open_files(echo) <= echo.files_at_first + 3)  # type: ignore[attr-defined]
    assert echo.ping() == 200
    assert echo.invoke(b"hello").json()["bytes"] == 5
    assert ends_at_once(echo)
