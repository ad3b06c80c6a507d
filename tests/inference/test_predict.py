"""The command: what it leaves, what it says, and what it makes of bad input."""

import json
import re

import cv2
import numpy as np
import pytest
import tiny_run
from test_media import write_video

from efdet_jax import caches, predict

SIZES = {"wide.jpg": (400, 600), "tall.png": (500, 390), "small.png": (40, 60)}


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    """Leaves JAX's cache as it is for tests that come later."""
    monkeypatch.setattr(caches, "keep_compiled_programs", lambda: None)


def draw(path, size=(40, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(60, 200, (*size, 3), np.uint8)
    cv2.imwrite(str(path), cv2.blur(pixels, (9, 9)))


def run(*words):
    return predict.main(["predict", *map(str, words)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("predict") / "run"
    tiny_run.make_run(workdir)
    return workdir


@pytest.fixture
def photos(tmp_path):
    for name, size in SIZES.items():
        draw(tmp_path / "photos" / name, size)
    return tmp_path / "photos"


@pytest.mark.slow
def test_files_of_every_kind_are_annotated_and_bad_ones_left_out(
    trained, photos, tmp_path, capsys
):
    draw(tmp_path / "other" / "small.png")
    (photos / "broken.jpg").write_bytes(b"no photo")
    write_video(photos / "clip.avi", size=(400, 420))
    (photos / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    code = run(
        *(f"--from={trained}", f"--out={out}", "--batch_size=2", "--max_detections=4"),
        *(photos, photos / "wide.jpg", tmp_path / "other/*.png", tmp_path / "none.jpg"),
    )
    stdout, stderr = capsys.readouterr()
    assert code == 2
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    for name in ("broken.jpg", "broken.mp4", "none.jpg"):
        assert sum(f"/{name}" in line for line in errors) == 1

    images = {name: cv2.imread(str(out / name)) for name in (*SIZES, "small-2.png")}
    assert {name: image.shape[:2] for name, image in images.items()} == {
        **SIZES,
        "small.png": (400, 600),
        "small-2.png": (400, 600),
    }
    before = cv2.imread(str(photos / "tall.png"))
    assert 0.01 < (images["tall.png"] != before).any(-1).mean() < 0.99
    capture = cv2.VideoCapture(str(out / "clip.avi.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3

    rows = json.loads((out / "detections.json").read_text())
    frames = [f"clip.avi#{frame}" for frame in range(3)]
    assert {row["image_id"] for row in rows} == {*images, *frames}
    assert len(rows) == 4 * (len(images) + len(frames))
    assert {row["category_id"] for row in rows} <= set(tiny_run.LABELS.ids)
    for row in rows:
        height, width = SIZES.get(row["image_id"], (400, 420))
        x, y, w, h = row["bbox"]
        assert 0 <= x <= x + w <= width + 0.01
        assert 0 <= y <= y + h <= height + 0.01
        assert row["score"] > 0.3

    table = [re.split(r" {2,}", line) for line in stdout.splitlines()]
    assert table[0] == ["file", "images", "found", "best"]
    assert ["clip.avi", "3", "12"] in [row[:3] for row in table]
    assert ["wide.jpg", "1", "4"] in [row[:3] for row in table]
    assert "7 images in" in stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["PHOTOS"], "--from is missing"),
        (["--from=RUN"], "no photo is named"),
        (["--from=RUN", "--score_threshold=1.5", "PHOTOS"], "score_threshold"),
        (["--from=RUN", "--method=greedy", "PHOTOS"], "method"),
        (["--from=RUN", "--batch_size=0", "PHOTOS"], "batch_size"),
        (["--from=RUN", "EMPTY"], "folder without photos"),
        (["--from=RUN", "EMPTY/*.jpg"], "matches no photo"),
        (["--from=RUN", "EMPTY/a.jpg"], "does not exist"),
        (["--from=RUN", "--out=PHOTOS", "PHOTOS"], "would be replaced"),
        (["--from=EMPTY/a.pth", "PHOTOS"], "cannot be read"),
        (["--from=RUN", "--labels=EMPTY/names.txt", "PHOTOS"], "--labels"),
        (["--from=RUN", "--config=EMPTY/a.py", "PHOTOS"], "--config"),
    ],
)
def test_bad_input_is_one_line(trained, photos, tmp_path, capsys, words, message):
    before = {path: path.read_bytes() for path in photos.iterdir()}
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"RUN": trained, "PHOTOS": photos, "EMPTY": empty}
    for name, place in places.items():
        words = [word.replace(name, str(place)) for word in words]
    assert run(f"--out={tmp_path / 'out'}", *words) == 2
    stdout, stderr = capsys.readouterr()
    (line,) = stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert stdout == ""
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


def test_help_says_what_it_does(capsys):
    assert run("--help") == 0
    assert "--from" in capsys.readouterr().out
