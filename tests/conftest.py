"""Strict JAX settings and the reference material, for every test."""

import pathlib

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of recorded reference arrays and real images beside the checkout."""
    folder = pathlib.Path(__file__).parents[2] / "shared"
    if not (folder / "reference").is_dir():
        pytest.skip("the reference material (../shared) is not beside this checkout")
    return folder
