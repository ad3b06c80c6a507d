"""The compiled training step of a config, and the state that it starts from."""

import functools
import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.flat import in_vectors
from efdet_jax.optim import learning_rate_schedule, make_optimizer
from efdet_jax.structures import Batch, LabelledBatch, Tree
from efdet_jax.train_step import TrainState, initial_state, train_step

SCHEDULE_KEYS = (
    "schedule",
    "learning_rate",
    "reference_batch",
    "warmup_steps",
    "warmup_start",
)
"""Keys of config.optimizer that say how the rate goes; the others, what it scales."""


def schedule_settings(config: ConfigDict) -> dict[str, Any]:
    """Returns the arguments of `optim.learning_rate_schedule`."""
    return {
        "batch_size": config.batch_size,
        "steps": config.steps,
        **{name: config.optimizer[name] for name in SCHEDULE_KEYS},
    }


class Training(NamedTuple):
    """The compiled step of a config, and the state that it starts from."""

    step: jax.stages.Wrapped
    """(state, batch) → (state, metrics), as `train_step`; gives the old state away."""
    state: TrainState


def make_training(
    config: ConfigDict,
    assembly: assemble.Assembly,
    variables: Mapping[str, Tree],
    mesh: Mesh,
) -> Training:
    """Returns the step of a config, and its state before it, laid out on a mesh.

    Args:
      config: of the run.
      assembly: its network.
      variables: the first ones.
      mesh: the devices.
    """
    step, first_state = _programs(config, assembly, mesh)
    # Laid out on the host, it needs no program that joins hundreds of arrays.
    return Training(step, first_state(**in_vectors(variables)))


class AbstractTraining(NamedTuple):
    """A `Training` without numbers."""

    step: jax.stages.Wrapped
    state: Tree
    """Its shapes."""


def abstract_training(
    config: ConfigDict, assembly: assemble.Assembly, mesh: Mesh
) -> AbstractTraining:
    """Returns what `make_training` does with shapes for a state; computes nothing."""
    step, first_state = _programs(config, assembly, mesh)
    state = jax.eval_shape(
        lambda variables: first_state(**in_vectors(variables)), assembly.variables
    )
    return AbstractTraining(step, state)


def _programs(
    config: ConfigDict, assembly: assemble.Assembly, mesh: Mesh
) -> tuple[jax.stages.Wrapped, jax.stages.Wrapped]:
    """Returns the step, and what makes the first state of variables."""
    schedule = learning_rate_schedule(**schedule_settings(config))
    others = {
        name: value
        for name, value in config.optimizer.to_dict().items()
        if name not in SCHEDULE_KEYS
    }
    frozen = ("backbone",) if config.model.frozen.backbone else ()
    optimizer = make_optimizer(schedule, frozen=frozen, **others)
    everywhere = meshes.everywhere(mesh)
    first_state = jax.jit(
        functools.partial(initial_state, optimizer=optimizer), out_shardings=everywhere
    )
    step = functools.partial(
        train_step,
        model=assembly.model,
        objective=assembly.objective,
        normalisation=config.normalise.to_dict(),
        optimizer=optimizer,
        schedule=schedule,
        l2_weight=config.l2_loss,
        ema_decay=config.ema_decay,
        seed=config.seed,
        accumulate=config.accumulate,
    )
    compiled = jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(everywhere, None),  # A batch is laid out already.
        out_shardings=everywhere,
    )
    return compiled, first_state


class CompiledStep(NamedTuple):
    """A step for batches of one shape, and what it cost to make and costs to run."""

    step: jax.stages.Compiled
    cost: dict[str, float]
    """`compile_seconds`; `xla_flops` of a step by XLA's own count, or not a number."""


def compile_step(training: Training, batch: Batch | LabelledBatch) -> CompiledStep:
    """Returns the step of a training, compiled for a batch laid out on its mesh."""
    return compile_program(training.step, training.state, batch)


def compile_program(
    program: jax.stages.Wrapped, variables: Tree, batch: Tree
) -> CompiledStep:
    """Returns a training or prediction step, compiled for arrays, or for shapes."""
    start = time.monotonic()
    compiled = program.lower(variables, batch).compile()
    cost = {
        "compile_seconds": time.monotonic() - start,
        "xla_flops": (compiled.cost_analysis() or {}).get("flops", math.nan),
    }
    return CompiledStep(compiled, cost)
