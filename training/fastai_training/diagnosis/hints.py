"""What to do about errors that scripts written elsewhere, or long ago, run into here."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

_FASTAI_1 = re.compile(
    r"No module named 'fastai\.|cannot import name '\w+' from '?fastai|module 'fastai[\w.]*' has no attribute|"
    r"name '(?:ImageDataBunch|DataBunch|TextDataBunch|TextLMDataBunch|TabularDataBunch|ImageList|ImageItemList|"
    r"SegmentationItemList|create_cnn|cnn_learner|ConvLearner|get_transforms|open_image|simple_learner)' is not defined"
)
#: With fastai 2 this imports nothing at all; any name of fastai's is then not defined.
_EMPTY_IMPORT = re.compile(r"^\s*from fastai(?:\.(?:vision|text|tabular|collab))? import \*", re.MULTILINE)
_UNDEFINED = re.compile(r"NameError: name '\w+' is not defined")
_OLD_EXPORT = re.compile(r"No module named 'fastcore\.(?:transform|dispatch)'|attempted to import from `fastcore\.")
_MODULE = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
_NO_NETWORK = re.compile(
    r"URLError|Name or service not known|Temporary failure in name resolution|Network is unreachable|"
    r"Max retries exceeded|LocalEntryNotFoundError|"
    r"couldn't connect to|Failed to resolve|OfflineModeIsEnabled|ConnectTimeout"
)
#: torch.hub's own line.
_DOWNLOADED = re.compile(r"""Downloading: "?https?://\S*?/([^/\s"']+)"? to """)
_UNWRITABLE = re.compile(
    r"(?:Read-only file system: '|Permission denied: '|File |Parent directory )(?P<path>/[^'\n]+?)"
    r"(?:'|$| cannot be opened| does not exist)"
)
#: Packages whose modules have other names, as far as scripts for pictures use them.
_PACKAGES = {
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "yaml": "PyYAML",
    "albumentations": "albumentations",
    "pytorch_lightning": "pytorch-lightning",
}
_ELSEWHERE = (
    'give fastai a folder of its own: Learner(..., path=os.environ["SM_OUTPUT_DATA_DIR"]) for what learn.save and '
    'callbacks write, learn.export(os.path.join(os.environ["SM_MODEL_DIR"], "export.pkl")) for the model'
)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _imports_nothing(code: Path) -> bool:
    """Whether a Python file of ``code`` has fastai 1's import of everything."""
    for path in sorted(code.glob("*.py"))[:50]:
        try:
            if _EMPTY_IMPORT.search(path.read_text(encoding="utf-8", errors="replace")):
                return True
        except OSError:
            continue
    return False


def _old_fastai(text: str, _recent: str, code: Path) -> str:
    if not _FASTAI_1.search(text) and not (_UNDEFINED.search(text) and _imports_nothing(code)):
        return ""
    return (
        f"the script was written for fastai 1, this image has fastai {_version('fastai')}: import from "
        "fastai.vision.all; ImageDataBunch became ImageDataLoaders, create_cnn and cnn_learner vision_learner, "
        "get_transforms aug_transforms, fastai.callbacks fastai.callback.all"
    )


def _old_export(text: str, _recent: str, _code: Path) -> str:
    if not _OLD_EXPORT.search(text):
        return ""
    return (
        f"the exported learner is of fastai 2.7 or older, this image {_version('fastai')}: train and export it with "
        "that, or put fastai<2.8 into requirements.txt beside the script (it brings an older torch)"
    )


def _module(text: str, _recent: str, code: Path) -> str:
    found = _MODULE.search(text)
    if found is None:
        return ""
    module = found[1].partition(".")[0]
    if module == "spacy":
        return (
            "fastai.text needs spaCy, which this image for pictures leaves out: put a line spacy into requirements.txt "
            "beside the script (the job then needs a network)"
        )
    if (code / module).exists() or (code / f"{module}.py").exists() or _version(module):
        return ""
    package = _PACKAGES.get(module, module)
    return (
        f"{module} is not in this image: put a line {package} into requirements.txt beside the script, or submit it "
        "with the code"
    )


def _network(text: str, recent: str, _code: Path) -> str:
    if not _NO_NETWORK.search(text):
        return ""
    files = _DOWNLOADED.findall(f"{recent}\n{text}")
    what = files[-1] if files else "what the script asks for"
    return (
        f"no network: {what} can't be downloaded. For pretrained weights there are these ways: a channel named weights "
        "that holds the file, files laid in docker/weights before make build, a job with a network, or pretrained=False"
    )


def _unwritable(text: str, _recent: str, _code: Path) -> str:
    found = _UNWRITABLE.search(text)
    if found is None or "/input/data/" not in found["path"]:
        return ""
    return f"{found['path']} is in an input channel, which can't be written: {_ELSEWHERE}"


_HINTS: tuple[Callable[[str, str, Path], str], ...] = (_old_export, _old_fastai, _module, _network, _unwritable)


def hint(text: str, code: Path, recent: str = "") -> str:
    """What is behind the error ``text`` and what to do, in one sentence; "" where nothing is known.

    ``code``: the folder of the user's files. ``recent``: what the program wrote before it ended.
    """
    return next((said for known in _HINTS if (said := known(text, recent, code))), "")
