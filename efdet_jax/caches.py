"""What is compiled once and used by every later run on this machine."""

import os
import pathlib

import jax


def folder() -> pathlib.Path:
    """Returns where compiled things are: $XDG_CACHE_HOME/efdet_jax, or in ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "efdet_jax"


def keep_compiled_programs() -> None:
    """Makes JAX keep what it compiles for later runs, where the user chose no place.

    JAX_COMPILATION_CACHE_DIR is such a choice.
    """
    if not jax.config.values["jax_compilation_cache_dir"]:
        jax.config.update("jax_compilation_cache_dir", str(folder() / "xla"))
