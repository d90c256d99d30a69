from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_training.job.secret_masking import MASK, Mask, is_secret_name, masked


@pytest.mark.parametrize(
    "name",
    ["DB_PASSWORD", "api-key", "apiKey", "AWS_SECRET_ACCESS_KEY", "aws_access_key_id", "HF_TOKEN", "client_secret"],
)
def test_names_of_secrets(name: str):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "tokenizer", "author", "keypoints", "PWD", "SM_HP_EPOCHS", "monkey", "key"]
)
def test_other_names(name: str):
    assert not is_secret_name(name)


@given(
    st.text(min_size=5, max_size=40).filter(lambda text: text.lower() != "false"),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_a_secret_of_the_environment_is_never_in_a_masked_text(secret: str, before: str, after: str):
    result = Mask({"MY_PASSWORD": secret})(before + secret + after)
    assert secret not in result.replace(MASK, "") or secret in before + after or secret in MASK


def test_nested_hyperparameters():
    values = {"db": {"user": "me", "password": "open sesame"}, "epochs": 3}
    assert masked(values) == {"db": {"user": "me", "password": MASK}, "epochs": 3}
    assert Mask(values)("can't log in with open sesame") == f"can't log in with {MASK}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key AKIAIOSFODNN7EXAMPLE used", f"key {MASK} used"),
        ("https://aws:abc.def@host/simple", f"https://{MASK}@host/simple"),
        ("Authorization: Bearer abcdefgh12345", f"Authorization: {MASK} {MASK}"),
        ("password=hunter2 and lr=0.1", f"password={MASK} and lr=0.1"),
        ('{"api_key": "x1y2z3"}', f'{{"api_key": "{MASK}"}}'),
        ("token ghp_0123456789abcdefghij", f"token {MASK}"),
        ("KeyError: 'label'", "KeyError: 'label'"),
        ("tokens: 12, keys: 3", "tokens: 12, keys: 3"),
    ],
)
def test_secrets_by_their_form(text: str, shown: str):
    assert Mask()(text) == shown


def test_short_and_empty_values_do_not_spoil_a_text():
    assert Mask({"TOKEN": "", "PASSWORD": "a", "SECRET": "false"})("a plain text, false") == "a plain text, false"
