"""A script's archive, unpacked: from a file or from S3, nothing of it outside its folder, and no more than fits."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from fastai_container.errors import UserError, unreadable
from fastai_container.resources import memory_limit_bytes

MB = 1024 * 1024
#: Code and what belongs to it; models come in model.tar.gz.
MAX_BYTES = 1024 * MB
MAX_FILES = 50_000


def _limit(folder: Path) -> int:
    """Bytes that may be unpacked into ``folder``, which often is memory: a tmpfs counts to the container's."""
    memory = memory_limit_bytes()
    return min(MAX_BYTES, shutil.disk_usage(folder).free, memory // 4 if memory else MAX_BYTES)


def unpack(source: str, folder: Path) -> None:
    """Unpack the archive ``source``, a path or an address on S3, into ``folder``. Raises UserError."""
    limit = _limit(folder)
    try:
        if source.startswith("s3://"):
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                local = Path(temporary) / "code.tar.gz"
                _download(source, local, limit)
                _extract(local, folder, limit)
        else:
            _extract(Path(source), folder, limit)
    except UserError as error:
        raise UserError(f"can't get the script's archive {source}: {error}") from None
    except PermissionError:
        raise UserError(f"can't get the script's archive {source}: {unreadable(source)}") from None
    except (tarfile.TarError, EOFError, zlib.error):
        raise UserError(
            f"can't get the script's archive {source}: it is no tar.gz archive, or cut short; make it anew"
        ) from None
    except Exception as error:  # boto's are many
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"can't get the script's archive {source}: {reason}") from None


def _download(source: str, local: Path, limit: int) -> None:
    import boto3  # only here: it takes half a second to import

    address = urlsplit(source)
    name = {"Bucket": address.netloc, "Key": address.path.lstrip("/")}
    client = boto3.client("s3")
    size = client.head_object(**name)["ContentLength"]
    if size > limit:
        raise _too_large(size, limit)
    client.download_file(name["Bucket"], name["Key"], str(local))


def _too_large(size: int, limit: int) -> UserError:
    return UserError(
        f"it holds more than fits here ({size // MB:,} MB or more, {limit // MB:,} MB are allowed); leave out of it "
        "what is not code, models belong into model.tar.gz"
    )


def _extract(local: Path, folder: Path, limit: int) -> None:
    """The files and folders that stay within ``folder``; no links, no devices, no more rights than to read and run."""
    root = folder.resolve()
    total = 0
    # Read as it comes: the sizes that headers announce are added up before anything is written.
    with tarfile.open(local, "r:*") as archive:
        for count, member in enumerate(archive, 1):
            total += member.size
            if total > limit:
                raise _too_large(total, limit)
            if count > MAX_FILES:
                raise UserError(f"it holds more than {MAX_FILES:,} files")
            target = root / member.name
            if not (member.isfile() or member.isdir()) or not target.resolve().is_relative_to(root):
                continue
            # Not filter="data": Debian 12's Python is older than that.
            archive.extract(member, root, set_attrs=False)
            if member.isfile():
                target.chmod(0o644 | (member.mode & 0o111))
