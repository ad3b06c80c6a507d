"""Strict JAX settings and the reference material, for every test."""

import collections
import os
import pathlib

import jax
import pytest
from jobs import environment_with_cache

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    """Of main jobs that share their compiled programs, with other workers' too."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return environment_with_cache(folder / "cache")


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of recorded reference arrays and real images beside the checkout."""
    folder = pathlib.Path(__file__).parents[2] / "shared"
    if not (folder / "reference").is_dir():
        pytest.skip("the reference material (../shared) is not beside this checkout")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first: else one worker ends long after the others."""
    minutes = collections.defaultdict(float)
    for item in items:
        if slow := item.get_closest_marker("slow"):
            minutes[item.path] += slow.kwargs.get("minutes", 0.3)
    items.sort(key=lambda item: -minutes[item.path])
