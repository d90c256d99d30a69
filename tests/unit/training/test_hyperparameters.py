from __future__ import annotations

import pytest

from fastai_training.hyperparameters import HyperParameterError, HyperParameters, given, parse, table


def test_defaults_are_used_for_what_is_not_given():
    assert parse({}) == HyperParameters()


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"epochs": "3"}, "epochs", 3),
        ({"epochs": "3.0"}, "epochs", 3),
        ({"epochs": 3}, "epochs", 3),
        ({"arch": '"resnet18"'}, "arch", "resnet18"),
        ({"arch": "resnet18"}, "arch", "resnet18"),
        ({"model-arch": "resnet18"}, "arch", "resnet18"),
        ({"--image-size": "64"}, "image_size", 64),
        ({"lr": "AUTO"}, "lr", "auto"),
        ({"lr": "1e-3"}, "lr", 1e-3),
        ({"pretrained": "False"}, "pretrained", False),
        ({"pretrained": False}, "pretrained", False),
        ({"strict": '"yes"'}, "strict", True),
        ({"workers": "0"}, "workers", 0),
        ({"label_column": '"a \\"b\\" $(c)"'}, "label_column", 'a "b" $(c)'),
    ],
)
def test_values_are_read_as_the_sdk_writes_them(given, name, value):
    assert getattr(parse(given), name) == value


def test_what_sagemaker_adds_is_left_alone():
    assert parse({"sagemaker_region": '"us-east-1"', "_tuning_objective_metric": "error_rate"}) == HyperParameters()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epoch": "3"}, ["'epoch'", "did you mean epochs"]),
        ({"zzz": "3"}, ["'zzz'", "there are arch"]),
        ({"epochs": "three"}, ["epochs='three'", "whole number from 0 to 10000"]),
        ({"epochs": "2.5"}, ["whole number"]),
        ({"epochs": "-1"}, ["from 0"]),
        ({"epochs": "0", "freeze_epochs": "0"}, ["epochs=0", "freeze_epochs of 1"]),
        ({"epochs": "0", "pretrained": "false"}, ["epochs=0", "pretrained=true"]),
        ({"epochs": "nan"}, ["whole number"]),
        ({"class_weights": "balance"}, ["none, balanced, sqrt", "did you mean balanced"]),
        ({"label_smoothing": "0.6"}, ["from 0 to 0.5"]),
        ({"class_weights": "sqrt", "sampling": "balanced"}, ["class_weights=sqrt", "sampling=balanced", "twice"]),
        ({"mixup": "0.2", "cutmix": "1"}, ["mixup=0.2", "cutmix=1", "give one"]),
        ({"mixup": "0.2", "epochs": "0"}, ["mixup=0.2", "epochs=0", "leave mixup out"]),
        ({"early_stopping": "3", "epochs": "0"}, ["early_stopping=3", "epochs=0"]),
        ({"keep": "bset"}, ["one of last, best", "did you mean best"]),
        ({"augment": "none", "rotate": "5", "flip": "none"}, ["augment=none", "flip=none and rotate=5", "unused"]),
        ({"augment": "none", "tta": "4"}, ["augment=none", "tta=4", "unused"]),
        ({"zoom": "0.5"}, ["from 1 to 4 or auto"]),
        ({"folds": "1"}, ["folds=1", "0 (off) or from 2 to 20"]),
        ({"folds": "21"}, ["from 0 to 20"]),
        ({"folds": "5", "pretrained": "false"}, ["folds=5", "pretrained=true", "folds=0"]),
        ({"folds": "5", "check_pictures": "while_training"}, ["folds=5", "check_pictures=while_training", "leave out"]),
        ({"check_pictures": "while"}, ["one of auto, before, while_training"]),
        ({"lr": "-1"}, ["or auto"]),
        ({"precision": "bf61"}, ["one of auto, fp32, bf16, fp16", "did you mean bf16"]),
        ({"pretrained": "maybe"}, ["true or false"]),
        ({"bs": "8", "batch_size": "16"}, ["given twice", "'bs'", "'batch_size'"]),
    ],
)
def test_a_wrong_one_is_named_with_what_would_be_right(given, words):
    with pytest.raises(HyperParameterError) as caught:
        parse(given)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("value", [None, "None", "null", '"None"', " None "])
def test_none_counts_as_not_given(value):
    assert parse({"epochs": value, "label_column": value, "lr": "0.1"}) == HyperParameters(lr=0.1)
    with pytest.raises(HyperParameterError, match="did you mean epochs"):
        parse({"epoch": value})
    with pytest.raises(HyperParameterError, match="given twice"):
        parse({"batch-size": value, "batch_size": "8"})


def test_what_is_given_is_told_from_what_has_its_default():
    assert given({"model-arch": "resnet34", "bs": 64, "epochs": "None", "sagemaker_region": "x"}) == {
        *("arch", "batch_size")
    }
    with pytest.raises(HyperParameterError, match="did you mean epochs"):
        given({"epoch": 1})


def test_a_value_that_is_nested_deeply_is_no_traceback():
    with pytest.raises(HyperParameterError, match="hyperparameter epochs="):
        parse({"epochs": "[" * 10_000})


def test_the_table_names_every_hyperparameter():
    text = table()
    for name in HyperParameters.__dataclass_fields__:
        assert f"| `{name}` |" in text
