"""Data sets in a bucket, by addresses instead of folders."""

import os
from typing import ClassVar

import cv2
import fsspec
import pytest
from etils.epath import gpath
from fsspec.implementations.memory import MemoryFileSystem
from oracles.forms import WRITERS, Pictured, by_title
from tiny_batches import shapes

from efdet_jax.data.datasets import open_source
from efdet_jax.errors import UsageError


class Bucket(MemoryFileSystem):
    """What the client of a bucket looks like, with its files in memory."""

    protocol = ("s3",)
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix("s3://"))


@pytest.fixture
def bucket(monkeypatch):
    fsspec.register_implementation("s3", Bucket, clobber=True)
    # TensorFlow, where it is installed, needs the real network.
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)
    Bucket.store.clear()
    return Bucket()


def open_spec(spec):
    return open_source(spec, image_size=(64, 64), shapes={})


@pytest.mark.parametrize("form", list(WRITERS))
def test_a_data_set_in_a_bucket_is_that_of_the_folder(tmp_path, bucket, form):
    drawn = shapes(num_images=3, min_objects=1)
    pictured = []
    for i in range(len(drawn)):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), drawn.image(i)[..., ::-1])
        known = drawn.annotations(i)
        names = [drawn.labels.names[class_] for class_ in known.classes]
        objects = list(zip(names, known.boxes.tolist(), strict=True))
        pictured.append(Pictured(path, known.height, known.width, objects))
    folder = tmp_path / "data"
    spec = WRITERS[form](folder, pictured, list(drawn.labels.names))
    for place, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                bucket.pipe(f"s3://mine/{os.path.relpath(path, folder)}", file.read())
    remote = open_spec(spec.replace(str(folder), "s3://mine"))
    local = open_spec(spec)
    found, expected = by_title(remote), by_title(local)
    assert list(found) == list(expected)
    for name, (size, classes, boxes) in found.items():
        assert size == expected[name][0]
        assert classes == expected[name][1]
        assert (boxes == expected[name][2]).all()
    assert remote.title(0).startswith("s3://mine/")
    for i in range(3):
        assert (remote.image(i) == local.image(i)).all()


def test_what_is_not_in_the_bucket_is_named(bucket):
    with pytest.raises(UsageError, match=r"s3://mine/absent\.json"):
        open_spec("coco:s3://mine/absent.json,s3://mine/images")
