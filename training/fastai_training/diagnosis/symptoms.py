"""How libraries and the system say that something ran out or went away, as patterns of their words."""

from __future__ import annotations

import errno
import re

#: Errors of a volume that has no room left.
FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
#: How a full disk (or a quota) is told: by the system's own words, whoever passes them on, ...
DISK_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|\[Errno (?:28|122)\]|os error (?:28|122)\b|ENOSPC|EDQUOT|StorageFull|"
    r"QuotaExceeded|disk is full"
)
#: ... or without them, by those who only see that less was written than they gave: torch's archives, C++ streams
#: (OpenVINO), Pillow's TIFF encoder, NumPy.
WRITE_CUT = re.compile(
    r"inline_container\.cc.*(?:unexpected pos|write)|PytorchStreamWriter failed|unexpected pos \d+ vs \d+|"
    r"basic_ios::clear|iostream error|encoder error -2 when writing|\d+ requested and \d+ written|"
    r"Write error at scanline|short write|failed writing file"
)
#: While a file is known to be written, fewer words are enough for both.
DISK_FULL_WHILE_WRITING = re.compile(r"No space left|os error (?:28|122)\b|quota exceeded", re.IGNORECASE)
WRITE_CUT_WHILE_WRITING = re.compile(r"unexpected pos|inline_container|PytorchStreamWriter|basic_ios|iostream")
SHARED_MEMORY = re.compile(
    r"insufficient shared memory|/dev/shm|\(shm\)|Bus error|unable to (?:write|open|mmap).*torch_"
)
GPU_MEMORY = re.compile(r"CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED|OutOfMemoryError")
MEMORY = re.compile(r"MemoryError|DefaultCPUAllocator: can't allocate memory|Cannot allocate memory|std::bad_alloc")
#: A worker that lost its peers: the cause is on another host.
LOST_PEER = re.compile(
    r"closed by peer|reset by peer|Connection (?:refused|closed|reset)|gloo|NCCL|ncclRemoteError|DistBackendError|"
    r"DistNetworkError|DistStoreError|RendezvousConnectionError|Broken pipe|[Tt]imed out|TCPStore",
)


def is_lost_peer(text: str) -> bool:
    """Whether an exception says no more than that another host or process went away."""
    return bool(LOST_PEER.search(text))
