import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny

from efdet_jax import assemble
from efdet_jax.config import from_json
from efdet_jax.data.labels import LabelMap
from efdet_jax.models.initial import initial_variables
from efdet_jax.weights.opening import open_weights
from efdet_jax.weights.saving import save

ROOT = pathlib.Path(__file__).parents[1]
LABELS = LabelMap((4, 2), ("owl", "fox"))


def convert(*arguments):
    """Runs the command as a person does."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "efdet_jax.convert",
            "--config=tests/tiny.py",
            *arguments,
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def source(tmp_path):
    assembly = assemble.detector(tiny.get_config(), LABELS.num_classes)
    variables = initial_variables(assembly.variables, seed=3, foreground_prior=0.01)
    save(tmp_path / "source", variables, LABELS)
    return tmp_path / "source"


@pytest.mark.slow
def test_a_converted_file_holds_the_same_weights_and_classes(source, tmp_path):
    out = tmp_path / "out.safetensors"
    code, stdout, stderr = convert(f"--config.init_from={source}", f"--out={out}")
    assert code == 0, stderr
    assert stdout == f"{out}\n"
    assert "coverage" in stderr
    before, after = open_weights(source), open_weights(out)
    assert after.labels == LABELS
    np.testing.assert_equal(dict(after.arrays), dict(before.arrays))
    config = from_json(json.loads(after.config))
    expected = tiny.get_config()
    expected.model.num_classes = LABELS.num_classes
    assert config.to_dict() == expected.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["--out", "--config.init_from"])
def test_what_is_missing_is_named(missing, source, tmp_path):
    given = {"--config.init_from": source, "--out": tmp_path / "out"}
    del given[missing]
    code, stdout, stderr = convert(*(f"{k}={v}" for k, v in given.items()))
    assert (code, stdout) == (2, "")
    (line,) = stderr.splitlines()
    assert line.startswith(f"error: {missing} is missing")
