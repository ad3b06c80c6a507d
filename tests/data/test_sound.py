import logging

import cv2
import numpy as np
import pytest

from efdet_jax.data import pipeline
from efdet_jax.data.sound import Sound, read_sound
from efdet_jax.data.yolo import Yolo
from efdet_jax.errors import UsageError

SETTINGS = {
    "image_size": (32, 32),
    "resize": "letterbox",
    "pad_colour": (0.0, 0.0, 0.0),
    "max_boxes": 3,
    "num_workers": 0,
    "shard": (0, 1),
    "patience": 60.0,
}


@pytest.fixture
def folder(tmp_path):
    """Six images, the grey level of each 40 times its number."""
    (tmp_path / "images").mkdir()
    for i in range(6):
        image = np.full((16, 16, 3), 40 * i, np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), image)
        (tmp_path / "images" / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    return tmp_path


def spoil(folder, i):
    path = folder / "images" / f"{i}.png"
    path.write_bytes(path.read_bytes()[:60])


def grey(found):
    return int(found.image[0, 0, 0]) // 40


def test_the_next_image_stands_in_for_a_broken_one_and_it_is_told_once(folder, caplog):
    spoil(folder, 2)
    spoil(folder, 3)
    spoil(folder, 5)
    sound = Sound(Yolo(folder, "train"), max_broken=0.5)
    with caplog.at_level(logging.WARNING, "efdet_jax"):
        assert [grey(sound.next_sound(i)) for i in range(6)] == [0, 1, 4, 4, 4, 0]
        assert [grey(sound.next_sound(i)) for i in range(6)] == [0, 1, 4, 4, 4, 0]
    assert len(caplog.messages) == 3
    assert "2.png" in caplog.messages[0]


def test_more_than_a_share_is_too_much(folder):
    for i in range(6):
        spoil(folder, i)
    with pytest.raises(UsageError, match=r"2 of 6 images .*max_broken=0.2; .*png"):
        Sound(Yolo(folder, "train"), max_broken=0.2).next_sound(0)
    # Nor does it go round for ever where that share is 1.
    sound = Sound(Yolo(folder, "train"), max_broken=1.0)
    with pytest.raises(UsageError, match="all 6 images"):
        sound.next_sound(0)


def test_an_image_of_another_size_than_stated_is_broken(folder):
    source = Yolo(folder, "train")
    assert read_sound(source, 0).image.shape == (16, 16, 3)
    source.annotations(1)  # Now it knows the size.
    turned = np.zeros((16, 20, 3), np.uint8)
    cv2.imwrite(str(folder / "images" / "1.png"), turned)
    with pytest.raises(UsageError, match=r"1\.png: is 16 x 20 .* says 16 x 16"):
        read_sound(source, 1)


@pytest.mark.parametrize("num_threads", [0, 4])
def test_training_sees_the_same_batches_whatever_the_threads(folder, num_threads):
    spoil(folder, 1)
    batches = pipeline.train_batches(
        Yolo(folder, "train"),
        **SETTINGS,
        batch_size=3,
        flip=False,
        jitter=(1.0, 1.0),
        min_visible=0.0,
        augment={
            "crop": 0.0,
            "crop_side": (0.5, 1.0),
            "colour": {},
            "mosaic": 0.0,
            "mixup": 0.0,
            "mixup_beta": 32.0,
        },
        max_broken=0.2,
        seed=0,
        num_threads=num_threads,
    )
    epoch = [next(batches), next(batches)]
    seen = sorted(int(image[0, 0, 0]) // 40 for b in epoch for image in b.image)
    assert seen == [0, 2, 2, 3, 4, 5]
    assert all((batch.classes[:, 0] == 0).all() for batch in epoch)


def test_evaluation_finds_nothing_in_a_broken_image(folder, caplog):
    source = Yolo(folder, "train")
    for i in range(6):
        source.annotations(i)
    spoil(folder, 4)
    with caplog.at_level(logging.WARNING, "efdet_jax"):
        (batch,) = pipeline.eval_batches(
            source, **SETTINGS, batch_size=6, num_threads=0
        )
    assert batch.image_index.tolist() == [0, 1, 2, 3, 4, 5]
    assert not batch.image[4].any()
    assert batch.image[5].any()
    assert "scored as an image in which nothing is found" in caplog.text
