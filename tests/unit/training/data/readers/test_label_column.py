from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.readers.label_column import find_label_column, is_number, plain, read_labels
from fastai_training.data.readers.reader import Asked
from fastai_training.data.readers.tables import Table


def table(**columns: list[Any]) -> Table:
    return Table(Path("t.csv"), columns, max(map(len, columns.values())))


def found(read: Table, **asked: str) -> list[str]:
    return find_label_column(read, list(read.columns), Asked(**asked))


def labels(values: list[Any], **asked: str) -> tuple[list[str], str]:
    """The labels of a column, and what is said of it."""
    files = [f"{number}.jpg" for number in range(len(values))]
    read = read_labels(table(label=values), ["label"], Asked(**asked), files)
    return read.values, "; ".join(f"{note.text} ({note.example})" for note in read.notes)


def refused(values: list[Any], **asked: str) -> str:
    with pytest.raises(DataError) as raised:
        labels(values, **asked)
    return str(raised.value)


# ---- which column


@pytest.mark.parametrize(
    ("name", "compared"),
    [(" Class Name", "class_name"), ("label-id", "label_id"), ("Étiquette", "étiquette"), ("标签", "标签")],
)
def test_names_of_columns_are_compared_by_their_words(name, compared):
    assert plain(name) == compared


@pytest.mark.parametrize(
    "name", ["label", "Label", "labels", "category", "diagnosis", "Class Name", "breed", "y", "anything"]
)
def test_a_column_of_labels_is_known_by_its_name_or_for_being_alone(name):
    assert found(table(**{name: ["a", "b"]})) == [name]


@pytest.mark.parametrize("name", ["width", "Height", "md5", "date", "url", "caption"])
def test_a_lone_column_that_describes_the_file_is_no_label(name):
    assert found(table(**{name: ["a", "b"]})) == []


def test_a_column_known_by_name_wins_over_columns_of_0_and_1():
    assert found(table(male=["0", "1"], old=["1", "0"], label=["a", "b"])) == ["label"]


def test_a_place_is_no_label():
    assert found(table(x=["1", "2"], y=["3", "4"], label=["a", "b"])) == ["label"]
    assert found(table(x=["1", "2"], y=["3", "4"])) == []


def test_an_index_and_a_name_of_the_same_classes_are_one():
    assert found(table(label=["0", "1", "0"], class_name=["cat", "dog", "cat"])) == ["class_name"]
    assert found(table(class_name=["cat", "dog", "cat"], label=["0", "1", "0"])) == ["class_name"]


@pytest.mark.parametrize(
    "columns",
    [
        {"label": ["0", "1", "0"], "category": ["cat", "dog", "dog"]},
        {"species": ["dog", "dog", "cat"], "breed": ["pug", "boxer", "siamese"]},
        {"label": ["a", "b", "a"], "tags": [["x"], ["y"], ["z"]]},
        {"Label": ["a", "b", "a"], "label": ["x", "x", "y"]},
    ],
)
def test_columns_that_could_both_be_the_labels_are_refused(columns):
    with pytest.raises(DataError, match=r"several columns of labels: .*set label_column"):
        found(table(**columns))


def test_a_column_is_asked_for_by_its_name():
    read = table(size=["a", "b"], Größe=["x", "y"], 标签=["p", "q"], label=["n", "m"])
    assert found(read, label_column="size") == ["size"]
    assert found(read, label_column="größe") == ["Größe"]
    assert found(read, label_column="标签") == ["标签"]
    assert found(read, label_column="图") == []
    assert found(read, label_column="colour") == []


def test_a_name_asked_for_that_means_several_columns_is_refused():
    with pytest.raises(DataError, match="could all be label_column=my-class"):
        found(table(**{"My Class": ["a"], "my_class": ["b"]}), label_column="my-class")
    with pytest.raises(DataError, match="task=multi"):
        found(table(cat=["0"], dog=["1"]), label_column="cat,dog")


# ---- one column a class


def one_hot(**columns: list[Any]) -> list[str]:
    read = table(**columns)
    return read_labels(read, found(read), Asked(), [f"{n}.jpg" for n in range(read.rows)]).values


def test_columns_of_0_and_1_are_classes():
    assert one_hot(MEL=["1.0", "0.0", "0.0"], NV=["0.0", "1.0", "0.0"], UNK=["0.0", "0.0", "0.0"]) == ["MEL", "NV", ""]
    assert one_hot(cat=[True, False], dog=[False, True], age=[3, 4]) == ["cat", "dog"]
    assert one_hot(cat=["TRUE", "FALSE"], dog=["FALSE", "TRUE"]) == ["cat", "dog"]


def test_a_blank_in_a_column_of_a_class_drops_no_class():
    assert one_hot(cat=["1", "0", "0"], dog=["0", "1", "0"], cow=["0", "", "1"]) == ["cat", "dog", "cow"]


def test_two_ones_in_a_row_are_several_labels():
    with pytest.raises(DataError, match=r"several labels to 1 of 2.*cat, dog.*task=multi"):
        one_hot(cat=["1", "0"], dog=["1", "1"])


def test_flags_that_are_mostly_zero_are_no_classes():
    with pytest.raises(DataError, match=r"3 of 4 rows have 1 in none of them.*label_column"):
        one_hot(smoker=["1", "0", "0", "0"], diabetic=["0", "0", "0", "0"])


# ---- lists


@pytest.mark.parametrize(
    "value",
    [
        ["car", "person"],
        "['car', 'person']",
        "('car', 'person')",
        "{'car', 'person'}",
        "['car' 'person']",
        '["car"\n "person"]',
        "[car, person]",
        "{car,person}",
    ],
)
def test_lists_of_several_labels_are_refused(value):
    rest = "[]" if isinstance(value, str) else []
    message = refused([value, rest])
    assert "several labels to 1 of 2 pictures" in message
    assert "task=multi" in message


def test_one_list_among_texts_is_refused_too():
    assert "task=multi" in refused(["car", "person", "['car', 'person']"])
    assert labels(["car", "[unk]", "(1)"])[0] == ["car", "[unk]", "(1)"]


@pytest.mark.parametrize("values", [[["car"], ["bus"], []], ["['car']", "['bus']", "[]"], ["[car]", "{bus}", ""]])
def test_lists_of_one_label_are_labels(values):
    assert labels(values)[0] == ["car", "bus", ""]


@pytest.mark.parametrize("value", [[["car"]], [{"name": "car"}], "{'name': 'car'}", '{"name": true}'])
def test_lists_of_other_things_are_refused(value):
    message = refused([value, value])
    assert message.startswith("t.csv, column label: ")
    assert "one text" in message


def test_a_delimiter_parts_labels():
    assert "task=multi" in refused(["a b", "a", "b"], label_delim=" ")
    assert "task=multi" in refused(["a\tb", "a"], label_delim="\\t")
    assert labels(["a", "b"], label_delim="\\") == (
        ["a", "b"],
        "label_delim='\\\\' has no effect: no label of t.csv, column label holds it ()",
    )


def test_labels_made_of_other_labels_are_told():
    values, told = labels(["chair", "person", "chair person", "", ""])
    assert values == ["chair", "person", "chair person", "", ""]
    assert "set label_delim=' '" in told


def test_labels_made_of_few_words_are_told():
    values = [
        " ".join(word for bit, word in enumerate(("haze", "clear", "road", "water")) if n & 1 << bit) for n in range(16)
    ]
    values = [value + " primary" for value in values]
    read, told = labels(values * 2)
    assert read == [value.strip() for value in values * 2]
    assert "the 16 different labels of t.csv, column label are made of" in told
    assert labels([f"a{n} b{n}" for n in range(12)] * 3)[1] == ""


# ---- values


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *((text, True) for text in ("1", "-1.5", "1,5", "1e3")),
        *((text, False) for text in ("nan", "inf", "1_2", "a", "", "1,5,2")),
    ],
)
def test_numbers(text, number):
    assert is_number(text) == number


@pytest.mark.parametrize(
    "values",
    [
        [1.5 + n / 8 for n in range(12)],
        [str(n) for n in range(12)],
        [f"{n},5" for n in range(12)],
        [f"{n % 25}.5" for n in range(100)],
        [*(f"{n / 10}" for n in range(12)), "nan", "NA", ""],
    ],
)
def test_measured_numbers_are_no_classes(values):
    assert "task=regression" in refused(values)


def test_texts_that_are_nearly_all_different_are_no_classes():
    assert "a class of its own" in refused([f"text {n}" for n in range(12)])


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ([0, 1, 2, 0], ["0", "1", "2", "0"]),
        (["0.0", "1.0", "0.0"], ["0", "1", "0"]),
        ([1.0, 0.0, None], ["1", "0", ""]),
        (["1", "1.0", "0"], ["1", "1", "0"]),
        (["1.5", "2.0", "1.5"], ["1.5", "2.0", "1.5"]),
        (["v1.0", "v2.0"], ["v1.0", "v2.0"]),
        ([True, False, None], ["True", "False", ""]),
    ],
)
def test_numbers_and_flags_as_classes(values, right):
    assert labels(values)[0] == right


def test_what_numbers_may_mean_is_said():
    assert "each taken as a class" in labels(["1.5", "2.0"] * 10)[1]
    assert "25 different numbers" in labels([str(n % 25) for n in range(100)])[1]
    assert labels(["0", "1"] * 10)[1] == ""
    assert "written in several ways" in labels(["1", "01", "2"])[1]
    assert "2 labels of t.csv, column label are numbers, the others names" in labels(["cat", "1", "dog", "1"])[1]


@pytest.mark.parametrize("other", [1, "yes", 0.0])
def test_true_and_other_values_in_one_column_are_refused(other):
    assert "true and false as well as other values" in refused([True, False, other])


def test_words_for_no_label_are_no_class():
    values, told = labels(["cat", "nan", "dog", "NaN", "<NA>"])
    assert values == ["cat", "", "dog", "", ""]
    assert "3 cells of t.csv, column label say that there is no label (nan, NaN, <NA>)" in told
    assert labels(["0", "1", "NA", "null"])[0] == ["0", "1", "", ""]


def test_words_that_may_mean_no_label_are_told():
    values, told = labels(["scratch", "none", "none"])
    assert values == ["scratch", "none", "none"]
    assert "2 labels of t.csv, column label read none, which is taken as a class's name" in told


def test_an_object_as_a_label_is_refused():
    assert "an object as label" in refused([{"name": "cat"}, "dog"])
