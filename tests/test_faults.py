"""What goes wrong beside training costs it nothing; the main job, in this process."""

import contextlib
import functools
import json
import subprocess
import sys
import threading

import cv2
import jax
import numpy as np
import pytest
import tiny
from jobs import ROOT, losses, result, rows
from oracles.trees import flat_arrays

from efdet_jax import evaluate, train
from efdet_jax.checkpoint import read_latest
from efdet_jax.data.shapes import Shapes
from efdet_jax.errors import InputStopped, NotEvaluated

pytestmark = pytest.mark.slow


def short_config():
    config = tiny.get_config()
    config.steps = 6
    config.eval.every = 2
    config.data.num_threads = 1
    config.data.patience = 1.0
    return config


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Lets the runs of this file compile once, and fast."""
    folder = tmp_path_factory.mktemp("cache")
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_disable_most_optimizations": True,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def failing(function, call):
    """Returns a function that raises when it is called for that time."""
    count = iter(range(1, 100))

    @functools.wraps(function)
    def fails(*arguments, **named):
        if next(count) == call:
            raise RuntimeError("the evaluation broke")
        return function(*arguments, **named)

    return fails


@contextlib.contextmanager
def images_hang(split, call):
    """Lets no image of a split come from that one on."""
    image, count, is_over = Shapes.image, iter(range(1, 1000)), threading.Event()

    def hangs(self, i):
        if (len(self) == 40) == (split == "train") and next(count) >= call:
            is_over.wait(60)
        return image(self, i)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shapes, "image", hangs)
        yield
    is_over.set()


@contextlib.contextmanager
def evaluation_fails(call):
    with pytest.MonkeyPatch.context() as patch:
        figures = failing(evaluate.coco_figures, call)
        patch.setattr(evaluate, "coco_figures", figures)
        yield


def stopped(workdir, status, step):
    found = result(workdir)
    assert (found["status"], found["step"]) == (status, step)
    assert read_latest(workdir / "checkpoints").step == step


def evaluated(workdir):
    return [row["step"] for row in rows(workdir) if "AP" in row]


def test_a_run_that_everything_happens_to_ends_as_if_nothing_had(
    cache, tmp_path, caplog
):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    train.train(short_config(), unbroken)

    # The evaluation of step 2 fails; then no images come for step 4.
    with (
        evaluation_fails(1),
        images_hang("train", 25),
        pytest.raises(InputStopped, match="has been read for"),
    ):
        train.train(short_config(), broken)
    assert "the evaluation of step 2 failed, 1 so far" in caplog.messages
    assert "Traceback" in caplog.text
    assert "the evaluation broke" in caplog.text
    stopped(broken, "input_stopped", 3)
    assert evaluated(broken) == []

    # In the evaluation of step 4 no images come.
    with images_hang("val", 5), pytest.raises(InputStopped):
        train.train(short_config(), broken)
    stopped(broken, "input_stopped", 4)

    # That evaluation is made up for; the last one, of step 6, fails.
    with (
        evaluation_fails(2),
        pytest.raises(NotEvaluated, match="the evaluation of step 6, the last, failed"),
    ):
        train.train(short_config(), broken)
    stopped(broken, "not_evaluated", 6)
    assert evaluated(broken) == [4]

    for _ in range(2):
        train.train(short_config(), broken)
        assert evaluated(broken) == [4, 6]
    assert result(broken)["failed_evaluations"] == 2
    assert result(unbroken)["failed_evaluations"] == 0
    found, expected = (
        flat_arrays(read_latest(folder / "checkpoints").state)
        for folder in (broken, unbroken)
    )
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name
    assert losses(broken) == losses(unbroken)
    assert result(broken)["AP"] == result(unbroken)["AP"]
    assert result(broken)["status"] == "finished"


def test_where_no_image_ever_comes_nothing_is_written(cache, tmp_path):
    with images_hang("train", 1), pytest.raises(InputStopped):
        train.train(short_config(), tmp_path)
    assert result(tmp_path)["status"] == "input_stopped"
    assert read_latest(tmp_path / "checkpoints") is None


HANGING = """
import runpy, threading
from efdet_jax.data import coco
read = coco.read_bytes
def read_bytes(path):
    if path.name == "5.png":
        threading.Event().wait()
    return read(path)
coco.read_bytes = read_bytes
runpy.run_module("efdet_jax.main", run_name="__main__", alter_sys=True)
"""
"""The main job on a disk that never answers for one file."""


def test_a_file_that_cannot_be_read_to_its_end_ends_the_process(environment, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(8):
        cv2.imwrite(images / f"{i}.png", np.full((64, 64, 3), 30 * i, np.uint8))
    (tmp_path / "boxes.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": i, "file_name": f"{i}.png", "width": 64, "height": 64}
                    for i in range(8)
                ],
                "categories": [{"id": 1, "name": "thing"}],
                "annotations": [
                    {
                        "id": i + 1,
                        "image_id": i,
                        "category_id": 1,
                        "bbox": [10, 10, 30, 30],
                        "area": 900,
                        "iscrowd": 0,
                    }
                    for i in range(8)
                ],
            }
        )
    )
    flags = [
        "--config=tests/tiny.py",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.train=coco:{tmp_path}/boxes.json,{images}",
        f"--config.data.val=coco:{tmp_path}/boxes.json,{images}",
        "--config.data.patience=1.5",
    ]
    done = subprocess.run(
        [sys.executable, "-c", HANGING, *flags],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 42, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: no images have come for 3 s: {images}/5.png has ")
    assert "Traceback" not in done.stderr
