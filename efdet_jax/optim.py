"""The learning rate over time, and the optimizer."""

from collections.abc import Callable

import jax
import optax

from efdet_jax.structures import Tree


def learning_rate_schedule(
    *,
    learning_rate: float,
    reference_batch: int,
    batch_size: int,
    warmup_steps: int,
    warmup_start: float,
    steps: int,
) -> optax.Schedule:
    """Returns linear warm-up, then one half cosine down to 0 at `steps`.

    The learning rate is stated for `reference_batch` images and scaled in proportion to
    `batch_size`. Differs: google/automl's cosine does not subtract the warm-up, so that
    it reaches 0 early and climbs again, and its warm-up starts at an absolute 0.008
    whatever the batch; here it starts at the share `warmup_start` of the scaled rate.
    """
    peak = learning_rate * batch_size / reference_batch
    return optax.warmup_cosine_decay_schedule(
        init_value=warmup_start * peak,
        peak_value=peak,
        warmup_steps=min(warmup_steps, steps - 1),
        decay_steps=steps,
    )


DIRECTIONS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "sgd": optax.trace,
    "adamw": lambda momentum: optax.scale_by_adam(b1=momentum),
}
"""How a gradient becomes a direction, given the momentum."""


def make_optimizer(
    schedule: optax.Schedule,
    *,
    name: str,
    momentum: float,
    decoupled_weight_decay: float,
    clip_norm: float,
) -> optax.GradientTransformation:
    """Returns clip, then momentum or Adam, then decay of kernels, then the rate.

    Differs: google/automl clips every gradient on its own to `clip_norm` before it
    clips the whole; the second alone bounds the update just as well.
    """
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        DIRECTIONS[name](momentum),
        optax.add_decayed_weights(decoupled_weight_decay, mask=_is_kernel),
        optax.scale_by_learning_rate(schedule),
    )


def _is_kernel(params: Tree) -> Tree:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1].key == "kernel", params
    )
