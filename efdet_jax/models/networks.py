"""The networks that the main job can train, by what they are for."""

from collections.abc import Callable, Mapping

from flax import linen as nn

from efdet_jax.models import classifier, detector
from efdet_jax.models.sections import Section

NETWORKS: Mapping[str, Callable[[Section], nn.Module]] = {
    "detection": detector.create,
    "classification": classifier.create,
}
"""From a config's `model` section to the network, by the config's `task`."""
