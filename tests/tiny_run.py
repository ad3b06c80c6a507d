"""A workdir with a checkpoint, as if the tiny detector had been trained there."""

import contextlib

import jax.numpy as jnp
import tiny

from efdet_jax import assemble
from efdet_jax.checkpoint import Checkpoints
from efdet_jax.data.labels import LabelMap
from efdet_jax.journal import Journal
from efdet_jax.models.initial import initial_variables
from efdet_jax.train_step import TrainState

LABELS = LabelMap((4, 2), ("owl", "fox"))
STEP = 7
CHANCE = 0.5
"""What it says, about, of any anchor and class."""


def make_run(workdir, config=None):
    """Writes config and checkpoint; returns the variables of the checkpoint."""
    config = config or tiny.get_config()
    assembly = assemble.detector(config, LABELS.num_classes)
    variables = initial_variables(assembly.variables, seed=3, foreground_prior=CHANCE)
    none = jnp.zeros((), jnp.int32)
    state = TrainState(none, {}, {}, (), variables, none)
    workdir.mkdir(parents=True, exist_ok=True)
    Journal(workdir).start(config, from_step=0)
    folder = workdir / "checkpoints"
    with contextlib.closing(Checkpoints(folder, keep=1, if_it_fails="stop")) as saver:
        saver.save(STEP, state, {"labels": LABELS.to_json()}, best=None)
    return variables
