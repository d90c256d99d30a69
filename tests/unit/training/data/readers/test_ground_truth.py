from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fastai_training.data.labels import DataError, Examples
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples

SINGLE = "groundtruth/image-classification"
SEVERAL = "groundtruth/image-classification-multilabel"


def row(number: int, job: str, value: Any, kind: str = SINGLE, **metadata: Any) -> dict[str, Any]:
    """A line as the console's jobs write it."""
    facts = {"type": kind, "job-name": f"labeling-job/{job}", "human-annotated": "yes", "creation-date": "2026-01-01"}
    facts |= {name.replace("_", "-"): one for name, one in metadata.items()}
    return {"source-ref": f"s3://bucket/in/{number}.jpg", job: value, f"{job}-metadata": facts}


def job(number: int, **metadata: Any) -> dict[str, Any]:
    label = number % 2
    return row(number, "my-job", label, class_name=("cat", "dog")[label], **{"confidence": 0.9, **metadata})


def write(folder: Path, lines: Iterable[dict[str, Any]], name: str = "output.manifest") -> None:
    lines = list(lines)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def pictures(folder: Path, numbers: Iterable[int] = range(4)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}.jpg").touch()


def found(folder: Path, lines: Iterable[dict[str, Any]], *, known: Sequence[str] = (), **asked: Any) -> Examples:
    pictures(folder)
    write(folder, lines)
    return find_examples(folder, Asked(**asked), known=known)


def labels(examples: Examples) -> dict[str, str]:
    return {item.path.name: item.label for item in examples.items}


def said(examples: Examples) -> str:
    return "; ".join(f"{note.text} ({note.example})" for note in examples.notes)


def test_a_jobs_output_gives_the_names_of_classes(tmp_path):
    read = found(tmp_path, map(job, range(4)))
    assert read.source == "ground_truth output.manifest (attribute my-job)"
    assert labels(read) == {"0.jpg": "cat", "1.jpg": "dog", "2.jpg": "cat", "3.jpg": "dog"}
    assert said(read) == ""


def test_rows_that_failed_are_left_out_and_counted(tmp_path):
    failed = row(3, "my-job", -1, failure_reason="ClientError: the picture can't be read")
    read = found(tmp_path, [*map(job, range(3)), failed])
    assert len(read.items) == 3
    assert read.skipped == [("s3://bucket/in/3.jpg", "labelling failed: ClientError: the picture can't be read")]
    assert "1 rows of output.manifest are left out since their labelling failed" in said(read)


def test_rows_without_the_attribute_are_left_out_and_counted(tmp_path):
    """Those of an incomplete job, or of another's output appended."""
    read = found(tmp_path, [*map(job, range(3)), {"source-ref": "s3://bucket/in/3.jpg"}])
    assert read.skipped == [("s3://bucket/in/3.jpg", "no my-job-metadata")]


def test_unsure_labels_are_left_out_where_that_is_asked(tmp_path):
    lines = [job(0), job(1), job(2, confidence=0.49), job(3, confidence=None)]
    assert len(found(tmp_path, lines).items) == 4
    read = found(tmp_path, lines, min_label_confidence=0.5)
    assert sorted(labels(read)) == ["0.jpg", "1.jpg", "3.jpg"]
    assert read.skipped == [("s3://bucket/in/2.jpg", "confidence 0.49 is below min_label_confidence=0.5")]
    assert "1 labels are left out for their low confidence" in said(read)
    assert "1 labels of output.manifest have no confidence, so min_label_confidence leaves them in" in said(read)


def test_an_index_without_a_name_has_that_of_other_rows(tmp_path):
    nameless = row(3, "my-job", 1)
    assert labels(found(tmp_path, [*map(job, range(3)), nameless]))["3.jpg"] == "dog"


def test_two_jobs_are_to_be_told_apart(tmp_path):
    lines = [job(n) | row(n, "size", n // 2, class_name=("big", "small")[n // 2]) for n in range(4)]
    with pytest.raises(DataError, match=r"several label attributes: my-job, size; set label_column"):
        found(tmp_path, lines)
    read = found(tmp_path, lines, label_column="size")
    assert read.vocab == ["big", "small"]
    assert "2 attributes of output.manifest not used (my-job, my-job-metadata)" in said(read)
    with pytest.raises(DataError, match=r"no label attribute 'colour' .*my-job .*size"):
        found(tmp_path, lines, label_column="colour")


def test_outputs_of_two_jobs_appended_are_to_be_told_apart(tmp_path):
    other = [row(n, "second", n % 2, class_name="ab"[n % 2]) for n in (2, 3)]
    with pytest.raises(DataError, match="several label attributes: my-job, second"):
        found(tmp_path, [job(0), job(1), *other])


def test_what_workers_thought_of_labels_is_said(tmp_path):
    kind = "groundtruth/label-verification"
    verdicts = [row(n, "check", n // 3, kind, class_name=("good", "bad")[n // 3]) for n in range(4)]
    read = found(tmp_path, [job(n) | verdicts[n] for n in range(4)])
    assert read.vocab == ["cat", "dog"]
    assert "what workers thought of the labels (check: 3 good, 1 bad) is not used" in said(read)
    with pytest.raises(DataError, match="check is what workers thought of another job's labels"):
        found(tmp_path, verdicts)


def test_several_labels_a_picture_are_refused_and_one_is_a_label(tmp_path):
    names = {"0": "cat", "1": "dog"}
    one = [row(n, "tags", [n % 2], SEVERAL, class_map=names) for n in range(3)]
    read = found(tmp_path, [*one, row(3, "tags", [], SEVERAL, class_map={})])
    assert labels(read) == {"0.jpg": "cat", "1.jpg": "dog", "2.jpg": "cat"}
    assert read.skipped == [("s3://bucket/in/3.jpg", "no label in output.manifest")]
    with pytest.raises(DataError, match=r"several labels to 1 of 4 .*cat, dog.*task=multi"):
        found(tmp_path, [*one, row(3, "tags", [0, 1], SEVERAL, class_map=names)])


def test_the_least_confidence_of_several_labels_counts(tmp_path):
    lines = [
        row(n, "tags", [n % 2], SEVERAL, class_map={str(n % 2): "ab"[n % 2]}, confidence_map={str(n % 2): 0.3 * n})
        for n in range(4)
    ]
    assert sorted(labels(found(tmp_path, lines, min_label_confidence=0.25))) == ["1.jpg", "2.jpg", "3.jpg"]


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("groundtruth/object-detection", {"annotations": [{"class_id": 0, "top": 1}]}, "object detection"),
        ("groundtruth/semantic-segmentation", "s3://bucket/mask.png", "task=segmentation"),
        ("groundtruth/instance-segmentation", {}, "instance segmentation"),
        ("groundtruth/custom", {"a": 1}, "of the type groundtruth/custom"),
    ],
)
def test_jobs_of_other_tasks_are_refused(tmp_path, kind, value, words):
    with pytest.raises(DataError, match=words):
        found(tmp_path, [row(n, "boxes", value, kind) for n in range(4)])


def test_boxes_beside_classes_are_not_used_and_said(tmp_path):
    boxes = [row(n, "boxes", {"annotations": []}, "groundtruth/object-detection") for n in range(4)]
    read = found(tmp_path, [job(n) | boxes[n] for n in range(4)])
    assert read.vocab == ["cat", "dog"]
    assert "2 attributes of output.manifest not used (boxes, boxes-metadata)" in said(read)


@pytest.mark.parametrize("value", [[0, 1], {"label": 0}])
def test_a_class_that_is_no_text_is_refused(tmp_path, value):
    with pytest.raises(DataError, match="as the class of a picture"):
        found(tmp_path, [job(0), job(1), row(2, "my-job", value)])


def test_manifests_for_each_part_are_a_split(tmp_path):
    pictures(tmp_path)
    write(tmp_path, [job(0), job(1)], "train.manifest")
    write(tmp_path, [job(2), job(3)], "validation.manifest")
    read = find_examples(tmp_path)
    assert {item.path.name: item.split for item in read.items} == {
        "0.jpg": "train",
        "1.jpg": "train",
        "2.jpg": "valid",
        "3.jpg": "valid",
    }
    assert "the tables are a split" in said(read)
    other = find_examples(tmp_path, known=["cat", "dog"])
    assert sorted(labels(other)) == ["2.jpg", "3.jpg"]
    assert "train.manifest is not used: its 2 rows are for training" in said(other)


def test_manifests_of_several_jobs_are_to_be_told_apart(tmp_path):
    pictures(tmp_path)
    for name in ("a/output.manifest", "b/output.manifest"):
        write(tmp_path, map(job, range(4)), name)
    with pytest.raises(DataError, match=r"a/output\.manifest, b/output\.manifest; leave one"):
        find_examples(tmp_path)
    read = find_examples(tmp_path, Asked(manifest="a/output.manifest"))
    assert len(read.items) == 4
    assert "1 tables are not used, since labels come from output.manifest (b/output.manifest)" in said(read)


def test_another_table_beside_the_manifest_is_named(tmp_path):
    (tmp_path / "labels.csv").write_text("file,label\n0.jpg,x\n1.jpg,y\n")
    read = found(tmp_path, map(job, range(4)))
    assert read.vocab == ["cat", "dog"]
    assert "1 tables are not used, since labels come from output.manifest (labels.csv)" in said(read)


def test_a_broken_manifest_is_told(tmp_path):
    pictures(tmp_path)
    (tmp_path / "output.manifest").write_text(json.dumps(job(0)) + "\n" + '{"source-ref": "s3')
    for asked in (Asked(), Asked("ground_truth")):
        with pytest.raises(DataError, match=r"output\.manifest can't be read: line 2"):
            find_examples(tmp_path, asked)


def test_a_folder_without_a_manifest_is_told(tmp_path):
    pictures(tmp_path)
    (tmp_path / "labels.jsonl").write_text('{"source-ref": "s3://b/0.jpg", "label": 0}\n')
    with pytest.raises(DataError, match="no output manifest of Ground Truth"):
        find_examples(tmp_path, Asked("ground_truth"))


def test_groups_are_an_attribute(tmp_path):
    lines = [job(n) | {"patient": f"p{n // 2}"} for n in range(4)]
    read = found(tmp_path, lines, group_column="patient")
    assert [item.group for item in read.items] == ["p0", "p0", "p1", "p1"]
    assert "not used" not in said(read)
    with pytest.raises(DataError, match="no attribute 'site'"):
        found(tmp_path, lines, group_column="site")
    assert found(tmp_path, lines, group_column="site", known=["cat", "dog"]).items[0].group == ""


def test_settings_of_tables_have_no_effect_and_that_is_said(tmp_path):
    read = found(tmp_path, map(job, range(4)), label_delim=" ", valid_fold="1")
    assert "label_delim=' ' has no effect" in said(read)
    assert "valid_fold='1' has no effect" in said(read)
