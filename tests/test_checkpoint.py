import contextlib
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax import numpy as jnp

from efdet_jax.checkpoint import Checkpoints, read_latest
from efdet_jax.errors import UsageError
from efdet_jax.seals import write_seal
from efdet_jax.train_step import TrainState


def state(step):
    tree = {"head": {"kernel": jnp.full((2, 3), 0.1 * step, jnp.float32)}}
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params=tree,
        batch_stats={"bn": {"mean": jnp.full(3, float(step))}},
        opt_state=(jax.tree.map(jnp.zeros_like, tree), ()),
        ema={"params": tree, "batch_stats": {}},
        skipped=jnp.asarray(0, jnp.int32),
    )


def progress(step):
    return {"seconds": step / 2, "batches": {"next": step}}


def opened(folder, keep=2, if_it_fails="stop"):
    return contextlib.closing(Checkpoints(folder, keep=keep, if_it_fails=if_it_fails))


def write(folder, steps, *, best=None):
    with opened(folder) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step), progress(step), best=best)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder in which steps 1, 2 and 3 were saved."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    write(folder, (1, 2, 3))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    shutil.copytree(written, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def names(folder):
    return {path.name for path in folder.iterdir()}


def check_restored(folder, step):
    """Both ways of reading give step `step`, exactly."""
    with opened(folder) as checkpoints:
        restored = checkpoints.restore_latest(state(0))
        assert restored is not None
        assert restored.step == step
        assert restored.progress == progress(step)
        assert checkpoints.latest_progress() == progress(step)
    assert isinstance(restored.state, TrainState)
    assert jax.tree.structure(restored.state) == jax.tree.structure(state(step))
    jax.tree.map(np.testing.assert_array_equal, restored.state, state(step))
    assert restored.state.step.dtype == jnp.int32


def test_the_newest_checkpoint_comes_back_exactly(folder):
    check_restored(folder, 3)
    latest = read_latest(folder)
    assert (latest.step, latest.progress) == (3, progress(3))
    kernel = latest.state["params"]["head"]["kernel"]
    np.testing.assert_array_equal(kernel, state(3).params["head"]["kernel"])


def test_a_checkpoint_with_an_array_for_each_parameter_is_read_too(tmp_path):
    folder = tmp_path / "checkpoints"
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state(5)),
            progress=ocp.args.JsonSave(progress(5)),
        )
        writer.save(folder / "5", args=items)
    write_seal(folder / "5", besides=())
    check_restored(folder, 5)
    kernel = read_latest(folder).state["params"]["head"]["kernel"]
    np.testing.assert_array_equal(kernel, state(5).params["head"]["kernel"])


def test_a_state_of_another_shape_is_refused_by_name(folder):
    wider = {"head": {"kernel": jnp.zeros((2, 4))}}
    for other in ({"head": {}}, wider):
        with (
            opened(folder) as checkpoints,
            pytest.raises(UsageError, match=f"{folder}/3 was written with another con"),
        ):
            checkpoints.restore_latest(state(0)._replace(params=other))


def test_only_the_newest_are_kept_and_the_best(folder):
    assert names(folder) == {"2", "3"}
    write(folder, (4, 5), best=2)
    assert names(folder) == {"2", "4", "5"}
    check_restored(folder, 5)
    assert names(folder) == {"2", "4", "5"}, "who saves nothing removes nothing"
    write(folder, (6,), best=6)
    assert names(folder) == {"5", "6"}


def test_an_empty_folder_restores_nothing(tmp_path):
    with opened(tmp_path / "new") as checkpoints:
        assert checkpoints.restore_latest(state(0)) is None
    assert read_latest(tmp_path / "new") is None


def arrays(checkpoint):
    """The one file that its arrays are in."""
    (path,) = (checkpoint / "state" / "d").iterdir()
    return path


def progress_of(checkpoint):
    return checkpoint / "progress" / "metadata"


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(data)


def cut(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


DAMAGES = {
    "the arrays' file is half as long": lambda f: cut(arrays(f), 180),
    "the arrays' file is empty": lambda f: cut(arrays(f), 0),
    "the arrays' last bit is another": lambda f: flip(arrays(f), -1),
    "the arrays' first bit is another": lambda f: flip(arrays(f), 0),
    "the arrays' file is gone": lambda f: arrays(f).unlink(),
    "the arrays' file is a folder": lambda f: replace_by_folder(arrays(f)),
    "all of the state is gone": lambda f: shutil.rmtree(f / "state"),
    "the arrays are the older checkpoint's": lambda f: shutil.copy(
        arrays(f.parent / "2"), arrays(f)
    ),
    "the arrays' description is garbled": lambda f: flip(f / "state" / "_METADATA", 40),
    "the progress is cut": lambda f: cut(progress_of(f), 5),
    "a bit of the progress is another": lambda f: flip(progress_of(f), 12),
    "the progress is gone": lambda f: shutil.rmtree(f / "progress"),
    "there is no seal": lambda f: (f / "seal.json").unlink(),
    "the seal is cut": lambda f: cut(f / "seal.json", 30),
    "the seal is another JSON": lambda f: (f / "seal.json").write_text("[1]"),
    "nothing is left": lambda f: (shutil.rmtree(f), f.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_it_used(
    damage, folder, caplog
):
    DAMAGES[damage](folder / "3")
    latest = read_latest(folder)
    assert latest is not None
    assert latest.step == 2
    assert f"{folder / '3'} is damaged: " in caplog.text
    assert names(folder) == {"2", "3"}, "who only reads changes nothing"
    caplog.clear()
    check_restored(folder, 2)
    assert f"{folder / '3'} is damaged: " in caplog.text
    assert names(folder) == {"2"}
    assert names(folder.parent / "damaged") == {"3"}
    # The run comes by that step again.
    write(folder, (3,))
    check_restored(folder, 3)


def test_what_is_not_sealed_is_not_needed(folder):
    path = folder / "3" / "_CHECKPOINT_METADATA"
    flip(path, 40)
    check_restored(folder, 3)
    path.unlink()
    check_restored(folder, 3)


def test_where_all_are_damaged_nothing_begins_anew(folder):
    for step in ("2", "3"):
        flip(arrays(folder / step), 0)
    for open_it in (read_latest, lambda f: Checkpoints(f, keep=2, if_it_fails="stop")):
        with pytest.raises(UsageError, match="every checkpoint is damaged"):
            open_it(folder)
    assert names(folder) == {"2", "3"}


def test_what_a_killed_run_left_unfinished_is_removed(folder):
    shutil.copytree(folder / "3", folder / "4.orbax-checkpoint-tmp")
    check_restored(folder, 3)
    assert names(folder) == {"2", "3"}


FILL = """
import resource, sys, pathlib
sys.path.insert(0, "tests")
import test_checkpoint as t, jax, numpy as np
from efdet_jax.checkpoint import Checkpoints
folder, if_it_fails = pathlib.Path(sys.argv[1]), sys.argv[2]
t.write(folder, (4,))
checkpoints = Checkpoints(folder, keep=2, if_it_fails=if_it_fails)
# No file may be larger than this, as on a disk that is nearly full.
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
noise = jax.numpy.asarray(np.random.default_rng(0).random(2**20), jax.numpy.float32)
large = t.state(5)._replace(params={"head": {"kernel": noise}})
checkpoints.save(5, large, t.progress(5), best=None)
checkpoints.save(6, large, t.progress(6), best=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
checkpoints.save(7, t.state(7), t.progress(7), best=None)
checkpoints.close()
"""


@pytest.mark.parametrize(
    ("if_it_fails", "newest"), [("stop", 4), ("go on", 7)], ids=["stop", "go on"]
)
def test_a_full_disk_leaves_older_checkpoints_as_they_are(if_it_fails, newest, folder):
    ran = subprocess.run(
        [sys.executable, "-c", FILL, str(folder), if_it_fails],
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) is (if_it_fails == "go on"), ran.stderr
    assert "a checkpoint could not be written" in ran.stderr
    assert "the newest is that of step 4; make room" in ran.stderr
    check_restored(folder, newest)
    assert not list(folder.glob("*tmp*"))
