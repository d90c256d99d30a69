from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai_training.fitting.models import (  # noqa: E402
    ArchError,
    ServingModule,
    build_classifier,
    check_sizes,
    find_architecture,
)


@pytest.mark.parametrize("arch", ["resnet18", "efficientnet_lite0", "mobilenetv3_small_050"])
def test_a_classifier_of_torchvision_or_timm(arch):
    classifier = build_classifier(arch, 3, pretrained=False, weights_channel=None)
    classifier.model.eval()
    assert classifier.model(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    assert classifier.weights is None
    assert len(classifier.splitter(classifier.model)) >= 2


def test_a_network_that_takes_one_size_alone_is_told_before_training():
    any_size = build_classifier("mobilenetv3_small_050", 3, pretrained=False, weights_channel=None, image_size=64)
    check_sizes(any_size, [32, 64, 64])
    assert any_size.model.training
    assert float(any_size.model[0].model.bn1.running_mean.abs().sum()) == 0, "it has seen no picture yet"
    one_size = build_classifier("vit_tiny_patch16_224", 3, pretrained=False, weights_channel=None, image_size=64)
    with pytest.raises(ArchError, match=r"progressive_resizing: .* can't take pictures of 32 pixels"):
        check_sizes(one_size, [32, 64])


def test_a_misspelt_architecture_names_the_nearest():
    with pytest.raises(ArchError, match="resnet34"):
        find_architecture("resnet_34")


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        ("googlenet", 64),  # auxiliary heads
        ("inception_v3", 128),
        ("mobilenet_v2", 64),  # pools by a function
        ("vit_b_16", 64),  # no map of features; positions for pictures of 224 pixels
        ("vit_tiny_patch16_224", 96),
        ("vit_tiny_patch16_384", 64),
        ("swin_tiny_patch4_window7_224", 64),  # features with channels last
        ("maxvit_t", 224),
    ],
)
def test_families_that_are_no_plain_stack_of_convolutions(arch, size):
    classifier = build_classifier(arch, 3, pretrained=False, weights_channel=None, image_size=size)
    classifier.model.train()
    scores = classifier.model(torch.rand(4, 3, size, size))
    assert scores.shape == (4, 3)
    scores.sum().backward()
    assert all(parameter.grad is not None for parameter in classifier.model[1].parameters())
    body, head = classifier.splitter(classifier.model)[0], classifier.splitter(classifier.model)[-1]
    assert len(body) > 0
    assert len(head) > 0


@pytest.mark.parametrize(
    ("arch", "size", "words"),
    [
        ("inception_v3", 64, ["image_size=64", "Kernel size", "set image_size=299"]),
        ("vit_b_16", 100, ["image_size=100", "indivisible by patch size", "set image_size=224"]),
        ("maxvit_t", 64, ["image_size=64", "not divisible", "set image_size=224"]),
    ],
)
def test_a_size_that_the_network_cannot_take_names_one_that_it_can(arch, size, words):
    with pytest.raises(ArchError) as raised:
        build_classifier(arch, 3, pretrained=False, weights_channel=None, image_size=size)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(("arch", "size"), [("vit_tiny_patch16_224", 64), ("vit_b_16", 64)])
def test_weights_for_another_size_are_fitted(tmp_path, arch, size):
    native = find_architecture(arch).make(None)
    torch.save(native.state_dict(), tmp_path / f"{arch}.pth")
    classifier = build_classifier(arch, 3, pretrained=True, weights_channel=tmp_path, image_size=size)

    weight = "model.blocks.0.attn.qkv.weight" if arch.startswith("vit_tiny") else "encoder.ln.weight"
    assert torch.equal(classifier.model[0].state_dict()[weight], native.state_dict()[weight.removeprefix("model.")])
    assert "channel weights" in classifier.weights


def test_weights_with_auxiliary_heads_load_without_them(tmp_path):
    import torchvision

    full = torchvision.models.get_model("inception_v3", weights=None, aux_logits=True, init_weights=False)
    torch.save(full.state_dict(), tmp_path / "inception_v3.pth")
    classifier = build_classifier("inception_v3", 3, pretrained=True, weights_channel=tmp_path, image_size=128)
    assert classifier.stats == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), "what its weights take"
    first = next(iter(classifier.model[0].state_dict().values()))
    assert torch.equal(first, next(iter(full.state_dict().values())))


def test_the_program_normalizes_and_gives_probabilities():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    seen = []

    class Model(torch.nn.Module):
        def forward(self, batch):
            seen.append(batch)
            return batch.mean((2, 3))

    pictures = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    answers = ServingModule(Model(), mean, std)(pictures)
    scaled = pictures.permute(0, 3, 1, 2) / 255
    expected = (scaled - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    assert torch.allclose(seen[0], expected, atol=1e-5)
    assert torch.allclose(answers.sum(1), torch.ones(2))
