"""Compiles the C++ of this room for this machine, once, and hands it to XLA."""

import contextlib
import contextvars
import ctypes
import functools
import hashlib
import logging
import os
import pathlib
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jaxlib
from jax import numpy as jnp

from efdet_jax import caches

_LOG = logging.getLogger(__name__)

OFF = "EFDET_JAX_KERNELS"
"""Environment variable; 0 leaves everything to XLA."""
_SOURCE = pathlib.Path(__file__).parent / "source"
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-Wno-psabi")
_TARGETS = (
    "depthwise",
    "depthwise_expanded",
    "depthwise_gradients",
    "focal",
    "normalise",
    "normalise_gradients",
    "pointwise",
    "thin",
    "thin_gradient",
    "top",
)


class Compiler(NamedTuple):
    """What another compiler than XLA here makes of operations that it could know."""

    has_platforms: bool
    """Takes the branch of its platform; else depthwise convolutions are one operation
    whatever the platform, which the compiler recognises."""
    has_top_k: bool
    """Else the highest values are found by sorting."""
    has_sort: bool
    """Else rows are put in order by finding the highest of all of them."""
    flattens_images: bool
    """Makes a matrix of an image's cells and back; else 1 x 1 convolutions are written
    as such, and gates multiply images and not the kernels after them."""


XLA = Compiler(has_platforms=True, has_top_k=True, has_sort=True, flattens_images=True)

_elsewhere: contextvars.ContextVar[Compiler | None] = contextvars.ContextVar(
    "_elsewhere", default=None
)


@contextlib.contextmanager
def set_aside(compiler: Compiler = XLA) -> Iterator[None]:
    """Leaves everything to a compiler in what is traced meanwhile.

    For programs that are to be counted, or to run elsewhere.
    """
    token = _elsewhere.set(compiler)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def compiler() -> Compiler:
    """Returns what compiles that which is traced now."""
    return _elsewhere.get() or XLA


def are_usable(*arrays: jax.Array) -> bool:
    """Says whether what is done to arrays here is done by the kernels.

    They are for float32 on one CPU device: XLA splits its own operations over several
    devices, but not these. Gradients can be taken of them once.
    """
    return (
        _elsewhere.get() is None
        and all(array.dtype == jnp.float32 for array in arrays)
        and jax.default_backend() == "cpu"
        and jax.device_count() == 1
        and is_loaded()
    )


@functools.cache
def is_loaded() -> bool:
    """Says whether XLA has the kernels; the first call may compile them: seconds."""
    if os.environ.get(OFF) == "0":
        return False
    try:
        library = ctypes.CDLL(str(_built()))
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        _LOG.warning(
            "no kernels for this CPU, so that a training step takes about twice as "
            "long: install a C++ compiler, for example g++ (%s)",
            reason.strip().splitlines()[0],
        )
        return False
    for name in _TARGETS:
        handler = jax.ffi.pycapsule(getattr(library, f"efdet_jax_{name}"))
        jax.ffi.register_ffi_target(f"efdet_jax_{name}", handler, platform="cpu")
    return True


def _built() -> pathlib.Path:
    """Returns the library for this machine, compiled now if it never was.

    Raises:
      OSError: there is no compiler, or no place for the library.
      subprocess.CalledProcessError: the compiler does not accept the source.
    """
    compiler = os.environ.get("CXX", "c++")
    path = caches.folder() / f"kernels-{_fingerprint(compiler)}.so"
    if path.exists():
        return path
    _LOG.info("compiling the kernels for this CPU, once: seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    include = f"-isystem{jax.ffi.include_dir()}"
    # Beside its place, so that it gets there in one step, whoever else compiles it.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:

        def compiled(source: pathlib.Path) -> str:
            object_file = f"{folder}/{source.stem}.o"
            _run(compiler, *_FLAGS, include, "-c", str(source), "-o", object_file)
            return object_file

        with ThreadPoolExecutor() as pool:
            objects = list(pool.map(compiled, sorted(_SOURCE.glob("*.cc"))))
        linked = f"{folder}/kernels.so"
        _run(compiler, "-shared", *objects, "-o", linked)
        os.replace(linked, path)
    return path


def _fingerprint(compiler: str) -> str:
    """Returns what changes with anything that the library depends on."""
    cpu = pathlib.Path("/proc/cpuinfo")
    traits = {
        line
        for line in (cpu.read_text() if cpu.exists() else "").splitlines()
        if line.startswith(("model", "flags", "Features"))
    }
    parts = [
        compiler,
        *_FLAGS,
        jaxlib.__version__,
        platform.platform(),
        *sorted(traits),
    ]
    parts += [path.read_text() for path in sorted(_SOURCE.iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
