"""Arrays in a request's body: JSON, CSV and NPY, as sagemaker-inference decodes them for scripts without input_fn."""

from __future__ import annotations

import io
import json
import warnings
from typing import Any

import numpy as np

from fastai_serving.errors import ErrorCode
from fastai_serving.media_types import media_type
from fastai_serving.responses import CSV, JSON, RequestError
from fastai_serving.user_code.hooks import import_decoder

NPY = "application/x-npy"
#: Bodies of these types reach a script as text, as sagemaker-inference gives them.
TEXT_TYPES = frozenset({JSON, CSV})
ARRAY_TYPES = frozenset({JSON, CSV, NPY})


def body_for_script(body: bytes, content_type: str) -> bytes | str:
    """A body as sagemaker-inference gives it. Raises RequestError 400 for text that is no UTF-8."""
    if media_type(content_type)[0] not in TEXT_TYPES:
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(ErrorCode.BAD_TEXT, "the body is not UTF-8") from None


def decode(body: bytes, content_type: str) -> Any:
    """What a predict_fn is given for a body of ARRAY_TYPES: an array; for JSON that holds none, what it holds.

    Raises RequestError 400 for a body that is not what its type says.
    """
    if not body:
        raise RequestError(ErrorCode.EMPTY_BODY, "the request has no body")
    kind = media_type(content_type)[0]
    text = body_for_script(body, content_type)
    if kind == JSON:
        return _json(str(text))
    return _csv(str(text)) if kind == CSV else _npy(body)


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(ErrorCode.BAD_JSON, f"the body is no JSON: {error}") from None
    if not isinstance(value, list | int | float):
        return value  # NumPy would wrap it into an array of one object, which is of no use to anybody
    try:
        return np.array(value)
    except ValueError:
        raise RequestError(ErrorCode.BAD_JSON, "the lists in the body are not of one shape") from None


def _csv(text: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array: np.ndarray = import_decoder().decode(text, CSV)
    except Exception as error:  # genfromtxt's are many
        reason = " ".join(str(error).split())[:200]
        raise RequestError(ErrorCode.BAD_CSV, f"the body is no CSV with rows of one length: {reason}") from None
    if array.size == 0:
        raise RequestError(ErrorCode.BAD_CSV, "the body holds no row")
    return array


def _npy(body: bytes) -> np.ndarray:
    """One array of NumPy's format; never a pickle, and never more memory than the body has."""
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version} is not read here")
        if dtype.hasobject:
            raise ValueError("arrays of Python objects are pickles, which are not read here")
        count = 1
        for length in shape:
            count *= length
        rest = body[stream.tell() :]
        if min(shape, default=0) < 0 or count * dtype.itemsize != len(rest):
            raise ValueError(f"its header promises {count * dtype.itemsize:,} bytes, it has {len(rest):,}")
        array = np.frombuffer(rest, dtype=dtype) if count else np.empty(0, dtype)
        # A copy: what came in can't be written to.
        return array.reshape(shape, order="F" if fortran else "C").copy()
    except (ValueError, TypeError, OverflowError, SyntaxError, RecursionError) as error:
        raise RequestError(ErrorCode.BAD_NPY, f"the body is no array in NumPy's format: {error}") from None
