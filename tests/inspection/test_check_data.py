"""The command on real data sets, and on mistakes of its command line."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from oracles.forms import WRITERS, pictured_voc100

EXPERIMENT = "experiments/quickstart.py"


def check(*arguments, cwd=None):
    done = subprocess.run(
        [sys.executable, "-m", "efdet_jax.check_data", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=cwd,
    )
    return done.returncode, done.stdout, done.stderr


class Page(HTMLParser):
    """Collects text, and what a page loads from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.words, self.outside, self.images = [], [], 0
        self.feed(text)

    def handle_data(self, data):
        self.words.append(data)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.images += tag == "img"
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            if value and not value.startswith(("data:", "#")):
                self.outside.append(value)


@pytest.mark.slow
def test_bccd(shared, tmp_path):
    page = tmp_path / "page.html"
    spec = f"voc:{shared / 'data' / 'bccd' / 'BCCD'},train"
    code, out, err = check(f"--data={spec}", f"--out={page}")
    assert code == 0, err
    assert "205 images" in out
    assert "score AP 1.000" in out
    assert "Nothing must be mended." in out
    tiny = next(line for line in out.splitlines() if "at most 1 pixel" in line)
    # The other of the two is in val.
    assert "pixel in height or width, 1 (" in tiny
    assert "BloodImage_00343" in tiny
    shown = Page(page.read_text())
    assert shown.outside == []
    assert shown.images == 12
    assert "Platelets" in " ".join(shown.words)


@pytest.mark.slow
def test_coco128(shared, tmp_path):
    folder = shared / "data" / "coco128"
    spec = f"coco:{folder}/instances_train2017_128.json,{folder}/train2017"
    code, out, err = check(f"--data={spec}", f"--out={tmp_path}/page.html")
    assert code == 0, err
    assert "128 images" in out
    assert "score AP 1.000" in out
    words = Page((tmp_path / "page.html").read_text()).words
    row = words.index("crowd or difficult boxes, 10")
    assert len(re.findall(r"jpg: x .* to .*, y .* to", words[row + 2])) == 10
    row = words.index("images without boxes, 2")
    assert words[row + 2].split("/")[-1] == "000000000508.jpg"


@pytest.mark.slow
@pytest.mark.parametrize("form", list(WRITERS))
def test_voc100_in_every_form(shared, tmp_path, form):
    spec = WRITERS[form](tmp_path / form, *pictured_voc100(shared))
    code, out, err = check(f"--data={spec}", f"--out={tmp_path}/page.html")
    assert code == 0, err
    assert "100 images" in out
    assert "score AP 1.000" in out


def write_two(folder, line):
    import cv2
    import numpy as np

    for split in ("train", "val"):
        images = folder / "images" / split
        images.mkdir(parents=True)
        cv2.imwrite(str(images / "a.png"), np.full((32, 32, 3), 90, np.uint8))
        (images / "a.txt").write_text(line)
    (folder / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [cat]\n"
    )


def test_what_must_be_mended_is_named_and_the_code_is_1(tmp_path):
    write_two(tmp_path, "0 0.5 0.5 0.5 0.5\n0 0.5 0.5 -0.5 0.5")
    specs = [f"--data=yolo:{tmp_path},{split}" for split in ("train", "val")]
    code, out, err = check(
        *specs, f"--config={EXPERIMENT}", f"--out={tmp_path}/page.html"
    )
    assert code == 1, err
    assert "To be mended." in out
    assert "a.txt, line 2" in out
    assert "images in several of these data sets, 1" in out
    assert "a.txt, line 2" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data is missing"),
        (["voc:x,train"], "belongs to no flag"),
        (["--data=nowhere,train"], "no such folder"),
        (["--nonsense=1"], "nonsense"),
        (["--config=absent.py"], "absent.py"),
        (["--data=shapes:train", "--out=/proc/page.html"], "cannot be written"),
        (["--config=experiments/efficientnet_shapes.py"], "detects objects"),
    ],
)
def test_mistakes_are_one_line(arguments, words):
    code, out, err = check(*arguments)
    assert code == 2, (out, err)
    (line,) = err.strip().splitlines()
    assert line.startswith("error: ")
    assert words in line
