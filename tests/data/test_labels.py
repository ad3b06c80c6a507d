import json

import pytest

from efdet_jax.data.labels import (
    COCO,
    LabelMap,
    contiguous,
    correspondence,
    labels_of_predictor,
    network_labels,
)
from efdet_jax.errors import UsageError

PETS = LabelMap((1, 3), ("cat", "dog"))


def test_contiguous_closes_the_gaps_in_order_of_id():
    labels = contiguous({9: "kite", 2: "dog", 5: "cat"})
    assert labels == ((2, 5, 9), ("dog", "cat", "kite"))
    assert labels.num_classes == 3
    assert labels.index_of() == {2: 0, 5: 1, 9: 2}
    assert contiguous({"b": "x", 2: "y", "a": "z"}).ids == (2, "a", "b")


def test_coco_is_what_its_own_files_say(shared):
    path = shared / "data" / "coco128" / "instances_train2017_128.json"
    categories = json.loads(path.read_bytes())["categories"]
    assert [(c["id"], c["name"]) for c in categories] == list(zip(*COCO, strict=True))


def test_labels_survive_json():
    labels = LabelMap((1, "n02084071"), ("cat", "Hund, groß"))
    document = json.loads(json.dumps(labels.to_json()))
    assert LabelMap.from_json(document, where="") == labels


def test_a_network_of_no_stated_size_has_the_classes_of_the_data():
    assert network_labels(PETS, 0) == PETS


@pytest.mark.parametrize("data", [PETS, COCO])
def test_networks_of_90_and_80_classes_have_those_of_coco_whatever_the_data(data):
    ninety = network_labels(data, 90)
    assert ninety.ids == tuple(range(1, 91))
    assert (ninety.names[0], ninety.names[12]) == ("person", "stop sign")
    unused = [n for n in ninety.names if n.startswith("unused")]
    # The ids that COCO's paper announced and its files never used.
    absent = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
    assert unused == [f"unused {id_}" for id_ in absent]
    assert network_labels(data, 80) == COCO


def test_in_a_network_of_another_size_class_is_id_minus_one():
    labels = network_labels(PETS, 4)
    assert labels == ((1, 2, 3, 4), ("cat", "unused 2", "dog", "unused 4"))


@pytest.mark.parametrize("id_", [0, 5, -1, "dog"])
def test_an_id_beyond_the_network_is_refused(id_):
    with pytest.raises(UsageError, match=rf"class id {id_} \('dog'\) .* 1\.\.4"):
        network_labels(contiguous({1: "person", id_: "dog"}), 4)


def test_weights_of_80_and_90_classes_are_taken_for_those_of_coco():
    assert labels_of_predictor(90) == network_labels(PETS, 90)
    assert labels_of_predictor(80) == COCO
    assert labels_of_predictor(20) is None


def test_where_ids_and_names_agree_they_decide():
    network = LabelMap((7, 3, 1), ("dog", "dog", "cat"))
    assert correspondence(LabelMap((1, 3), ("cat", "dog")), network) == (2, 1)


def test_where_ids_differ_names_decide_however_they_are_written():
    data = LabelMap((1, 2, 3, 4), ("Hot-Dog", "stop_sign", "TRAFFICLIGHT", "cow boy"))
    assert correspondence(data, COCO) == (
        COCO.names.index("hot dog"),
        COCO.names.index("stop sign"),
        COCO.names.index("traffic light"),
        None,
    )


def test_synonyms_hold_in_both_directions():
    voc = LabelMap((1, 2), ("sofa", "tvmonitor"))
    coco = LabelMap((63, 72), ("couch", "tv"))
    assert correspondence(voc, coco) == correspondence(coco, voc) == (0, 1)


def test_a_name_that_fits_two_classes_is_refused_only_if_it_is_asked_for():
    network = LabelMap((1, 2, 3), ("tv", "TV monitor", "cat"))
    assert correspondence(LabelMap((1,), ("Cat",)), network) == (2,)
    with pytest.raises(UsageError, match=r"'tvmonitor' .* 'tv' and 'TV monitor'"):
        correspondence(LabelMap((1,), ("tvmonitor",)), network)
