"""Names of architectures; torch-free, so that what is wrong with one can be told before torch is imported."""

from __future__ import annotations

#: timm has two builds of this network; the packaged weights are those of the TensorFlow one (its padding differs).
ALIASES = {"efficientnet_lite0": "tf_efficientnet_lite0"}


def same(asked: str, name: str) -> bool:
    """Whether a user who asks for ``asked`` gets the network that a manifest calls ``name``."""
    return name in (asked, ALIASES.get(asked))
