"""The notebook runs from its first cell to its last, at a tiny size."""

import json
import pathlib
import subprocess
import sys

import pytest

NOTEBOOK = pathlib.Path(__file__).parents[1] / "docs" / "tutorial.ipynb"

# It has plain Python only, so that its cells in a row are a program.
PROGRAM = """
import json, sys
for number, cell in enumerate(json.load(open(sys.argv[1]))["cells"]):
    if cell["cell_type"] == "code":
        source = "".join(cell["source"])
        exec(compile(source, f"cell {number}", "exec"), globals())
        if "parameters" in cell["metadata"].get("tags", ()):
            exec(sys.argv[2], globals())
"""
TINY = "STEPS, NUM_VAL, PHIS, WORKDIR = 1, 8, (-4, -3), 'tutorial'"


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path, environment):
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, NOTEBOOK, TINY],
        cwd=tmp_path,
        env=environment
        | {
            "MPLBACKEND": "agg",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "PYTHONPATH": str(NOTEBOOK.parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    # The step by hand is the first one of the run.
    by_hand = float(ran.stdout.partition("\nloss ")[2].split()[0])
    rows = (tmp_path / "tutorial/metrics.jsonl").read_text().splitlines()
    assert by_hand == pytest.approx(json.loads(rows[0])["loss"], abs=1e-4)
    law = [line.split() for line in ran.stdout.splitlines()[-2:]]
    assert [row[:2] for row in law] == [["-4", "128"], ["-3", "128"]]
