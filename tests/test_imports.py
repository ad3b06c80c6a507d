import ast
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]

IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
import numpy as np
import efdet_jax
names = [m.name for m in pkgutil.walk_packages(efdet_jax.__path__, "efdet_jax.")]
for name in names:
    importlib.import_module(name)
from efdet_jax.recipes import get_small_config
from efdet_jax.journal import Journal
journal = Journal(pathlib.Path(sys.argv[1]), writes=True)
journal.start(get_small_config(-3.0), from_step=0)
journal.scalars(1, {"loss": 1.0})
journal.pictures(1, [np.zeros((4, 4, 3), np.uint8)])
journal.result({"step": 0})
print(len(names), [name for name in sys.modules if name.split(".")[0] == "tensorflow"])
"""


def test_no_module_loads_tensorflow(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    count, loaded = done.stdout.split(maxsplit=1)
    assert int(count) == len(list((ROOT / "efdet_jax").rglob("*.py"))) - 1
    assert loaded.strip() == "[]"


def imported(path):
    """The packages that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_only_two_files_name_tensorflow():
    naming = {
        path.relative_to(ROOT).as_posix()
        for folder in ("efdet_jax", "experiments")
        for path in (ROOT / folder).rglob("*.py")
        if "tensorflow" in imported(path)
    }
    assert naming == {
        "efdet_jax/exporting/tensorflow_files.py",
        "efdet_jax/weights/files/tf_checkpoint.py",
    }
