"""Tell the masks of pictures, which lie beside them in many data sets, from pictures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fastai_training.data.given_split import split_of_name
from fastai_training.data.labels import DataError, Note
from fastai_training.data.picture_files import Tree
from fastai_training.data.picture_names import is_a_cameras, label_of
from fastai_training.quoting import shown

#: Masks are kept without loss.
_LOSSLESS = frozenset({".png", ".gif", ".bmp", ".tif", ".tiff"})
_MASKS = r"(?:trimaps?|masks?|annotations?|labels?|segmentations?|gt|ground_?truth)"
_CALLED = re.compile(
    rf"^(?:(?P<of>\w*)[\s_-]{_MASKS}|{_MASKS}|segmentationclass\w*|segmentationobject|{_MASKS}[\s_-](?:png|raw)s?)$",
    re.IGNORECASE,
)
#: with_mask, without_mask, no-mask: faces, and classes.
_A_CLASS = re.compile(r"^(?:with|without|no|non|not|in|improper|incorrect|wrong|proper)$", re.IGNORECASE)
#: Where the pictures of masks lie.
_PICTURES = re.compile(r"image|img|photo|pict|jpe?g|png|rgb|colou?r|original|raw|data", re.IGNORECASE)
#: What masks' names have besides their picture's: CamVid's x_P.png.
_ENDING = re.compile(r"(?:_P|_L|[_-](?:mask|segmentation|seg|gt|groundtruth|labels?|trimap)s?)$", re.IGNORECASE)
#: In a folder of pictures, where x_L may be a left eye: benign (1)_mask.png, benign (1)_mask_1.png.
_BESIDE = re.compile(r"^(?P<stem>.+)[_-](?:mask|segmentation|trimap)s?(?:[_-]\d+)?$", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
NO, PERHAPS, YES = range(3)


def split_off(tree: Tree, *, sure: bool = False) -> tuple[list[Path], list[Note]]:
    """Return the tree's pictures without masks, and for each folder of masks a note.

    A folder holds masks when it is called as such folders are, all of its files are of a lossless kind, and each has
    the name of a picture in a folder of pictures. Raises DataError where it may as well be a class, unless the user is
    ``sure`` that it is one.
    """
    lossless = {path for path in tree.pictures if path.suffix.lower() in _LOSSLESS}
    if not lossless:
        return tree.pictures, []
    folders: dict[Path, list[Path]] = defaultdict(list)
    of_stem: dict[str, list[Path]] = defaultdict(list)
    for path in tree.pictures:
        folders[path.parent].append(path)
        of_stem[path.stem].append(path)
    masks: dict[Path, list[Path]] = {}
    for folder, paths in folders.items():
        answer, of = _are_masks(tree, paths, of_stem) if lossless.issuperset(paths) else (NO, None)
        if answer == PERHAPS and of is not None and not sure:
            raise DataError(
                f"the {len(paths)} pictures in {shown(tree.relative(folder))} have the names of those in "
                f"{shown(tree.relative(of))}: are they masks, or a class? Take masks out of the channel; if the "
                "folders are classes, set label_from=folders"
            )
        if answer == YES:
            masks[folder] = paths
        elif beside := _beside(paths, lossless):
            masks[folder] = beside
    gone = {path for paths in masks.values() for path in paths}
    if len(gone) == len(tree.pictures):
        return tree.pictures, []
    notes = [
        Note(
            f"{len(paths)} files in {shown(tree.relative(folder) or '.')} are not used: they have the names of "
            "pictures, as masks have",
            tree.relative(paths[0]),
        )
        for folder, paths in masks.items()
    ]
    return [path for path in tree.pictures if path not in gone], notes


def _beside(paths: Sequence[Path], lossless: set[Path]) -> list[Path]:
    """The masks that lie in one folder with their pictures."""
    stems = {path.stem for path in paths}
    return [
        path for path in paths if path in lossless and (match := _BESIDE.match(path.stem)) and match["stem"] in stems
    ]


def _are_masks(tree: Tree, paths: Sequence[Path], of_stem: dict[str, list[Path]]) -> tuple[int, Path | None]:
    """NO, PERHAPS or YES for one folder's files, and the folder of the pictures that they may be masks of."""
    answer, of = YES, None
    for path in paths:
        stem = _ENDING.sub("", path.stem)
        others = [
            other for found in {stem, path.stem} for other in of_stem.get(found, ()) if other.parent != path.parent
        ]
        found = max((_is_mask(tree, path, other) for other in others), default=NO)
        if found == NO:
            return NO, None
        answer, of = min(answer, found), of or others[0].parent
    return answer, of


def _is_mask(tree: Tree, path: Path, picture: Path) -> int:
    """Whether ``path`` is the mask of ``picture``, which has the same name, by the folders where their paths differ."""
    ours, theirs = _difference(tree.relative(path.parent).split("/"), tree.relative(picture.parent).split("/"))
    named = [match for part in ours if (match := _CALLED.match(part))]
    if any("mask" in part.lower() or _CALLED.match(part) for part in theirs):
        return NO  # mask and no_mask: classes; or masks of another kind
    if any(_A_CLASS.match(match["of"] or "") for match in named):
        return NO
    if named and (
        path.stem != picture.stem
        or any((match["of"] or "-").lower() in (part.lower() for part in theirs) for match in named)
        or any(_PICTURES.search(part) or split_of_name(part) for part in theirs)
    ):
        return YES
    if path.suffix.lower() == picture.suffix.lower():
        return NO
    stem = picture.stem
    telling = len(stem) > 3 and _LETTER.search(stem) and not is_a_cameras(label_of(stem) or stem)
    return PERHAPS if named or telling else NO


def _difference(one: list[str], other: list[str]) -> tuple[list[str], list[str]]:
    """Two paths without the folders that they have in common at either end."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return one, other
