"""The examples of docs/extending.md, followed to the letter."""

import pathlib
import re
import sys
import time

import numpy as np
import pytest

from efdet_jax import assemble
from efdet_jax.config import get_config
from efdet_jax.data.datasets import SOURCES, open_source
from efdet_jax.inspection.proof import prove
from efdet_jax.models.detector import BACKBONES
from efdet_jax.sweep.launchers import choosing
from efdet_jax.sweep.trials import Job, Resources
from efdet_jax.validation import CHOICES, validate

TEXT = (pathlib.Path(__file__).parents[1] / "docs/extending.md").read_text()


def run(section, **names):
    """Runs the code blocks of a section; returns all names that there are then."""
    of_section = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", of_section, flags=re.DOTALL)
    assert blocks
    # A class asks the module of this name what its annotations mean.
    scope = {"__name__": __name__} | names
    for block in blocks:
        exec(block, scope)
    return scope


def test_a_backbone_is_a_module_and_a_row(monkeypatch):
    config = get_config("law", -4)
    scope = run("A backbone", config=config)
    monkeypatch.setitem(BACKBONES, "plain", scope["Plain"])
    # Made of the table when the module is loaded.
    monkeypatch.setitem(CHOICES, "model.backbone.name", tuple(BACKBONES))
    validate(config)
    shapes = assemble.detector(config, 90).variables["params"]["backbone"]
    kernels = [shapes[f"conv_{level}"]["kernel"].shape for level in range(1, 6)]
    assert kernels == [
        (3, 3, 3, 16),
        (3, 3, 16, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 128),
        (3, 3, 128, 256),
    ]


def test_a_data_set_is_a_source_and_a_row(monkeypatch):
    scope = run("A data set")
    monkeypatch.setitem(SOURCES, "squares", scope["_open_squares"])
    source = open_source("squares:5", image_size=(64, 64), shapes={})
    assert len(source) == 5
    proof = prove(
        [source.annotations(i) for i in range(5)],
        image_size=(128, 128),
        resize="letterbox",
        num_classes=1,
    )
    assert proof.ap == pytest.approx(1)
    for i in range(5):
        # The pixels say the same as the boxes.
        rows, columns = np.nonzero(source.image(i)[..., 0])
        found = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert source.annotations(i).boxes.tolist() == [found]


def test_a_launcher_is_a_class_and_a_row(monkeypatch, tmp_path):
    monkeypatch.setitem(choosing.LAUNCHERS, "plain", run("A launcher")["Plain"])
    launcher = choosing.create("plain", "sweep", ["nice=10"])
    sleep = "import os, time; print(os.nice(0), flush=True); time.sleep(60)"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        command = (sys.executable, "-c", sleep)
        launcher.start(Job(name, command, tmp_path / name, Resources()))
    log = tmp_path / "first/log.txt"
    until = time.monotonic() + 20
    while not log.read_text() and time.monotonic() < until:
        time.sleep(0.02)
    assert launcher.alive() == {"first", "second"}
    assert log.read_text() == "10\n"
    launcher.stop()
    assert launcher.alive() == set()
