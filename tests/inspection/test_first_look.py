import logging

import cv2
import numpy as np
import pytest

from efdet_jax import recipes
from efdet_jax.data.yolo import Yolo
from efdet_jax.inspection.first_look import first_look


@pytest.fixture
def look(tmp_path, caplog):
    """Returns what is logged of two images with these label files."""
    config = recipes.get_small_config(-4.0)

    def look(*labels):
        (tmp_path / "images").mkdir(exist_ok=True)
        for i, text in enumerate(labels):
            image = np.zeros((64, 64, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), image)
            (tmp_path / "images" / f"{i}.txt").write_text(text)
        (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
        with caplog.at_level(logging.INFO, "efdet_jax"):
            source = Yolo(tmp_path, "train")
            first_look(source, config, name="config.data.train=x,train")
        return caplog.messages

    return look


def test_sound_data_are_one_line(look):
    messages = look("0 0.5 0.5 0.5 0.5", "0 0.4 0.4 0.5 0.5")
    assert messages == ["config.data.train=x,train: 2 images, 2 boxes of 1 classes"]


def test_what_is_strange_is_named_with_the_command_that_shows_all(look):
    messages = look("0 0.5 0.5 0.5 0.5\n0 0.5 0.5 -1 0.5", "0 1.6 1.6 0.5 0.5")
    text = "\n".join(messages)
    assert "1 annotations that are none, such as" in text
    assert "0.txt, line 2" in text
    assert "1 boxes outside of their image" in text
    assert "check_data --data=x,train" in text
    assert "score AP" in text


def test_boxes_that_no_anchor_matches_are_said(look):
    messages = look("0 0.5 0.5 0.9 0.04", "0 0.5 0.4 0.9 0.04")
    assert any("anchors overlap only 0% of the boxes" in m for m in messages)
