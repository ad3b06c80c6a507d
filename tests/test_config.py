"""The config's own promises: phi decides the sizes, and a run is what it says."""

import importlib.util
import pathlib

import pytest
from ml_collections import ConfigDict

from efdet_jax import assemble
from efdet_jax import config as config_lib
from efdet_jax.errors import UsageError
from efdet_jax.scaling import DETECTORS

EXPERIMENTS = sorted((pathlib.Path(__file__).parents[1] / "experiments").glob("*.py"))
ARGUMENTS = {"phi": "-1.5", "own_data": "{folder}"}


def load(path: pathlib.Path, *arguments: str) -> ConfigDict:
    """Returns the config of an experiment file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*arguments)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_valid_documented_and_short(path: pathlib.Path):
    arguments = [ARGUMENTS[path.stem]] if path.stem in ARGUMENTS else []
    config = load(path, *arguments)
    config_lib.validate(config)
    assert config.is_locked
    text = path.read_text()
    assert f"python -m efdet_jax.main --config=experiments/{path.stem}.py" in text
    body = text.split('"""')[2]
    assert len(body.strip().splitlines()) <= 25


def test_every_published_detector_has_its_experiment():
    names = {path.stem for path in EXPERIMENTS}
    assert {f"d{phi}" for phi in DETECTORS} <= names


@pytest.mark.parametrize("key", config_lib.derived_sizes(DETECTORS[0]))
def test_every_size_that_phi_sets_is_held_to_phi(key: str):
    config = config_lib.get_config("table", 0)
    changed = config_lib.derived_sizes(DETECTORS["7x"])[key]
    if changed == config_lib.lookup(config, key):
        changed = config_lib.derived_sizes(DETECTORS[7])[key]
    section, _, name = key.rpartition(".")
    parent = config_lib.lookup(config, section) if section else config
    parent[name] = changed
    with pytest.raises(UsageError, match=f"config.{key}=.*contradicts phi=0"):
        config_lib.validate(config)
    config.scaling.source = config_lib.FREE
    config_lib.validate(config)


def test_every_device_gets_as_many_images():
    config = config_lib.get_small_config(-3.0)
    config_lib.check_devices(config, 8)
    with pytest.raises(UsageError, match=r"config.batch_size=16 .* 3 devices"):
        config_lib.check_devices(config, 3)
    config.eval.batch_size = 12
    with pytest.raises(UsageError, match=r"config.eval.batch_size=12 .* 8 devices"):
        config_lib.check_devices(config, 8)


def test_classes_are_counted_from_the_data_unless_the_heads_are_published():
    config = config_lib.get_small_config(-3.0)
    config.data.train = "shapes:train"
    config.data.shapes.num_classes = 5
    assert assemble.num_classes(config) == 5
    config.model.num_classes = 90
    assert assemble.num_classes(config) == 90
