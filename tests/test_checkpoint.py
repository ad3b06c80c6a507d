import jax
import numpy as np
import pytest
from jax import numpy as jnp

from efdet_jax.checkpoint import Checkpoints
from efdet_jax.train_step import TrainState


def state(step):
    tree = {"head": {"kernel": jnp.full((2, 3), 0.1 * step, jnp.float32)}}
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params=tree,
        batch_stats={"bn": {"mean": jnp.full(3, float(step))}},
        opt_state=(jax.tree.map(jnp.zeros_like, tree), ()),
        ema={"params": tree, "batch_stats": {}},
    )


@pytest.fixture
def folder(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, state(step), {"seconds": step / 2, "batches": {"a": 1}})
    checkpoints.close()
    return tmp_path / "checkpoints"


def test_the_newest_checkpoint_comes_back_exactly(folder):
    checkpoints = Checkpoints(folder, keep=2)
    restored = checkpoints.restore_latest(state(0))
    assert restored.step == 3
    assert restored.progress == {"seconds": 1.5, "batches": {"a": 1}}
    assert isinstance(restored.state, TrainState)
    assert jax.tree.structure(restored.state) == jax.tree.structure(state(3))
    jax.tree.map(np.testing.assert_array_equal, restored.state, state(3))
    assert restored.state.step.dtype == jnp.int32
    checkpoints.close()


def test_only_the_newest_are_kept(folder):
    assert {path.name for path in folder.iterdir()} == {"2", "3"}


def test_an_empty_folder_restores_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path / "new", keep=1)
    assert checkpoints.restore_latest(state(0)) is None
    checkpoints.close()
