from __future__ import annotations

import io

import numpy as np
import pytest

from fastai_serving.responses import RequestError
from fastai_serving.user_code.decoders import body_for_script, decode


def npy(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def test_bodies_for_scripts():
    assert body_for_script(b"1,2", "text/csv; charset=utf-8") == "1,2"
    assert body_for_script(b"\xff", "image/jpeg") == b"\xff"
    with pytest.raises(RequestError):
        body_for_script(b"\xff", "text/csv")


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"[[1, 2], [3, 4]]", "application/json", [[1, 2], [3, 4]]),
        (b"3.5", "application/json; charset=utf-8", 3.5),
        (b"1,2\n3,4", "text/csv", [[1, 2], [3, 4]]),
        (npy(np.arange(6, dtype=np.uint8).reshape(2, 3)), "application/x-npy", [[0, 1, 2], [3, 4, 5]]),
        (npy(np.asfortranarray(np.arange(6).reshape(2, 3))), "application/x-npy", [[0, 1, 2], [3, 4, 5]]),
        (npy(np.arange(3, dtype=">i4")), "application/x-npy", [0, 1, 2]),
        (npy(np.float32(2)), "application/x-npy", 2.0),
        (npy(np.empty((0, 3))), "application/x-npy", []),
    ],
)
def test_arrays_are_decoded_as_the_toolkit_does(body: bytes, kind: str, expected):
    array = decode(body, kind)
    assert isinstance(array, np.ndarray)
    assert array.tolist() == expected
    assert array.flags.writeable


def test_json_that_is_no_array_stays_what_it_is():
    assert decode(b'{"values": [1]}', "application/json") == {"values": [1]}
    assert decode(b'"text"', "application/json") == "text"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "application/json", "empty_body"),
        (b"{", "application/json", "bad_json"),
        (b"[" * 100_000, "application/json", "bad_json"),
        (b"[[1], [2, 3]]", "application/json", "bad_json"),
        (b"\xff", "application/json", "bad_text"),
        (b"1,2\n3", "text/csv", "bad_csv"),
        (b"\n", "text/csv", "bad_csv"),
        (b"junk", "application/x-npy", "bad_npy"),
        (npy(np.array([{}], dtype=object), allow_pickle=True), "application/x-npy", "bad_npy"),
        (npy(np.arange(9))[:-1], "application/x-npy", "bad_npy"),
        (npy(np.arange(9)).replace(b"(9,)", b"(9000000000,)"), "application/x-npy", "bad_npy"),
        (npy(np.arange(9)).replace(b"(9,)", b"(-9,)"), "application/x-npy", "bad_npy"),
    ],
)
def test_bodies_that_are_not_what_their_type_says(body: bytes, kind: str, code: str):
    with pytest.raises(RequestError) as caught:
        decode(body, kind)
    assert (caught.value.status, caught.value.code) == (400, code)
