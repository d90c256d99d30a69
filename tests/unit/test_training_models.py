from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai_training.models import ArchError, Program, build_classifier, find_architecture  # noqa: E402


@pytest.mark.parametrize("arch", ["resnet18", "efficientnet_lite0", "mobilenetv3_small_050"])
def test_a_classifier_of_torchvision_or_timm(arch):
    classifier = build_classifier(arch, 3, pretrained=False, weights_channel=None)
    classifier.model.eval()
    assert classifier.model(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    assert classifier.weights is None
    assert len(classifier.splitter(classifier.model)) >= 2


def test_a_misspelt_architecture_names_the_nearest():
    with pytest.raises(ArchError, match="resnet34"):
        find_architecture("resnet_34")


def test_a_network_without_a_feature_map_is_refused():
    with pytest.raises(ArchError, match="no feature map"):
        build_classifier("vit_b_16", 3, pretrained=False, weights_channel=None)


def test_the_program_normalizes_and_gives_probabilities():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    seen = []

    class Model(torch.nn.Module):
        def forward(self, batch):
            seen.append(batch)
            return batch.mean((2, 3))

    pictures = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    answers = Program(Model(), mean, std)(pictures)
    scaled = pictures.permute(0, 3, 1, 2) / 255
    expected = (scaled - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    assert torch.allclose(seen[0], expected, atol=1e-5)
    assert torch.allclose(answers.sum(1), torch.ones(2))
