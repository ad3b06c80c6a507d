"""Which published model a file of weights holds, told from its arrays alone."""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from efdet_jax.config import get_config
from efdet_jax.errors import UsageError
from efdet_jax.recipes import (
    EFFDET_MODELS,
    MODELS,
    get_effdet_config,
    get_lite_config,
)
from efdet_jax.weights.names.families import guesses
from efdet_jax.weights.opening import Weights, layout_of


def published_config(weights: Weights) -> ConfigDict:
    """Returns the config of the one published detector whose shapes weights have.

    Raises:
      UsageError: they have those of none, or of several that differ in more than
        shapes: D6 and D7 do in the size of their images and anchors.
    """
    known = {
        name: config
        for name, config in _configs(weights).items()
        if config.model.conv_bias == _has_biases(weights, config)
    }
    if len(known) != 1:
        several = f"suits {' and '.join(known)}" if known else "does not say its sizes"
        raise UsageError(
            f"{weights.path}: {several}: name the experiment that it is of with "
            "--config, such as --config=experiments/d0.py"
        )
    return next(iter(known.values()))


def _configs(weights: Weights) -> dict[str, ConfigDict]:
    """Returns {name: config} of the published detectors that may have these arrays."""
    makers = _MAKERS.get(weights.family.name)
    if makers is None:
        return {}
    models = [
        name.removeprefix("EfficientDet-").lower()
        for name in guesses(weights.arrays, weights.family)
    ]
    return {name: make() for model in models for name, make in makers(model).items()}


_Makers = Mapping[str, Callable[[], ConfigDict]]


def _of_automl(model: str) -> _Makers:
    source, phi = MODELS[model]
    if source == "lite":
        return {model: lambda: get_lite_config(phi)}
    return {model: lambda: get_config(source, phi)}


def _of_effdet(model: str) -> _Makers:
    return {
        name: lambda name=name: get_effdet_config(name)
        for name, (whose, _) in EFFDET_MODELS.items()
        if whose == model
    }


_MAKERS: Mapping[str, Callable[[str], _Makers]] = {
    "google/automl": _of_automl,
    "google/automl (TF2 objects)": _of_automl,
    "EfficientDet-Lite .tflite": _of_automl,
    "effdet": _of_effdet,
}
"""By the family of the weights. Ours are of any recipe: only their config says which.
"""


def _has_biases(weights: Weights, config: ConfigDict) -> bool:
    """Says whether weights have biases in front of a norm, which add nothing to it."""
    names = weights.family.names("class_head/conv_0/pointwise/bias", layout_of(config))
    return weights.arrays.keys() >= set(names)
