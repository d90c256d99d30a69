from __future__ import annotations

import pytest

from fastai_training.world import Processes


def test_torchruns_variables_say_which_process_this_is():
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    processes = Processes.from_environment(environment)
    assert processes == Processes(5, 8, 1, 4)
    assert processes.several
    assert not processes.is_main


@pytest.mark.parametrize("environment", [{}, {"RANK": "", "WORLD_SIZE": ""}])
def test_without_torchrun_there_is_one(environment):
    assert Processes.from_environment(environment) == Processes(0, 1, 0, 1)


def test_one_process_agrees_with_itself():
    alone = Processes()
    assert alone.is_main
    assert alone.any(True)
    assert not alone.any(False)
    assert alone.from_main("x") == "x"
    assert alone.gather("x") == ["x"]
    assert alone.training_group() is None
