"""Both ways of running things do all that the commands may ask of either."""

from __future__ import annotations

import inspect

import pytest

from fastai_local.docker_runtime import DockerRuntime
from fastai_local.native_runtime import NativeRuntime
from fastai_local.runtime import Runtime
from fastai_local.settings import RUNTIMES

KINDS = (DockerRuntime, NativeRuntime)


def test_each_runtime_has_the_name_that_the_variable_gives_it() -> None:
    assert sorted(kind.name for kind in KINDS) == sorted(RUNTIMES)


@pytest.mark.parametrize("method", sorted(Runtime.__abstractmethods__))
@pytest.mark.parametrize("kind", KINDS)
def test_a_method_is_called_the_same_way_of_both(kind: type[Runtime], method: str) -> None:
    assert inspect.signature(getattr(kind, method)) == inspect.signature(getattr(Runtime, method))
