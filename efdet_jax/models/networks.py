"""The networks that the main job can train, by what they are for."""

from collections.abc import Callable, Mapping

from efdet_jax.models import classifier, detector
from efdet_jax.models.sections import Section

Network = detector.Detector | classifier.Classifier

NETWORKS: Mapping[str, Callable[[Section], Network]] = {
    "detection": detector.create,
    "classification": classifier.create,
}
"""From a config's `model` section to the network, by the config's `task`."""
