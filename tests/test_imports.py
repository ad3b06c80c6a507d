"""TensorFlow is heavy: only the writer of TensorBoard files may load it."""

import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "efdet_jax"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
)


def loaded_after(code: str) -> set[str]:
    """Returns the top-level modules that a new process has loaded after `code`."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.split())


@pytest.mark.slow
def test_no_module_loads_tensorflow():
    assert len(MODULES) > 30
    loaded = loaded_after("\n".join(f"import {module}" for module in MODULES))
    assert "efdet_jax" in loaded
    assert not {"tensorflow", "clu"} & loaded


@pytest.mark.slow
def test_the_writer_does(tmp_path: pathlib.Path):
    code = f"""
import pathlib
from efdet_jax.journal import Journal
journal = Journal(pathlib.Path({str(tmp_path)!r}))
assert "tensorflow" not in __import__("sys").modules
journal.scalars(1, {{"loss": 1.0}})
journal.close()
"""
    assert "tensorflow" in loaded_after(code)
    assert list(tmp_path.glob("events.out.*"))
