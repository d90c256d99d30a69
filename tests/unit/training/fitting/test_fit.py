"""Training itself on a network of a few layers' width: stopped anywhere, it ends with the same weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai_training.data.late_check import UNREADABLE, LateCheck  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.data.split import stratified_split  # noqa: E402
from fastai_training.fitting.checkpoints import CheckpointError, list_checkpoints  # noqa: E402
from fastai_training.fitting.fit import fit  # noqa: E402
from fastai_training.fitting.stop_signal import Stop  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.unit.training_data import ARCH, write_pictures, write_weights  # noqa: E402


class StopAfter(Stop):
    """Stands for a SIGTERM that arrives before the loop looks for the ``looks``-th time."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0 and self._deferred


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder / "training", 7)
    write_weights(folder / "weights")
    return folder


def run(data, checkpoints, stop=None, check=None, **options):
    values = {"arch": ARCH, "epochs": 2, "freeze_epochs": 1, "batch_size": 4, "image_size": 32, "workers": 0}
    parameters = HyperParameters(**(values | {"precision": "fp32"} | options))
    examples = find_examples(data / "training")
    train, valid = stratified_split(examples.items, 0.2, parameters.seed)
    return fit(
        train,
        valid,
        examples.vocab,
        parameters,
        data / "weights",
        checkpoints=checkpoints,
        model_folder=data / "model",
        data_root=data,
        processes=Processes(),
        stop=stop or Stop(),
        late=check(train) if check else None,
    )


def equal(first, second):
    a, b = first.model.state_dict(), second.model.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a) and torch.equal(first.probabilities, second.probabilities)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    return run(data, tmp_path_factory.mktemp("undisturbed"), augment="full")


def test_stopped_at_every_place_the_weights_are_the_same(data, undisturbed, tmp_path):
    stops, codes = 0, []
    while stops < 40:
        try:
            # A different number of batches each time: inside an epoch, at its end, in validation, between phases.
            result = run(data, tmp_path, StopAfter(1 + stops % 4), augment="full")
            break
        except SystemExit as stopped:
            codes.append(stopped.code)
            stops += 1
    assert 6 <= stops < 40
    assert set(codes) == {143}
    assert equal(result, undisturbed)
    told = [{name: row[name] for name in ("epoch", "train_loss", "valid_loss", "error_rate")} for row in result.history]
    assert told == [{name: row[name] for name in told[0]} for row in undisturbed.history]
    assert all(row["images_per_second"] > 0 for row in result.history)


def test_a_finished_run_started_again_trains_no_more(data, undisturbed, tmp_path):
    first = run(data, tmp_path, augment="full")
    newest = list_checkpoints(tmp_path)[0].stat().st_mtime_ns
    again = run(data, tmp_path, augment="full")
    assert equal(first, again)
    assert list_checkpoints(tmp_path)[0].stat().st_mtime_ns == newest


def test_without_its_newest_checkpoint_a_run_goes_on_from_the_one_before(data, undisturbed, tmp_path):
    with pytest.raises(SystemExit):
        run(data, tmp_path, StopAfter(13), augment="full")
    newest, before = list_checkpoints(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-1])
    assert before.exists()
    assert equal(run(data, tmp_path, augment="full"), undisturbed)


def test_a_run_with_other_hyperparameters_is_refused(data, tmp_path):
    with pytest.raises(SystemExit):
        run(data, tmp_path, StopAfter(2))
    with pytest.raises(CheckpointError, match=r"momentum was 0\.95, is 0\.9"):
        run(data, tmp_path, momentum=0.9)


def test_a_frozen_body_gets_no_gradient_and_keeps_its_batch_norm(data, tmp_path, monkeypatch):
    from fastai_training.fitting.resumable_loop import Checkpointer

    seen = []

    def look(self):
        if self.training:
            body, head = self.learn.model[0], self.learn.model[1]
            seen.append([[p.grad is not None for p in part.parameters()] for part in (body, head)])

    monkeypatch.setattr(Checkpointer, "before_step", look, raising=False)
    with pytest.raises(SystemExit):
        run(data, tmp_path, StopAfter(6), freeze_epochs=2)
    assert seen
    assert not any(any(body) for body, _ in seen)
    assert all(all(head) for _, head in seen)
    start = torch.load(data / "weights" / f"{ARCH}.pth")
    from fastai_training.fitting.checkpoints import read_checkpoint

    trained = read_checkpoint(list_checkpoints(tmp_path)[0])["model"]
    assert torch.equal(trained["0.model.bn1.running_mean"], start["bn1.running_mean"])


def test_the_rate_that_was_found_is_kept_when_a_run_goes_on(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(data, tmp_path, StopAfter(3), lr="auto")
    assert "learning rate found: " in capsys.readouterr().out
    from fastai_training.fitting.checkpoints import read_checkpoint

    rate = read_checkpoint(list_checkpoints(tmp_path)[0])["rate"]
    assert 1e-7 < rate < 10
    run(data, tmp_path, lr="auto")
    assert "learning rate found" not in capsys.readouterr().out
    assert read_checkpoint(list_checkpoints(tmp_path)[0])["rate"] == rate


def test_pictures_that_grow_end_the_same_after_a_stop(data, tmp_path, capsys):
    options = {"image_size": 64, "progressive_resizing": 0.5}
    whole = run(data, tmp_path / "whole", **options)
    assert "32 pixels in epoch 1, 64 pixels in epoch 2 to 3" in capsys.readouterr().out
    assert not equal(whole, run(data, tmp_path / "plain", image_size=64))
    for looks in (2, 6):  # while pictures are small, and once they are not
        with pytest.raises(SystemExit):
            run(data, tmp_path / "stopped", StopAfter(looks), **options)
    assert equal(whole, run(data, tmp_path / "stopped", **options))


def test_from_scratch_everything_is_trained_in_one_phase(data, tmp_path):
    result = run(data, tmp_path, pretrained=False, epochs=1)
    assert result.weights is None
    assert len(result.history) == 1


def test_the_body_is_run_in_bf16_while_it_is_frozen(data, tmp_path, monkeypatch):
    from fastai_training.fitting.resumable_loop import Checkpointer

    seen = []

    def look(self):
        if self.training and self.iter == 0:
            seen.append(hasattr(self.learn, "cpu_b_float16"))

    monkeypatch.setattr("fastai_training.fitting.precision._cpu_bf16", lambda: "vector")
    monkeypatch.setattr(Checkpointer, "after_pred", look, raising=False)
    result = run(data, tmp_path, precision="auto", epochs=1)
    assert result.precision == "bf16, fp32"
    assert seen == [True, False]


def test_bf16_learns_what_fp32_learns(data, tmp_path):
    results = [run(data, tmp_path / name, precision=name, epochs=6, lr=0.01) for name in ("fp32", "bf16")]
    losses = [result.history[-1]["train_loss"] for result in results]
    assert losses[0] < 0.8 * results[0].history[0]["train_loss"]
    assert losses[1] == pytest.approx(losses[0], rel=0.15)


def test_pictures_that_are_found_unreadable_are_the_same_ones_wherever_it_was_stopped(tmp_path):
    write_pictures(tmp_path / "training", 7)
    write_weights(tmp_path / "weights")
    (tmp_path / "training" / "green_3.jpg").write_text("no picture")
    (tmp_path / "training" / "red_1.jpg").write_text("no picture")
    checks = []

    def check(train):
        checks.append(LateCheck(train, 32, strict=False))
        return checks[-1]

    def go_on(checkpoints, looks):
        while True:
            try:
                return run(tmp_path, checkpoints, StopAfter(looks), check)
            except SystemExit:
                pass

    whole = run(tmp_path, tmp_path / "whole", check=check)
    expected = checks[-1].state()
    parted = go_on(tmp_path / "parted", 3)
    assert len(checks) > 3
    assert equal(whole, parted)
    assert (checks[-1].state() == expected).all()
    assert 0 < (expected == UNREADABLE).sum() <= 2
