import importlib.util
import json
import pathlib
import re

import cv2
import numpy as np
import pytest

from efdet_jax import assemble, config, scaling, validation
from efdet_jax.errors import UsageError
from efdet_jax.recipes import IMBALANCE

FOLDER = pathlib.Path(__file__).parents[1] / "experiments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
PUBLISHED = {f"d{phi}": phi for phi in scaling.DETECTORS}


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((40, 60, 3), 128, np.uint8))


@pytest.fixture
def coco_folder(tmp_path):
    """A person's own data: one image and box per split, two classes."""
    for index, split in enumerate(("train", "val")):
        draw(tmp_path / split / "a.png")
        image = {"id": 1, "file_name": "a.png", "height": 40, "width": 60}
        box = {
            "id": 1,
            "image_id": 1,
            "category_id": index + 5,
            "bbox": [5, 6, 20, 15],
            "area": 300,
            "iscrowd": 0,
        }
        categories = [{"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}]
        content = {"images": [image], "annotations": [box], "categories": categories}
        path = tmp_path / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return tmp_path


def write_workdir(folder, of_run):
    written = {"config": json.loads(of_run.to_json()), "versions": {}}
    (folder / "config.json").write_text(json.dumps(written))


def build(name, coco_folder):
    write_workdir(coco_folder, config.get_config("table", 0))
    arguments = {
        "again": str(coco_folder),
        "effdet": "efficientdet_d1",
        "efficientnet_scaling": "width,2",
        "fusion": "softmax,3",
        "necks": "panet",
        "finetune": f"lite0,{coco_folder}",
        "imbalance": "focal",
        "own_data": str(coco_folder),
        "phi": "1.5",
        "shapes": "-3",
    }
    given = [arguments[name]] if name in arguments else []
    return load(name).get_config(*given)


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_builds_and_is_valid(name, coco_folder):
    built = build(name, coco_folder)
    assert built.is_locked
    validation.validate(built)


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_says_its_own_command(name):
    command = f"python -m efdet_jax.main --config=experiments/{name}.py"
    assert command in load(name).__doc__
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 35


def test_every_published_detector_is_an_experiment():
    assert set(PUBLISHED) <= set(NAMES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_experiments_are_the_published_recipe(name):
    phi = PUBLISHED[name]
    expected = config.get_config("table", phi)
    expected.model.num_classes = 90
    # 500 epochs in the paper's first version, 300 and 600 in its last.
    expected.steps *= 2 if phi in (7, "7x") else 1
    assert load(name).get_config().to_dict() == expected.to_dict()
    described = load(name).__doc__
    assert f"EfficientDet-D{phi} " in described
    size = scaling.DETECTORS[phi].image_size
    assert f"{size} x {size}" in described
    assert " AP " in described


def test_the_classes_of_own_data_come_from_the_data(coco_folder):
    built = build("own_data", coco_folder)
    train, val = (assemble.open_data(built, split) for split in ("train", "val"))
    assert len(train) == len(val) == 1
    assert train.labels.names == ("cat", "dog")
    assert assemble.num_classes(built) == 2


def test_the_quickstart_is_a_small_law_on_drawn_images(coco_folder):
    built = build("quickstart", coco_folder)
    assert built.scaling.source == "law"
    assert built.scaling.phi < 0
    train, val = (assemble.open_data(built, split) for split in ("train", "val"))
    assert len(val) == 256
    assert train.labels == val.labels


@pytest.mark.parametrize("name", IMBALANCE)
def test_every_row_about_imbalance_is_valid_and_named(name):
    validation.validate(load("imbalance").get_config(name))
    assert re.search(rf"\b{name}\b", load("imbalance").__doc__)


def test_a_row_about_imbalance_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match=r"'focus' .*ohem"):
        load("imbalance").get_config("focus")


def test_a_phi_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="phi=big"):
        load("phi").get_config("big")


@pytest.mark.parametrize("phi", scaling.CLASSIFIERS)
def test_published_classifiers_are_experiments_with_their_size_in_words(phi):
    module = load(f"efficientnet_b{phi}")
    built = module.get_config()
    size = scaling.CLASSIFIERS[phi]
    assert built.image_size == (size.image_size,) * 2
    assert f"{size.image_size} x {size.image_size}" in module.__doc__
    assert built.model.num_classes == 1000


@pytest.mark.parametrize(
    ("dimension", "key"),
    [("width", "backbone.width"), ("depth", "backbone.depth"), ("resolution", None)],
)
def test_one_dimension_is_scaled_alone(dimension, key):
    experiment = load("efficientnet_scaling")
    small, large = (experiment.get_config(f"{dimension},{factor}") for factor in (1, 2))
    if key is None:
        assert large.image_size == tuple(2 * side for side in small.image_size)
        large.image_size = small.image_size
    else:
        name = key.rpartition(".")[2]
        assert large.model.backbone[name] == 2 * small.model.backbone[name]
        large.model.backbone[name] = small.model.backbone[name]
    assert large.to_dict() == small.to_dict()


def test_a_run_again_has_its_config_to_the_last_key(coco_folder):
    for name in ("d7x", "retinanet_r50", "finetune", "quickstart"):
        before = build(name, coco_folder)
        write_workdir(coco_folder, before)
        again = load("again").get_config(str(coco_folder))
        assert again.to_dict() == before.to_dict()


def test_a_run_again_of_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere.*config\.json"):
        load("again").get_config(str(tmp_path / "nowhere"))
