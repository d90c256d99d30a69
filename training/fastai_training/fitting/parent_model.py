"""The model that a job goes on from, in the channel ``model``: found, unpacked and verified, without torch.

SageMaker's incremental training (an estimator's ``model_uri``) gives it as the model.tar.gz that a job left; as a
channel of one's own it may be the unpacked folder too. What is in it is data: nothing of it is executed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fastai_container.errors import ModelFolderError, UserError, unreadable
from fastai_container.model_folder import MANIFEST, WEIGHTS, ModelManifest, load_verified
from fastai_training.console import Log
from fastai_training.diagnosis.disk_space import free_bytes, full, naming_full
from fastai_training.diagnosis.volumes import VolumeError
from fastai_training.fitting import arch_names
from fastai_training.hyperparameters import HyperParameterError, HyperParameters
from fastai_training.quoting import shown

CHANNEL = "the channel model"
ARCHIVES = (".tar.gz", ".tgz", ".tar")
#: In an archive; ours have seven.
MAX_FILES = 10_000
GIVE = "give the model.tar.gz that training made, or the folder that fastai_sagemaker.export_model writes"
_NAMED = 5


class ParentError(UserError):
    """A model to go on from that is not there, damaged, or none that can be gone on from."""


@dataclass(frozen=True)
class Parent:
    """A verified model folder; ``digest``: the SHA-256 of its model.json, which names the digests of all its files."""

    folder: Path
    manifest: ModelManifest
    digest: str

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS


def names_of(names: list[str]) -> str:
    """The first few of ``names``, as a log shows them."""
    return ", ".join(map(shown, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")


#: Writes the learner of a pickle (the first path) as a model folder (the second); it runs what the pickle says.
Unpickle = Callable[[Path, Path], None]


@contextmanager
def opened_parent(channel: Path, say: Log, unpickle: Unpickle | None = None) -> Iterator[Parent]:
    """The model in ``channel``, for as long as the block runs; an archive is unpacked into a temporary folder.

    ``unpickle``: where the user trusts it, what makes a model folder of a learner that fastai exported. Raises
    ParentError for a channel without a model that can be gone on from, or a damaged one; VolumeError where there is no
    room to unpack it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            parent = _open(channel, Path(scratch), say, unpickle)
        except PermissionError as error:
            raise ParentError(f"{CHANNEL}: {unreadable(error.filename or channel)}") from None
        yield parent


def _open(channel: Path, scratch: Path, say: Log, unpickle: Unpickle | None) -> Parent:
    names = sorted(entry.name for entry in channel.iterdir())
    archives = [name for name in names if name.endswith(ARCHIVES) and (channel / name).is_file()]
    if MANIFEST in names:
        folder, source = channel, "its folder"
        if archives:
            say(f"{CHANNEL}: {names_of(archives)} is not used, beside a {MANIFEST}")
    elif len(archives) == 1:
        folder, source = scratch / "unpacked", shown(archives[0])
        folder.mkdir()
        _unpack(channel / archives[0], folder)
    elif unpickle and _pickles(names):
        folder, source = channel, "its folder"
    else:
        raise _no_model(channel, names, archives, CHANNEL)
    if unpickle:
        folder, source = _written(folder, scratch / "learner", source, unpickle)
    parent = _verified(folder, source)
    if (folder / "code").is_dir():
        say(f"{CHANNEL}: the script in its code/ is not taken over; put it into the new model")
    return parent


def _pickles(names: list[str]) -> list[str]:
    return [name for name in names if name.endswith((".pkl", ".pickle"))]


def _written(folder: Path, target: Path, source: str, unpickle: Unpickle) -> tuple[Path, str]:
    """The learner that ``folder`` holds as a model folder at ``target``. Raises ParentError where it holds none."""
    names = sorted(entry.name for entry in folder.iterdir())
    pickles = _pickles(names)
    if MANIFEST in names:
        raise ParentError(
            f"unpickle=true, but {source} in {CHANNEL} is a model folder, which needs no pickle: leave unpickle out"
        )
    if len(pickles) != 1:
        held = names_of(pickles) if pickles else f"none: {names_of(names) or 'it is empty'}"
        raise ParentError(f"unpickle=true takes the one pickle of a learner in {CHANNEL} ({source}); it holds {held}")
    unpickle(folder / pickles[0], target)
    return target, shown(pickles[0])


def _verified(folder: Path, source: str) -> Parent:
    if not (folder / MANIFEST).is_file():
        names = sorted(entry.name for entry in folder.iterdir())
        raise _no_model(folder, names, [], f"{source} in {CHANNEL}")
    try:
        manifest = load_verified(folder, [WEIGHTS])
    except ModelFolderError as error:
        # An archive is unpacked somewhere that means nothing to its user.
        reason = str(error).replace(f"{folder}/", "").replace(str(folder), source)
        raise ParentError(f"the model in {CHANNEL} ({source}) can't be gone on from: {reason}") from None
    return Parent(folder, manifest, hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest())


def _no_model(folder: Path, names: list[str], archives: list[str], where: str) -> ParentError:
    """What ``folder`` holds instead of a model, and what to give."""
    if not names:
        return ParentError(f"{where} is empty; {GIVE}")
    if archives:
        return ParentError(f"{where} holds {len(archives)} archives ({names_of(archives)}); give the one to go on from")
    nested = [name for name in names for file in (MANIFEST, "model.tar.gz") if (folder / name / file).is_file()]
    if nested:
        return ParentError(f"{where}: the model is in its folder {shown(nested[0])}; give what is in that one")
    pickles = _pickles(names)
    if pickles:
        return ParentError(
            f"{where} holds {shown(pickles[0])} and no {MANIFEST}: a learner exported by fastai is code, and isn't run "
            "here. In the environment that made it call fastai_sagemaker.export_model(load_learner(...), folder, "
            "samples=[(path, label), ...]) and give that folder; or, where you trust the file, set unpickle=true"
        )
    weights = [name for name in names if name.endswith((".pth", ".pt", ".bin", ".safetensors", ".ckpt"))]
    if weights:
        return ParentError(
            f"{where} holds {shown(weights[0])} and no {MANIFEST}: weights alone don't say their architecture and "
            "classes. Give the folder that fastai_sagemaker.export_model writes; ImageNet weights go into the channel "
            "weights"
        )
    return ParentError(f"{where} holds no {MANIFEST} and no model.tar.gz (it holds {names_of(names)}); {GIVE}")


def _unpack(archive: Path, folder: Path) -> None:
    """The files of ``archive`` into ``folder``. Raises ParentError, or VolumeError when they don't fit there."""
    again = "copy it again, or train again"
    try:
        with naming_full(folder), tarfile.open(archive, "r:*") as members:
            _write_members(members, archive, folder)
    except (UserError, PermissionError):
        raise
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError):
        raise ParentError(f"{shown(archive.name)} in {CHANNEL} is no tar archive, or cut short; {again}") from None
    except OSError as error:
        reason = error.strerror or str(error)  # gzip's own have no number
        raise ParentError(f"{shown(archive.name)} in {CHANNEL} can't be unpacked: {reason}; {again}") from None


def _write_members(members: tarfile.TarFile, archive: Path, folder: Path) -> None:
    """Only plain files are made, so that nothing can be written through a link, and none that lies outside."""
    free, total = free_bytes(folder), 0
    # Read as it comes: the sizes that headers announce are added up before anything is written.
    for count, member in enumerate(members, 1):
        name = PurePosixPath(member.name)
        if member.isdir():
            continue
        wrong = None
        if name.is_absolute() or ".." in name.parts or not name.parts:
            wrong = "which lies outside of it"
        elif not member.isfile():
            wrong = "which is no plain file"
        elif count > MAX_FILES:
            wrong = f"and more than {MAX_FILES:,} files"
        if wrong:
            raise ParentError(f"{shown(archive.name)} in {CHANNEL} holds {shown(member.name)}, {wrong}; {GIVE}")
        total += member.size
        if free is not None and total > free:
            raise VolumeError(full(folder, total))
        content = members.extractfile(member)
        assert content is not None  # as for every plain file
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)


def settle(parameters: HyperParameters, given: frozenset[str], parent: Parent, say: Log) -> HyperParameters:
    """``parameters`` with architecture and image size of ``parent`` where the user didn't give them.

    Raises HyperParameterError for those that contradict going on from it.
    """
    manifest = parent.manifest
    if not parameters.pretrained:
        raise HyperParameterError(
            f"pretrained=false starts from random weights, and {CHANNEL} gives some to go on from: leave out one of "
            "them"
        )
    if "arch" in given and not arch_names.same(parameters.arch, manifest.arch):
        raise HyperParameterError(
            f"arch={parameters.arch}, but the model in {CHANNEL} is a {shown(manifest.arch)}: leave arch out to go on "
            "from it, or the channel to train another"
        )
    size = parameters.image_size
    if "image_size" in given and size != manifest.image_size:
        say(f"{CHANNEL}: image_size={size} as asked for; its model was trained at {manifest.image_size}")
    elif "image_size" not in given:
        size = manifest.image_size
    taken = [
        f"{name}={shown(value)}" for name, value in (("arch", manifest.arch), ("image_size", size)) if name not in given
    ]
    if taken:
        say(f"{CHANNEL}: {' and '.join(taken)} of its model")
    return dataclasses.replace(parameters, arch=manifest.arch, image_size=size)
