import pickle

import cv2
import numpy as np
import pytest

from efdet_jax.data.coco import Coco
from efdet_jax.data.voc import Voc
from efdet_jax.errors import UsageError


def xml(*objects, file_name="a.jpg", size="<width>30</width><height>20</height>"):
    return (
        f"<annotation><filename>{file_name}</filename><size>{size}</size>"
        f"{''.join(objects)}</annotation>"
    )


def thing(name="cat", corners=(1, 2, 3, 4), difficult=""):
    fields = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{key}>{value}</{key}>" for key, value in fields)
    return f"<object><name>{name}</name>{difficult}<bndbox>{box}</bndbox></object>"


@pytest.fixture
def folder(tmp_path):
    """A VOC folder: image "a" in train, "b" in val; write XML to Annotations."""
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    pixels = np.zeros((20, 30, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "JPEGImages" / "a.jpg"), pixels)
    cv2.imwrite(str(tmp_path / "JPEGImages" / "b.png"), pixels)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("b  1\n\n")
    (tmp_path / "Annotations" / "a.xml").write_text(xml(thing("dog")))
    (tmp_path / "Annotations" / "b.xml").write_text(
        xml(thing("cat"), file_name="b.png")
    )
    return tmp_path


def test_bccd_is_read_as_its_readme_counts_it(shared):
    root = shared / "data" / "bccd" / "BCCD"
    sources = {split: Voc.of_split(root, split) for split in ("train", "val", "test")}
    assert [len(source) for source in sources.values()] == [205, 87, 72]
    names = ("Platelets", "RBC", "WBC")
    assert all(s.labels == ((1, 2, 3), names) for s in sources.values())
    found = [s.annotations(i) for s in sources.values() for i in range(len(s))]
    classes = np.concatenate([a.classes for a in found])
    assert np.bincount(classes).tolist() == [361, 4155, 372]
    assert all((a.boxes >= 0).all() and (a.area > 0).all() for a in found)
    assert sources["val"].image(0).shape == (480, 640, 3)


def test_voc_and_coco_files_of_the_same_objects_agree(shared, tmp_path):
    data = shared / "data" / "voc100"
    coco = Coco(data / "annotations_coco" / "instances_default.json", data / "images")
    (tmp_path / "Annotations").symlink_to(data / "annotations_voc")
    (tmp_path / "JPEGImages").symlink_to(data / "images")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    stems = sorted(path.stem for path in (data / "images").glob("*.jpg"))
    (tmp_path / "ImageSets" / "Main" / "all.txt").write_text("\n".join(stems))
    voc = Voc.of_split(tmp_path, "all")
    of_coco = {coco.title(i).rpartition("/")[2]: i for i in range(len(coco))}
    for i, stem in enumerate(stems):
        ours, theirs = voc.annotations(i), coco.annotations(of_coco[f"{stem}.jpg"])
        # That COCO file was exported without turning 1-based corners into 0-based.
        offset = np.array([[1.0, 1.0, 0.0, 0.0]])
        order = np.lexsort(ours.boxes.T)
        their_order = np.lexsort((theirs.boxes - offset).T)
        np.testing.assert_array_equal(
            ours.boxes[order] + offset, theirs.boxes[their_order]
        )
        assert [voc.labels.names[c] for c in ours.classes[order]] == [
            coco.labels.names[c] for c in theirs.classes[their_order]
        ]
        assert (ours.height, ours.width) == (theirs.height, theirs.width)


def test_corners_are_counted_from_one_and_the_last_pixel_belongs(folder):
    objects = [
        thing(corners=(1, 2, 30, 20)),
        thing(corners=(5, 7, 5, 7)),
        thing(corners=(0, 0, 4.5, 4)),
    ]
    (folder / "Annotations" / "a.xml").write_text(xml(*objects))
    found = Voc.of_split(folder, "train").annotations(0)
    assert found.boxes.tolist() == [[1, 0, 20, 30], [6, 4, 7, 5], [0, 0, 4, 4.5]]
    assert found.area.tolist() == [570, 1, 18]
    assert found.image_id == "a"


def test_all_splits_have_the_classes_of_the_whole_folder(folder):
    train, val = (Voc.of_split(folder, split) for split in ("train", "val"))
    assert train.labels == val.labels == ((1, 2), ("cat", "dog"))
    assert train.annotations(0).classes.tolist() == [1]
    assert val.annotations(0).classes.tolist() == [0]


def test_the_name_of_a_part_is_not_a_class(folder):
    part = "<part><name>head</name></part>"
    person = thing("person").replace("</object>", f"{part}</object>")
    (folder / "Annotations" / "a.xml").write_text(xml(person))
    assert Voc.of_split(folder, "train").labels.names == ("cat", "person")


def test_difficult_objects_are_neither_rewarded_nor_punished(folder):
    marks = ["", "<difficult>0</difficult>", "<difficult>1</difficult>"]
    (folder / "Annotations" / "a.xml").write_text(
        xml(*(thing(difficult=mark) for mark in marks))
    )
    found = Voc.of_split(folder, "train").annotations(0)
    assert found.is_crowd.tolist() == [False, False, True]


def test_images_of_any_extension_and_xml_without_size_or_objects(folder):
    (folder / "Annotations" / "b.xml").write_text(xml(size=""))
    source = Voc.of_split(folder, "val")
    found = source.annotations(0)
    assert (found.height, found.width) == (20, 30)
    assert found.boxes.shape == (0, 4)
    assert source.image(0).shape == (20, 30, 3)


def test_the_file_name_counts_where_the_stem_has_no_image(folder):
    (folder / "JPEGImages" / "a.jpg").rename(folder / "JPEGImages" / "other.jpg")
    (folder / "Annotations" / "a.xml").write_text(xml(file_name="other.jpg"))
    assert Voc.of_split(folder, "train").image(0).shape == (20, 30, 3)


def test_a_pickled_source_gives_the_same(folder):
    source = Voc.of_split(folder, "train")
    copy = pickle.loads(pickle.dumps(source))
    for a, b in zip(source.annotations(0), copy.annotations(0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mistakes_are_named(folder):
    with pytest.raises(UsageError, match=r"'test'; those that exist: train, val"):
        Voc.of_split(folder, "test")
    with pytest.raises(UsageError, match="exist: none"):
        Voc.of_split(folder / "nowhere", "test")
    (folder / "Annotations" / "a.xml").write_text(xml(thing(corners="1x34")))
    with pytest.raises(UsageError, match=r"a\.xml, object 1: has no number .* 'x'"):
        Voc.of_split(folder, "val")
    (folder / "Annotations" / "a.xml").write_text("<annotation>")
    with pytest.raises(UsageError, match=r"a\.xml: is no VOC"):
        Voc.of_split(folder, "val")
    (folder / "Annotations" / "a.xml").unlink()
    with pytest.raises(UsageError, match=r"Annotations: has no a\.xml"):
        Voc.of_split(folder, "train")
    (folder / "JPEGImages" / "b.png").unlink()
    with pytest.raises(UsageError, match="has no image 'b'"):
        Voc.of_split(folder, "val")


def test_an_object_that_is_no_box_is_left_out_and_told(folder):
    objects = [thing(corners=(1, 2, 3, 4)), thing(corners=(9, 2, 3, 4)), thing("dog")]
    (folder / "Annotations" / "a.xml").write_text(xml(*objects))
    source = Voc.of_split(folder, "train")
    assert source.annotations(0).classes.tolist() == [0, 1]
    (flaw,) = source.flaws
    assert flaw.place.endswith("a.xml, object 2")
    assert Voc.of_split(folder, "val").flaws == ()


def test_an_object_without_a_box_or_a_name_is_named(folder):
    path = folder / "Annotations" / "a.xml"
    for broken, complaint in (
        ("<object><name>cat</name></object>", "object 2: has no number bndbox/xmin"),
        (thing(""), "object 2: has no name"),
    ):
        path.write_text(xml(thing(), broken))
        with pytest.raises(UsageError, match=complaint):
            Voc.of_split(folder, "train")


def test_xml_files_and_images_may_be_in_one_folder_without_lists(folder):
    for path in (folder / "JPEGImages").iterdir():
        path.rename(folder / "Annotations" / path.name)
    source = Voc(folder / "Annotations", folder / "Annotations")
    assert [source.annotations(i).image_id for i in range(len(source))] == ["a", "b"]
    assert source.image(1).shape == (20, 30, 3)
