"""Keep oneTBB, whose threads OpenVINO runs on, from starting any before a fork.

They would be lost in it, and a model compiled for several threads would wait for them forever.

It starts them when work first asks for them, and no earlier: a model that is compiled and run while the limit is one
thread has none, and after the fork gets its own once the limit is released. The limit is oneTBB's own
(in its specification: global_control, max_allowed_parallelism). It can't be moved back and forth: with threads there, a
limit of one makes them spin (2021.13).
"""

from __future__ import annotations

import ctypes
from pathlib import Path

#: The functions of oneTBB's stable binary interface behind the class global_control.
_CREATE = "_ZN3tbb6detail2r16createERNS0_2d114global_controlE"
_DESTROY = "_ZN3tbb6detail2r17destroyERNS0_2d114global_controlE"
_MAX_ALLOWED_PARALLELISM = 0


class _GlobalControl(ctypes.Structure):
    _fields_ = (("value", ctypes.c_size_t), ("reserved", ctypes.c_ssize_t), ("parameter", ctypes.c_int))


class SingleThreadLimit:
    """Until ``release`` is called, in this process or in one forked from it, oneTBB works in the calling thread alone.

    Raises OSError where OpenVINO's oneTBB isn't the one that this knows.
    """

    def __init__(self) -> None:
        import openvino

        library = Path(openvino.__file__).with_name("libs") / "libtbb.so.12"
        if not library.is_file():
            raise OSError(f"{library} is missing")
        functions = ctypes.CDLL(str(library))
        try:
            create, self._destroy = functions[_CREATE], functions[_DESTROY]
        except AttributeError as error:
            raise OSError(f"{library} has no global_control: {error}") from None
        create.restype = self._destroy.restype = None
        self._control = _GlobalControl(1, 0, _MAX_ALLOWED_PARALLELISM)
        create(ctypes.byref(self._control))

    def release(self) -> None:
        """End the limit; to be called once."""
        self._destroy(ctypes.byref(self._control))
