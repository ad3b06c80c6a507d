"""The README's commands for data of one's own, on data as somebody would bring it."""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest
from tiny_batches import shapes

ROOT = pathlib.Path(__file__).parents[1]
SHORT = (
    "--config.steps=4 --config.eval.every=4 --config.checkpoint.every=4 "
    "--config.batch_size=4"
)


def commands():
    text = (ROOT / "README.md").read_text()
    section = text.split("## Your own data in 10 minutes")[1]
    return re.findall(r"^    python (-m .*)$", section.split("\n## ")[0], re.MULTILINE)


def write_yolo(folder):
    """A YOLO folder with the drawn shapes, as its users have them."""
    for split in ("train", "val"):
        source = shapes(split=split, num_images=6, min_objects=1)
        images, labels = (folder / part / split for part in ("images", "labels"))
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for i in range(len(source)):
            known = source.annotations(i)
            size = np.array([known.width, known.height] * 2)
            y0, x0, y1, x1 = known.boxes.T
            rows = np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1) / size
            lines = [
                f"{class_} {' '.join(map(str, row))}\n"
                for class_, row in zip(known.classes, rows.tolist(), strict=True)
            ]
            (labels / f"{i}.txt").write_text("".join(lines))
            cv2.imwrite(str(images / f"{i}.png"), source.image(i)[..., ::-1])
    names = list(source.labels.names)
    (folder / "data.yaml").write_text(
        f"train: images/train\nval: images/val\nnames: {json.dumps(names)}\n"
    )


@pytest.mark.slow
def test_the_readme_takes_a_folder_to_detections(tmp_path):
    write_yolo(tmp_path / "boxes of mine")
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    check, *mains = commands()
    assert len(mains) == 2
    assert "check_data" in check
    printed = []
    for command in (check, *(f"{main} {SHORT}" for main in mains)):
        words = [w.replace("DATA", "boxes of mine") for w in shlex.split(command)]
        ran = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        printed.append((ran.stdout, ran.stderr))
    assert "6 images" in printed[0][0]
    assert "score AP 1.000" in printed[0][0]
    assert (tmp_path / "check_data.html").stat().st_size > 10_000
    assert "read as YOLO, 6 images" in printed[1][1]
    # The same weights, scored twice.
    assert printed[1][0].splitlines()[0] == printed[2][0].splitlines()[0]
    workdir = tmp_path / "runs" / "own_data"
    detections = json.loads((workdir / "detections.json").read_text())
    assert {row["image_id"] for row in detections} <= {
        f"images/val/{i}.png" for i in range(6)
    }
