"""Every format of one tiny detector, written once."""

import functools

import jax
import pytest
import tiny_detector

from efdet_jax.exporting.exporting import export
from efdet_jax.exporting.formats import FORMATS, chosen
from efdet_jax.exporting.metadata import metadata
from efdet_jax.exporting.program import program


def made(seed=0):
    return program(
        tiny_detector.config(), tiny_detector.assembly(), tiny_detector.variables(seed)
    )


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Returns (format, seed of the model to compare with) → what became of it."""

    @functools.cache
    def exported(name, model_seed=0):
        for package in FORMATS[name].packages:
            pytest.importorskip(package)
        config = tiny_detector.config()
        (row,) = export(
            made(),
            jax.jit(made(model_seed).detect),
            list(tiny_detector.images()),
            chosen([name]),
            tmp_path_factory.mktemp(name),
            metadata=metadata(config, tiny_detector.LABELS),
            score_threshold=config.postprocess.score_threshold,
        )
        return row

    return exported
