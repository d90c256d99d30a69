from __future__ import annotations

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.masks import split_off
from fastai_training.data.picture_files import read_tree
from tests.unit.training_data import write_empty

MASKS = {
    "the Oxford pets": (["images/pug_{}.jpg"], ["annotations/trimaps/pug_{}.png"]),
    "CamVid": (["camvid/images/0001TP_{}.png"], ["camvid/labels/0001TP_{}_P.png"]),
    "CamVid with a split": (
        ["train/0001TP_{}.png", "val/0001TP_1{}.png"],
        ["train_labels/0001TP_{}_L.png", "val_labels/0001TP_1{}_L.png"],
    ),
    "VOC": (["JPEGImages/2007_{}.jpg"], ["SegmentationClass/2007_{}.png", "SegmentationObject/2007_{}.png"]),
    "COVID radiography": (
        ["COVID/images/COVID-{}.png", "Normal/images/Normal-{}.png"],
        ["COVID/masks/COVID-{}.png", "Normal/masks/Normal-{}.png"],
    ),
    "BUSI": (["benign/benign ({}).png"], ["benign/benign ({})_mask.png", "benign/benign ({})_mask_1.png"]),
    "CUB-200": (["CUB_200_2011/images/001.Gull/Gull_{}.jpg"], ["segmentations/001.Gull/Gull_{}.png"]),
    "MVTec": (["bottle/test/broken/{}.png"], ["bottle/ground_truth/broken/{}_mask.png"]),
    "numbers": (["images/{}.jpg"], ["masks/{}.png"]),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_told_from_pictures(tmp_path, name):
    pictures, masks = MASKS[name]
    write_empty(tmp_path, *pictures, *masks)
    tree = read_tree(tmp_path)
    kept, notes = split_off(tree)
    assert {tree.relative(path) for path in kept} == {
        pattern.format(number) for pattern in pictures for number in range(4)
    }
    assert sum(int(note.text.split()[0]) for note in notes) == 4 * len(masks), "each is counted"
    assert all("have the names of pictures, as masks have" in note.text and note.example for note in notes)


CLASSES = {
    "faces": ["with_mask/face_{}.png", "without_mask/face_{}.jpg"],
    "faces, and the word alone": ["mask/100{}.png", "no_mask/100{}.jpg", "improper_mask/100{}.jpg"],
    "faces in words of one piece": ["mask/{}.png", "nomask/{}.jpg"],
    "numbers": ["real/{}.jpg", "fake/{}.png"],
    "a camera's names": ["real/IMG_000{}.jpg", "fake/IMG_000{}.png"],
    "one kind of file": ["cat/tom_{}.png", "dog/tom_{}.png"],
    "no pictures of these names": ["images/a{}.jpg", "masks/b{}.png"],
    "with loss": ["images/cat_{}.jpg", "masks/cat_{}.jpg"],
    "left and right eyes": ["ill/eye{}.png", "ill/eye{}_L.png"],
    "nothing but masks": ["masks/{}.png"],
}


@pytest.mark.parametrize("name", CLASSES)
def test_pictures_of_classes_are_no_masks(tmp_path, name):
    write_empty(tmp_path, *CLASSES[name])
    tree = read_tree(tmp_path)
    assert split_off(tree) == (tree.pictures, [])


def test_some_masks_more_than_there_are_pictures_make_a_folder_of_pictures(tmp_path):
    write_empty(tmp_path, "images/{}.jpg", "labels/{}.png", "labels/other.png")
    assert len(split_off(read_tree(tmp_path))[0]) == 9


@pytest.mark.parametrize(
    "patterns", [["labels/toast_{}.png", "boxes/toast_{}.jpg"], ["fake/face{}.png", "real/face{}.jpg"]]
)
def test_what_may_be_masks_or_a_class_is_asked(tmp_path, patterns):
    write_empty(tmp_path, *patterns)
    tree = read_tree(tmp_path)
    with pytest.raises(DataError, match=r"the 4 pictures in (labels|fake) have the names of.*label_from=folders"):
        split_off(tree)
    assert split_off(tree, sure=True) == (tree.pictures, [])
