"""One training step: a pure function of state and batch."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import optax
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float, Int

from efdet_jax.accumulation import batch_gradient
from efdet_jax.flat import Flat
from efdet_jax.losses import l2_loss
from efdet_jax.models.detector import normalise
from efdet_jax.models.networks import Network
from efdet_jax.objectives import Objective
from efdet_jax.structures import Batch, LabelledBatch, Tree


class TrainState(NamedTuple):
    """Everything that a step changes; trees of variables are `Flat`."""

    step: Int[Array, ""]
    params: Tree
    batch_stats: Tree
    opt_state: Tree
    ema: Tree
    """Averages of {"params": …, "batch_stats": …}; what evaluation uses."""
    skipped: Int[Array, ""]
    """Steps that changed nothing, because their loss or gradient was not finite."""


def initial_state(
    params: Tree, batch_stats: Tree, optimizer: optax.GradientTransformation
) -> TrainState:
    """Returns the state before the first step, for variables that are `Flat`."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(params),
        # Copies: a step gives its buffers away, and none may be given twice.
        ema=jax.tree.map(jnp.array, {"params": params, "batch_stats": batch_stats}),
        skipped=jnp.zeros((), jnp.int32),
    )


def train_step(
    state: TrainState,
    batch: Batch | LabelledBatch,
    *,
    model: Network,
    objective: Objective,
    normalisation: Mapping[str, tuple[float, float, float]],
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    l2_weight: float,
    ema_decay: float,
    seed: int,
    accumulate: int,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """Returns the state after one batch, and what there is to log of it.

    Where the loss or the gradient is not finite, only the counters of the state change:
    what is not a number would never leave parameters, averages or moments again.

    Args:
      state: before the step.
      batch: the global batch.
      model: the network.
      objective: its loss.
      normalisation: arguments of `normalise`.
      optimizer: what turns gradients into updates.
      schedule: its learning rate, to be logged.
      l2_weight: of `losses.l2_loss`.
      ema_decay: how much of the average each step keeps, once it is warm.
      seed: of drop path and dropout; each step draws its own.
      accumulate: parts that the batch is seen in, one after the other; see
        `accumulation.batch_gradient` for what that changes. Losses are those of the
        whole batch with any number of parts.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    whole = objective.targets(batch)

    def share(
        params: Flat, batch_stats: Flat, rows: tuple[Array, Tree], key: Array
    ) -> tuple[Float[Array, ""], tuple[Flat, dict]]:
        image, targets = rows
        if model.frozen["backbone"]:
            fixed = lax.stop_gradient(params.vectors["backbone"])
            params = params.with_part("backbone", fixed)
        outputs, updated = model.apply(
            {"params": params.tree(), "batch_stats": batch_stats.tree()},
            normalise(image, **normalisation),
            train=True,
            mutable=["batch_stats"],
            rngs={"drop_path": key, "dropout": key},
        )
        loss, named = objective.share(outputs, targets, whole)
        l2 = l2_loss(params, weight=l2_weight / accumulate)
        return loss + l2, (Flat.of(updated["batch_stats"]), named | {"l2_loss": l2})

    total, gradients, batch_stats, named = batch_gradient(
        share,
        state.params,
        state.batch_stats,
        (jnp.asarray(batch.image), whole),
        key,
        parts=accumulate,
    )
    gradient_norm = optax.tree.norm(gradients)
    is_finite = jnp.isfinite(total) & jnp.isfinite(gradient_norm)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # Young averages forget faster, or they would remember the random beginning.
    decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(
        lambda average, value: decay * average + (1 - decay) * value,
        state.ema,
        {"params": params, "batch_stats": batch_stats},
    )
    after = state._replace(
        params=params, batch_stats=batch_stats, opt_state=opt_state, ema=ema
    )
    after = jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), after, state)
    after = after._replace(
        step=state.step + 1, skipped=state.skipped + jnp.where(is_finite, 0, 1)
    )
    metrics = named | {
        "loss": total,
        "gradient_norm": gradient_norm,
        "learning_rate": jnp.asarray(schedule(state.step)),
        "skipped_steps": after.skipped.astype(jnp.float32),
    }
    return after, metrics
