"""Where the kernels come from, and what happens where they cannot."""

import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import logging, sys
logging.basicConfig(format="%(message)s")
import jax, numpy as np
from jax import numpy as jnp
from efdet_jax.kernels import library
from efdet_jax.models.depthwise import depthwise_conv
rng = np.random.default_rng(0)
x = jnp.asarray(rng.normal(size=(2, 33, 20, 24)), jnp.float32)
kernel = jnp.asarray(rng.normal(size=(3, 3, 24)), jnp.float32)
loss = lambda x, kernel: jnp.sum(depthwise_conv(x, kernel, 2, "same") ** 2)
found = jax.grad(loss, (0, 1))(x, kernel)
np.savez(sys.argv[1], *found)
print(library.is_loaded())
"""


def ran(folder, name, **environment):
    """Returns (whether kernels were used, gradients, messages) of a process."""
    path = folder / f"{name}.npz"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        env={**os.environ, "XDG_CACHE_HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    with np.load(path) as arrays:
        return done.stdout.strip() == "True", list(arrays.values()), done.stderr


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """Of a process that leaves everything to XLA."""
    folder = tmp_path_factory.mktemp("without")
    is_used, gradients, _ = ran(folder, "without", EFDET_JAX_KERNELS="0")
    assert not is_used
    assert not (folder / "efdet_jax").exists()
    return gradients


@pytest.mark.parametrize(
    ("compiler", "reason"), [("no-such-compiler", "No such file"), ("false", "c++")]
)
def test_without_a_compiler_xla_does_it_and_one_line_says_so(
    compiler, reason, tmp_path, without
):
    is_used, gradients, messages = ran(tmp_path, "found", CXX=compiler)
    assert not is_used
    (line,) = [line for line in messages.splitlines() if "kernels" in line]
    assert "install a C++ compiler" in line
    assert list((tmp_path / "efdet_jax").iterdir()) == []
    for found, expected in zip(gradients, without, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_they_are_compiled_once_and_agree_with_xla(tmp_path, without):
    is_used, gradients, _ = ran(tmp_path, "first")
    if not is_used:
        pytest.skip("there is no C++ compiler here")
    (library,) = (tmp_path / "efdet_jax").iterdir()
    made = library.stat().st_mtime_ns
    for found, expected in zip(gradients, without, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    # Nothing is compiled again, and one thread comes to the same bits as two.
    script = f"import os; os.sched_setaffinity(0, {{0}})\n{PROGRAM}"
    path = tmp_path / "one_thread.npz"
    subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        check=True,
    )
    with np.load(path) as one_thread:
        for found, expected in zip(one_thread.values(), gradients, strict=True):
            np.testing.assert_array_equal(found, expected)
    assert library.stat().st_mtime_ns == made
