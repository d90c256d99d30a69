from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai_training.fitting.phases import plan_phases  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402

CPU = torch.device("cpu")


def test_a_pretrained_network_trains_its_head_first():
    head, whole = plan_phases(HyperParameters(epochs=3, freeze_epochs=2, precision="fp32"), 0.01, CPU)
    assert (head.epochs, head.frozen) == (2, True)
    assert (whole.epochs, whole.frozen) == (3, False)
    assert whole.rates == slice(0.01 / 200, 0.01 / 2)


@pytest.mark.parametrize(
    ("epochs", "freeze_epochs", "frozen"), [(0, 2, [True]), (2, 0, [False]), (1, 1, [True, False])]
)
def test_a_phase_of_no_epochs_is_none(epochs, freeze_epochs, frozen):
    parameters = HyperParameters(epochs=epochs, freeze_epochs=freeze_epochs, precision="fp32")
    assert [phase.frozen for phase in plan_phases(parameters, 0.01, CPU)] == frozen


def test_from_scratch_there_is_one_phase_at_one_rate():
    (only,) = plan_phases(HyperParameters(pretrained=False, precision="fp32"), 0.01, CPU)
    assert (only.frozen, only.rates, only.options) == (False, 0.01, {})
