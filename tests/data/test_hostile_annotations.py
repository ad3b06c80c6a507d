"""Annotation files that were made to do harm: mended, or refused in one line."""

import json
import os
import subprocess

import cv2
import numpy as np
import pytest
from hostile.bounded import in_time

from efdet_jax.check_data import main as check_data
from efdet_jax.data.coco import Coco
from efdet_jax.data.datasets import open_source
from efdet_jax.data.sound import read_sound
from efdet_jax.data.voc import Voc
from efdet_jax.data.yolo import Yolo
from efdet_jax.errors import UsageError

PNG = cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
SECRET = "the secret"
LONG = "a" * 10**6
HUGE = "9" * 4000


@pytest.fixture
def folder(tmp_path):
    """A data set of every kind with one image, and a secret beside it."""
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "secret.png").write_bytes(PNG)
    root = tmp_path / "set"
    for part in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / part).mkdir(parents=True)
    (root / "a.png").write_bytes(PNG)
    (root / "JPEGImages" / "a.png").write_bytes(PNG)
    (root / "ImageSets" / "Main" / "all.txt").write_text("a")
    return root


def said_of(open_):
    """Uses a data set as training does; returns what is said of it, if anything."""
    try:
        with in_time(20):
            source = open_()
            for i in range(len(source)):
                read_sound(source, i)
                source.title(i)
            said = "\n".join(map(str, source.flaws))
    except UsageError as error:
        said = str(error)
        assert said.isprintable()
        assert len(said) < 2000
    assert all(line.isprintable() and len(line) < 2000 for line in said.splitlines())
    assert SECRET not in said
    return said


def coco(annotation=(), image=(), category=(), **more):
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.png", **dict(image)}],
            "annotations": [
                {
                    "id": 1,
                    "image_id": 1,
                    "category_id": 1,
                    "bbox": [1, 2, 3, 4],
                    **dict(annotation),
                }
            ],
            "categories": [{"id": 1, "name": "cat", **dict(category)}],
            **more,
        }
    )


def nested(depth):
    return "[" * depth + "]" * depth


JSONS = {
    "brackets": "[" * 10**6,
    "deep in a box": coco({"bbox": "@"}).replace('"@"', nested(900)),
    "deep in a name": coco(category={"name": "@"}).replace('"@"', nested(900)),
    "deep in an id": coco({"id": "@"}).replace('"@"', nested(900)),
    "deep in a file": coco(image={"file_name": "@"}).replace('"@"', nested(900)),
    "deep in a side": coco(image={"height": "@"}).replace('"@"', nested(900)),
    "a number of digits": coco({"id": "@"}).replace('"@"', "9" * 10**6),
    "a box of digits": coco({"bbox": ["@", 0, 1, 1]}).replace('"@"', HUGE),
    "an id of digits": coco({"category_id": "@"}).replace('"@"', HUGE),
    "1e308": coco({"bbox": [0, 0, 1e308, 1e308]}),
    "1e999": coco({"bbox": ["@", 0, 1, 1]}).replace('"@"', "1e999"),
    "nan": coco({"bbox": [float("nan"), 0, 1, 1]}),
    "nan sides": coco(image={"height": float("nan"), "width": float("inf")}),
    "a million square": coco(image={"height": 10**6, "width": 10**6}),
    "nan ids": coco({"image_id": float("nan")}, {"id": float("nan")}),
    "key twice": coco().replace('"images"', '"images": 7, "images"', 1),
    "name that is a list": coco(category={"name": ["a", "b"]}),
    "half a character": coco(category={"name": "\ud800"}),
    "half a file name": coco(image={"file_name": "\ud800.png"}),
    "name that clears": coco(category={"name": "\x1b[2J\n\r"}),
    "file that clears": coco(image={"file_name": "\x1b[2J\n.png"}),
    "long name": coco(category={"name": LONG}),
    "long file name": coco(image={"file_name": LONG}),
    "long id": coco(image={"id": LONG}),
    "long box": coco({"bbox": [LONG, LONG, LONG, LONG]}),
    "up": coco(image={"file_name": "../secret.txt"}),
    "absolute": coco(image={"file_name": "/etc/passwd"}),
    "windows": coco(image={"file_name": "C:\\a.png"}),
    "windows up": coco(image={"file_name": "..\\secret.txt"}),
    "zero": coco(image={"file_name": "a.png\0../../secret"}),
    "itself": coco(image={"file_name": "."}),
    "pipe": coco(image={"file_name": "pipe"}),
    "loop": coco(image={"file_name": "loop"}),
    "utf-16": coco().encode("utf-16").decode("latin-1"),
    "no text": "\x80\xff",
}
READ = {"key twice", "name that clears", "long name", "nan sides", "utf-16"}
READ |= {"deep in an id", "deep in a side"}  # which nobody needs
"""What can be read rightly, all the same."""


@pytest.mark.parametrize("name", JSONS)
def test_coco(folder, name):
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "boxes.json").write_bytes(JSONS[name].encode("latin-1", "replace"))
    said = said_of(lambda: Coco(folder / "boxes.json", folder))
    assert (said == "") is (name in READ), said


@pytest.mark.parametrize("name", JSONS)
def test_a_folder_of_coco_is_recognised_or_refused(folder, name):
    (folder / "train").mkdir()
    (folder / "train" / "_annotations.coco.json").write_bytes(
        JSONS[name].encode("latin-1", "replace")
    )
    for path in ("Annotations", "ImageSets"):
        (folder / path).rename(folder / f"not {path}")
    said_of(lambda: open_source(f"{folder},train", image_size=(64, 64), shapes={}))


def xml(inner="", before=""):
    return f"<?xml version='1.0'?>{before}<annotation>{inner}</annotation>"


def thing(name="cat", x="1"):
    corners = f"<xmin>{x}</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


LAUGHS = "".join(
    f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha" * 50}">' for i in range(12)
)
ATTRIBUTES = " ".join(f"a{i}='b'" for i in range(10**5))
XMLS = {
    "a billion laughs": xml(thing("&l11;"), f"<!DOCTYPE a [{LAUGHS}]>"),
    "one long entity, often": xml(
        thing("&e;" * 10**5), f'<!DOCTYPE a [<!ENTITY e "{LONG}">]>'
    ),
    "another file": xml(
        thing("&e;"), '<!DOCTYPE a [<!ENTITY e SYSTEM "../../secret.txt">]>'
    ),
    "another file's URL": xml(
        thing("&e;"), '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    ),
    "a document type elsewhere": xml(
        thing("&e;"), '<!DOCTYPE a SYSTEM "http://localhost:1/a.dtd">'
    ),
    "a parameter elsewhere": xml(
        thing(), '<!DOCTYPE a [<!ENTITY % e SYSTEM "../../secret.txt"> %e;]>'
    ),
    "an entity of itself": xml(
        thing("&e;"), '<!DOCTYPE a [<!ENTITY e "&f;"><!ENTITY f "&e;">]>'
    ),
    "elements in elements": "<a>" * 10**5 + "</a>" * 10**5,
    "elements without end": "<a>" * 10**6,
    "many attributes": f"<annotation {ATTRIBUTES}/>",
    "a number of digits": xml(thing(x="9" * 10**6)),
    "a long word for a number": xml(thing(x=LONG)),
    "a word of two lines for a number": xml(thing(x="a&#10;b")),
    "1e308": xml(thing(x="-1e308")),
    "1e999": xml(thing(x="1e999")),
    "nan": xml(thing(x="nan")),
    "a long name": xml(thing(LONG)),
    "an encoding of nobody": "<?xml version='1.0' encoding='nobody'?><a/>",
    "an encoding that runs": "<?xml version='1.0' encoding='unicode_escape'?><a/>",
    "up": xml("<filename>../../secret.txt</filename>" + thing()),
    "zero": "<annotation>\0</annotation>",
    "no text": "\x80",
    "half a character": xml(thing("&#xD800;")),
    "utf-16 laughs": "utf-16",
}


@pytest.mark.parametrize("name", XMLS)
def test_voc(folder, name):
    text = XMLS[name]
    content = text.encode("latin-1")
    if text == "utf-16":
        content = XMLS["a billion laughs"].encode("utf-16")
    (folder / "Annotations" / "a.xml").write_bytes(content)
    said = said_of(lambda: Voc.of_split(folder, "all"))
    harmless = {"a long name", "up", "elements in elements", "many attributes"}
    harmless |= {"a parameter elsewhere", "an encoding that runs"}  # not looked at
    assert (said == "") is (name in harmless), said[:300]


@pytest.mark.parametrize(
    "listed", ["../../secret", "/etc/passwd", "a\0b", LONG, "a\n" * 10, "\ud800"]
)
def test_a_list_of_voc_leads_nowhere_else(folder, listed):
    (folder / "Annotations" / "a.xml").write_text(xml(thing()))
    (folder / "ImageSets" / "Main" / "all.txt").write_bytes(
        listed.encode("utf-8", "surrogatepass")
    )
    said_of(lambda: Voc.of_split(folder, "all"))


def bomb(levels):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels)]
    return "\n".join(lines)


def merges(levels):
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, levels)]
    return "\n".join(lines)


USUAL = "train: JPEGImages\nnames: [cat]\n"
YAMLS = {
    "a call": f"{USUAL}x: !!python/object/apply:os.system ['touch ran']",
    "a call for a name": "train: JPEGImages\n"
    "names: [!!python/object/apply:os.system ['touch ran']]",
    "an object": f"{USUAL}x: !!python/object:os.path {{}}",
    "a module": f"{USUAL}x: !!python/module:this",
    "a tag of nobody": f"{USUAL}x: !nobody {{}}",
    "aliases for names": f"train: JPEGImages\n{bomb(40)}\nnames: *a39",
    "aliases for a folder": f"names: [cat]\n{bomb(40)}\ntrain: *a39",
    "aliases for a count": f"{USUAL}{bomb(40)}\nnc: *a39",
    "aliases for the root": f"{USUAL}{bomb(40)}\npath: *a39",
    "merges of merges": f"{USUAL}{merges(40)}",
    "a list of itself": f"{USUAL}x: &x [*x]",
    "brackets": "[" * 10**6,
    "braces": "{" * 10**6,
    "dashes": "- " * 10**6,
    "question marks": "? " * 10**5,
    "quotes": "'" * 10**6,
    "colons": ":" * 10**6,
    "a number of hexadecimal digits": f"train: JPEGImages\nnames: [0x{'f' * 5000}]",
    "a number of digits": f"train: JPEGImages\nnames: [{'9' * 10**5}]",
    "sixties": f"train: JPEGImages\nnames: [1{':59' * 10**5}]",
    "a date that is none": "train: JPEGImages\nnames: [2001-99-99]",
    "a long line": f"{USUAL}x: {LONG}",
    "too long": f"{USUAL}x: {LONG * 3}",
    "a long split": f"names: [cat]\ntrain: {LONG}",
    "half a character": 'train: JPEGImages\nnames: ["\\ud800"]',
    "half a folder": 'train: "\\ud800"\nnames: [cat]',
    "keys that are lists": "train: JPEGImages\nnames: {[a, b]: cat}",
    "up": "train: ../../secret.txt\nnames: [cat]",
    "absolute": "train: /etc\nnames: [cat]",
    "root above": "path: ../..\ntrain: secret.txt\nnames: [cat]",
    "zero": 'train: "a\\0b"\nnames: [cat]',
    "loop": "train: loop\nnames: [cat]",
    "pipe": "train: pipe.txt\nnames: [cat]",
    "no text": "\x80",
}


@pytest.mark.parametrize("name", YAMLS)
def test_yolo(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    os.mkfifo(folder / "pipe.txt")
    (folder / "loop").symlink_to("loop")
    (folder / "data.yaml").write_bytes(YAMLS[name].encode("latin-1"))
    said = said_of(lambda: Yolo(folder, "train"))
    assert not (folder / "ran").exists()
    # Tags mean nothing, and what stands beside the few keys is not looked at.
    harmless = {"a module", "a tag of nobody", "a call", "an object", "a long line"}
    harmless |= {"a number of hexadecimal digits", "sixties", "a number of digits"}
    harmless |= {"a date that is none"}
    assert (said == "") is (name in harmless), said[:300]


@pytest.mark.parametrize(
    "lines",
    [
        LONG,
        "0 " + "9" * 10**6 + " 0 0 0",
        "0 " + "0.5 " * 1000,
        "1e308 0 0 0 0",
        "0 1e308 -1e308 nan inf",
        "0 \x1b[2J 0 0 0",
        "\0",
        "0 0.5 0.5 0.1 0.1\n" * 500,
    ],
)
def test_labels_of_yolo(folder, lines):
    (folder / "data.yaml").write_text(USUAL)
    (folder / "JPEGImages" / "a.txt").write_text(lines)
    said_of(lambda: Yolo(folder, "train"))


def test_folders_in_folders_are_read_however_deep_they_are(folder):
    place = folder / "JPEGImages"
    for _ in range(1050):
        place = place / "d"
        os.mkdir(place)
    (folder / "data.yaml").write_text(USUAL)
    try:
        assert said_of(lambda: Yolo(folder, "train")) == ""
    finally:
        # Python's own way to remove them would go too deep, and so would pytest's.
        subprocess.run(["rm", "-r", str(folder / "JPEGImages" / "d")], check=True)


def test_a_link_in_a_circle_is_walked_once(folder):
    (folder / "JPEGImages" / "again").symlink_to(folder)
    (folder / "data.yaml").write_text(USUAL)
    with in_time():
        assert len(Yolo(folder, "train")) == 2


def test_a_whole_check_of_odd_data_ends_with_an_exit_code(folder, tmp_path, capsys):
    """Names that clear terminals, are formulas, are HTML; boxes beyond all numbers."""
    odd = ["$\\frac{$", "<script>alert(1)</script>", "\x1b[2J", LONG[:5000], "\0"]
    document = json.loads(coco())
    document["categories"] = [
        {"id": i, "name": name} for i, name in enumerate(odd, start=1)
    ]
    boxes = [[1, 2, 3, 4], [0, 0, 1e308, 1e308], [-1e300, 1, 1e300, 5], [2, 2, 0, 0]]
    document["annotations"] = [
        {"id": f"{i}\x1b", "image_id": 1, "category_id": i % 5 + 1, "bbox": box}
        for i, box in enumerate([*boxes, *boxes, [0, "x", 1, 1]])
    ]
    (folder / "boxes.json").write_text(json.dumps(document))
    out = tmp_path / "page.html"
    spec = f"--data=coco:{folder / 'boxes.json'},{folder}"
    assert check_data(["check_data", spec, f"--out={out}"]) in (0, 1, 2)
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "Traceback" not in printed.err
    assert "<script>" not in out.read_text()
