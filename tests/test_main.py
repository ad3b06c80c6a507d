"""What a person types wrong gets one line that names it, and exit code 2."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
D3 = "--config=experiments/d3.py"


def run_main(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs the main job as a person does, in the root of the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "efdet_jax.main", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


MISTAKES = {
    "unknown key": ((D3, "--config.lerning_rate=1"), ("config.lerning_rate",)),
    "unknown nested key": (
        (D3, "--config.model.neck.widht=1"),
        ("config.model.neck.widht", "did you mean width?"),
    ),
    "phi is no key": ((D3, "--config.phi=4"), ("config.phi", "experiments/phi.py:")),
    "a size beside phi": (
        (D3, "--config.model.neck.width=96"),
        ("config.model.neck.width=96", "phi=3", "160", "scaling.source=free"),
    ),
    "phi after the sizes": (
        (D3, "--config.scaling.phi=4"),
        ("phi=4", "experiments/phi.py:PHI"),
    ),
    "an image below the top stride": (
        (D3, "--config.scaling.source=free", "--config.image_size=(96,640)"),
        ("config.image_size=(96, 640)", "128", "config.model.levels"),
    ),
    "half an image size": (
        (D3, "--config.scaling.source=free", "--config.image_size=640"),
        ("config.image_size=(640,)", "(512,640)"),
    ),
    "a word for a number": ((D3, "--config.batch_size=many"), ("batch_size=many",)),
    "a batch of nothing": ((D3, "--config.batch_size=0"), ("config.batch_size=0",)),
    "an unknown choice": (
        (D3, "--config.optimizer.name=lion"),
        ("config.optimizer.name=lion", "sgd", "adamw"),
    ),
    "an unknown flag": ((D3, "--wrokdir=x"), ("wrokdir",)),
    "no config": ((), ("--config", "experiments/")),
    "a config that is not there": (
        ("--config=experiments/d33.py",),
        ("experiments/d33.py", "does not exist"),
    ),
    "phi without a number": (("--config=experiments/phi.py",), ("phi",)),
    "phi that is no number": (("--config=experiments/phi.py:two",), ("phi=two",)),
    "a data folder that is not there": (
        ("--config=experiments/own_data.py:nowhere", "--workdir={tmp}/run"),
        ("nowhere", "no such folder"),
    ),
    "a workdir that cannot be": (
        ("--config=experiments/quickstart.py", "--workdir={tmp}/file/run"),
        ("--workdir=", "/file/run", "choose a folder"),
    ),
    "evaluation of nothing": (
        ("--config=experiments/quickstart.py", "--mode=eval", "--workdir={tmp}/empty"),
        ("/empty", "no checkpoint"),
    ),
    "a batch that does not divide": (
        (
            "--config=experiments/quickstart.py",
            "--config.batch_size=6",
            "--workdir={tmp}/run",
        ),
        ("config.batch_size=6", "4 devices", "multiple of 4"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_one_line(mistake: str, tmp_path: pathlib.Path):
    arguments, words = MISTAKES[mistake]
    (tmp_path / "file").touch()
    ran = run_main(
        *(argument.format(tmp=tmp_path) for argument in arguments),
        XLA_FLAGS="--xla_force_host_platform_device_count=4",
    )
    assert ran.returncode == 2, ran.stderr
    (line,) = ran.stderr.strip().splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert ran.stdout == ""


def test_print_config_needs_neither_data_nor_workdir():
    ran = run_main(D3, "--print_config")
    assert ran.returncode == 0, ran.stderr
    described = json.loads(ran.stdout)
    assert described["params"] == 12_032_296
    assert described["multiply_adds"] == 24_568_753_664
    assert described["image_size"] == [896, 896]
    assert described["config"]["model"]["neck"]["width"] == 160
    assert described["config"]["scaling"] == {"source": "table", "phi": 3}
    assert not (ROOT / "runs" / "d3").exists()
