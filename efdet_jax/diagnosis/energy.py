"""How strongly a network answers, level by level and place by place."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float


def energy_map(feature: Float[np.ndarray, "b h w c"]) -> Float[np.ndarray, "b h w"]:
    """Returns the root of the mean square over channels, of each cell."""
    return np.sqrt(np.mean(np.square(feature.astype(np.float64)), axis=-1))


def level_energy(
    features: Mapping[int, Float[np.ndarray, "b _ _ _"]],
) -> dict[int, float]:
    """Returns the root of the mean square of all that is in each level."""
    return {
        level: float(np.sqrt(np.mean(np.square(energy_map(feature)))))
        for level, feature in sorted(features.items())
    }
