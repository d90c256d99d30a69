"""Write a trained learner as a model folder: weights, the compiled models, the learner for people."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import openvino
import torch
from fastai.vision.all import (
    AttrGetter,
    Categorize,
    CrossEntropyLossFlat,
    Datasets,
    IntToFloatTensor,
    Learner,
    Normalize,
    PILImage,
    Resize,
    ToTensor,
    error_rate,
)
from safetensors.torch import save_file

from fastai_container import __version__
from fastai_container.model_folder import (
    COMPILED_MODEL,
    COMPILED_WEIGHTS,
    LEARNER,
    TORCH_MODEL,
    WEIGHTS,
    ModelManifest,
    writing,
)
from fastai_training.data.labels import Example
from fastai_training.diagnosis.disk_space import MODEL_TIMES_WEIGHTS, naming_full
from fastai_training.exporting.quantization import measure, readable
from fastai_training.exporting.servable import checked
from fastai_training.fitting.models import ServingModule

_PACKAGES = ("fastai", "torch", "torchvision", "timm", "openvino", "nncf", "pillow", "numpy")


def versions() -> dict[str, str]:
    """Of what made a model."""
    return {"fastai-sagemaker": __version__, "python": platform.python_version()} | {
        name: metadata.version(name) for name in _PACKAGES
    }


def write_compiled_model(model: torch.nn.Module, details: ModelManifest, path: Path) -> None:
    """Convert ``model`` to OpenVINO at ``path``: uint8 (n, size, size, 3) in, probabilities (n, classes) out."""
    module = ServingModule(model, tuple(details.mean), tuple(details.std)).eval()
    example = torch.zeros((2, details.image_size, details.image_size, 3), dtype=torch.uint8)
    converted = openvino.convert_model(
        module,
        example_input=example,
        input=[("pictures", openvino.PartialShape([-1, *example.shape[1:]]), openvino.Type.u8)],
    )
    converted.outputs[0].get_tensor().set_names({"probabilities"})
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(converted, str(path), compress_to_fp16=True)


def write_torch_model(model: torch.nn.Module, details: ModelManifest, path: Path) -> None:
    """Export ``model`` for torch at ``path``, with the input and the output of ``write_compiled_model``.

    A network that torch.export can't follow is left without: it is served on CPUs alone.
    """
    module = ServingModule(model, tuple(details.mean), tuple(details.std)).eval()
    example = torch.zeros((2, details.image_size, details.image_size, 3), dtype=torch.uint8)
    try:
        exported = torch.export.export(
            module, (example,), dynamic_shapes=({0: torch.export.Dim("n", min=1, max=1024)},)
        )
    except Exception as error:  # torch.export raises whatever tracing met
        print(f"no compiled model for GPUs was written: {type(error).__name__}: {str(error).strip()[:200]}", flush=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.export.save(exported, path)


def portable_learner(model: torch.nn.Module, details: ModelManifest, example: Path) -> Learner:
    """A learner made of fastai's own parts alone, so that its pickle loads wherever fastai is installed."""
    datasets = Datasets(
        [example],
        # No picture has a label here, AttrGetter's default stands for it: the pipeline is kept for its vocabulary.
        tfms=[[PILImage.create], [AttrGetter("label", details.vocab[0]), Categorize(vocab=details.vocab)]],
        splits=[[0], [0]],
    )
    loaders = datasets.dataloaders(
        bs=1,
        after_item=[Resize(details.image_size), ToTensor],
        after_batch=[IntToFloatTensor, Normalize.from_stats(details.mean, details.std)],
        device=torch.device("cpu"),
        num_workers=0,
    )
    return Learner(loaders, model, loss_func=CrossEntropyLossFlat(), metrics=error_rate)


@contextlib.contextmanager
def _same_draws() -> Iterator[None]:
    """fastai's loaders draw from ``random`` when they are made, and are exported with it: the same bytes each time."""
    state = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(state)


def write_model_folder(
    folder: Path,
    network: torch.nn.Module | Learner,
    details: ModelManifest,
    train: Sequence[Example],
    valid: Sequence[Example],
    precision: str,
) -> ModelManifest:
    """Write a script's classifier as the model folder ``folder``; returns its details, with what was measured.

    ``network``: the learner, or its network. Raises ExportError, before anything is written, for one that gives more
    than one class a picture or sees pictures otherwise than serving will; VolumeError when there is no room.
    """
    return write_classifier(folder, *checked(network, details, train, valid), precision)


def write_classifier(
    folder: Path,
    model: torch.nn.Module,
    details: ModelManifest,
    train: list[Example],
    valid: list[Example],
    precision: str,
) -> ModelManifest:
    """Write ``model`` as the model folder ``folder``; returns its details, with what was measured of the precisions.

    ``precision`` is the hyperparameter serving_precision. Raises VolumeError when there is no room.
    """
    model = model.cpu().float().eval().to(memory_format=torch.contiguous_format)
    needed = MODEL_TIMES_WEIGHTS * sum(value.numel() * value.element_size() for value in model.state_dict().values())
    with (
        naming_full(folder, needed=needed),
        tempfile.TemporaryDirectory() as scratch,
        naming_full(Path(scratch)),
        torch.no_grad(),
    ):
        fp32 = Path(scratch) / "fp32.xml"
        write_compiled_model(model, details, fp32)
        chosen, facts = measure(Path(scratch), fp32, train, valid, details.vocab, details.image_size, precision, _say)
        details = dataclasses.replace(details, program=facts)
        with writing(folder, details) as partial, naming_full(folder, Path(scratch), needed=needed):
            state: dict[str, Any] = {
                name: value.detach().contiguous().clone() for name, value in model.state_dict().items()
            }
            # One entry alone: several come in another order each time.
            save_file(state, partial / WEIGHTS, metadata={"format": "pt"})
            (partial / COMPILED_MODEL).parent.mkdir(parents=True)
            shutil.copyfile(chosen, partial / COMPILED_MODEL)
            shutil.copyfile(chosen.with_suffix(".bin"), partial / COMPILED_WEIGHTS)
            write_torch_model(model, details, partial / TORCH_MODEL)
            with _same_draws():
                example, _ = next(readable(train, details.image_size))
                portable_learner(model, details, example).export(partial / LEARNER)
    return details


def _say(text: str) -> None:
    print(text, flush=True)
