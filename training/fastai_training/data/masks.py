"""Tell the masks of pictures, which lie beside them in many data sets, from pictures."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from fastai_training.data.labels import Note
from fastai_training.data.picture_files import Tree
from fastai_training.quoting import shown

#: Masks are kept without loss.
_LOSSLESS = frozenset({".png", ".gif", ".bmp", ".tif", ".tiff"})
_FOLDER = re.compile(
    r"^(?:trimaps?|masks?|annotations?|labels?|segmentations?|segmentationclass\w*|segmentationobject|gt|groundtruth|"
    r"ground_truth|\w*[_-](?:masks?|annotations?|gt|labels?))$",
    re.IGNORECASE,
)
#: What masks' names have besides their picture's: CamVid's x_P.png.
_ENDING = re.compile(r"(?:_P|_L|[_-](?:masks?|segmentation|seg|gt|labels?|trimap))$", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")


def _stem(path: Path) -> str:
    return _ENDING.sub("", path.stem)


def split_off(tree: Tree) -> tuple[list[Path], list[Note]]:
    """Return the tree's pictures without masks, and for each folder of masks a note.

    A folder holds masks when all of its files are of a lossless kind and each has the name of a picture in another
    folder whose kind is another, and the folder is called as such folders are, or the names are more than numbers.
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in tree.pictures:
        folders[path.parent].append(path)
    if len(folders) < 2 or not any(path.suffix.lower() in _LOSSLESS for path in tree.pictures):
        return tree.pictures, []
    of_stem: dict[str, set[tuple[Path, str]]] = defaultdict(set)
    for folder, paths in folders.items():
        for path in paths:
            of_stem[path.stem].add((folder, path.suffix.lower()))
    masks = [folder for folder, paths in folders.items() if _are_masks(tree, folder, paths, of_stem)]
    if not masks or len(masks) == len(folders):
        return tree.pictures, []
    gone = set(masks)
    notes = [
        Note(
            f"{len(folders[folder])} files in {shown(tree.relative(folder))} are not used: they have the names of "
            "pictures in another folder, as masks have",
            tree.relative(folders[folder][0]),
        )
        for folder in masks
    ]
    return [path for path in tree.pictures if path.parent not in gone], notes


def _are_masks(tree: Tree, folder: Path, paths: list[Path], of_stem: dict[str, set[tuple[Path, str]]]) -> bool:
    if not all(path.suffix.lower() in _LOSSLESS for path in paths):
        return False
    called = any(_FOLDER.match(part) for part in tree.relative(folder).split("/"))
    for path in paths:
        named = any(_LETTER.search(_stem(path)) for _ in (0,)) and len(_stem(path)) > 3
        if not called and not named:
            return False
        others = of_stem.get(_stem(path), set()) | of_stem.get(path.stem, set())
        if not any(
            where != folder and (suffix != path.suffix.lower() or (called and _stem(path) != path.stem))
            for where, suffix in others
        ):
            return False
    return True
