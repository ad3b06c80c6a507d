"""The worked example of CONTRIBUTING.md, followed to the letter."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SECTION = (ROOT / "CONTRIBUTING.md").read_text().partition("## A sixth neck")[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project with the neck in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("efdet_jax", "experiments"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    function, line = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)
    file = folder / "efdet_jax/models/necks.py"
    before, start, table = file.read_text().partition("NECKS: dict")
    opening, brace, rows = table.partition("{\n")
    file.write_text(f"{before}{function}\n\n{start}{opening}{brace}{line}{rows}")
    return folder


def run(checkout, *flags):
    command = SECTION.partition("    python -m ")[2].partition("\n\n")[0]
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command.replace("\\\n", "")), *flags],
        cwd=checkout,
        env=os.environ
        | {"PYTHONPATH": str(checkout), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_sixth_neck_is_a_table_and_a_line(checkout, tmp_path):
    described = json.loads(run(checkout, "--print_config"))
    other = json.loads(run(checkout, "--print_config", "--config.model.neck.name=fpn"))
    assert described["config"]["model"]["neck"]["name"] == "bottom_up"
    # As an FPN: one convolution per level, two inputs at all levels but one.
    assert described["params"] == other["params"]
    workdir = tmp_path / "run"
    run(
        checkout,
        f"--workdir={workdir}",
        "--config.steps=2",
        "--config.data.shapes.num_val=8",
    )
    assert json.loads((workdir / "result.json").read_text())["status"] == "finished"
