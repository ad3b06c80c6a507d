"""The learning rate over time, and the optimizer."""

import functools
from collections.abc import Callable, Collection

import jax
import optax
from jax import numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from efdet_jax.structures import Tree


def _cosine(peak: float, warmup_steps: int, steps: int) -> optax.Schedule:
    decay = optax.cosine_decay_schedule(peak, steps - warmup_steps)
    return lambda step: decay(step - warmup_steps)


def _automl_cosine(peak: float, warmup_steps: int, steps: int) -> optax.Schedule:
    decay_steps = steps - warmup_steps
    return lambda step: 0.5 * peak * (1 + jnp.cos(jnp.pi * step / decay_steps))


def _stepwise(peak: float, warmup_steps: int, steps: int) -> optax.Schedule:
    del warmup_steps
    drops = {steps * 2 // 3: 0.1, steps * 5 // 6: 0.1}
    return optax.piecewise_constant_schedule(peak, drops)


def _polynomial(peak: float, warmup_steps: int, steps: int) -> optax.Schedule:
    del warmup_steps
    return optax.polynomial_schedule(peak, 0.0, power=0.9, transition_steps=steps)


SCHEDULES: dict[str, Callable[[float, int, int], optax.Schedule]] = {
    "cosine": _cosine,
    "automl_cosine": _automl_cosine,
    "stepwise": _stepwise,
    "polynomial": _polynomial,
}
"""The rate after warm-up, given its peak, the steps of warm-up and all steps.

"cosine" falls from the peak at the end of warm-up to 0 at the last step. The others
are google/automl's. Its cosine forgets to subtract the warm-up from the step: the rate
jumps down a little after warm-up, reaches 0 one warm-up early and climbs again.
"stepwise" falls to a tenth after two and after two and a half thirds of all steps;
"polynomial" falls with (1 - step / steps) ** 0.9.
"""


def learning_rate_schedule(
    *,
    schedule: str,
    learning_rate: float,
    reference_batch: int,
    batch_size: int,
    warmup_steps: int,
    warmup_start: float,
    steps: int,
) -> optax.Schedule:
    """Returns linear warm-up from `warmup_start`, then one of `SCHEDULES`.

    The learning rate is stated for `reference_batch` images and scaled in proportion to
    `batch_size`; `warmup_start` is not scaled. Source: google/automl, tf2/train_lib.py.
    """
    peak = learning_rate * batch_size / reference_batch
    warmup_steps = min(warmup_steps, steps - 1)
    after = SCHEDULES[schedule](peak, warmup_steps, steps)

    def rate(step: Int[ArrayLike, "..."]) -> Float[Array, "..."]:
        share = step / max(warmup_steps, 1)
        during = warmup_start + share * (peak - warmup_start)
        return jnp.where(jnp.asarray(step) < warmup_steps, during, after(step))

    return rate


def describe_schedule(
    *,
    schedule: str,
    learning_rate: float,
    reference_batch: int,
    batch_size: int,
    warmup_steps: int,
    warmup_start: float,
    steps: int,
) -> tuple[str, list[str]]:
    """Returns what `learning_rate_schedule` comes to, in a line, and what is odd in it.

    A rate that was meant for another batch is what most often makes a loss infinite.
    """
    peak = learning_rate * batch_size / reference_batch
    told = (
        f"learning rate {peak:.4g} at its peak ({learning_rate:.4g} for "
        f"{reference_batch} images, here {batch_size}), from {warmup_start:.4g} in "
        f"{min(warmup_steps, steps - 1)} steps of warm-up; {schedule} to step {steps}"
    )
    odd = []
    if warmup_start > peak and warmup_steps:
        odd.append(
            f"warm-up goes down: config.optimizer.warmup_start={warmup_start:.4g} is "
            f"above the peak, which a batch of {batch_size} makes {peak:.4g}; about a "
            "tenth of the peak is usual"
        )
    if warmup_steps >= steps > 1:
        odd.append(
            f"warm-up never ends: config.optimizer.warmup_steps={warmup_steps}, but "
            f"config.steps={steps}"
        )
    return told, odd


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
    frozen: Collection[str] = (),
) -> optax.GradientTransformation:
    """Returns clip, then momentum or Adam, then decay of kernels, then the rate.

    Parameters of the parts named in `frozen` keep their values.

    Differs: google/automl clips every gradient on its own to `clip_norm` before it
    clips the whole; the second alone bounds the update just as well.
    """
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        DIRECTIONS[name](momentum),
        optax.add_decayed_weights(decoupled_weight_decay, mask=_is_kernel),
        optax.scale_by_learning_rate(schedule),
        optax.masked(
            optax.set_to_zero(),
            functools.partial(_parts_in, names=frozen),
        ),
    )


def _parts_in(params: Tree, *, names: Collection[str]) -> Tree:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: any(getattr(key, "key", None) in names for key in path), params
    )


def _is_kernel(params: Tree) -> Tree:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1].key == "kernel", params
    )
