import pytest

from efdet_jax.data.labels import contiguous, label_map, published
from efdet_jax.errors import UsageError


def test_contiguous_closes_the_gaps_in_order_of_id():
    labels = contiguous({9: "kite", 2: "dog", 5: "cat"})
    assert labels == ((2, 5, 9), ("dog", "cat", "kite"))
    assert labels.num_classes == 3
    assert labels.index_of() == {2: 0, 5: 1, 9: 2}


def test_published_class_is_id_minus_one_and_unused_ids_are_named_so():
    labels = published({1: "person", 3: "car"}, 4)
    assert labels.names == ("person", "unused 2", "car", "unused 4")
    assert labels.index_of() == {1: 0, 2: 1, 3: 2, 4: 3}


@pytest.mark.parametrize("id_", [0, 5, -1])
def test_published_refuses_ids_that_have_no_class(id_):
    with pytest.raises(UsageError, match=rf"class id {id_} \('dog'\) .* 1\.\.4"):
        published({1: "person", id_: "dog"}, 4)


def test_num_classes_zero_means_contiguous():
    categories = {1: "person", 3: "car"}
    assert label_map(categories, 0) == contiguous(categories)
    assert label_map(categories, 4) == published(categories, 4)
