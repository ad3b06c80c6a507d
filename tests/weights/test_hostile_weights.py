"""Weight files that were made to do harm: read as data, or refused in a line."""

import gzip
import io
import json
import os
import pickle
import struct
import tarfile

import h5py
import numpy as np
import pytest
from hostile.bounded import fuzzed, in_time
from hostile.weight_samples import samples, tarred
from refusal import refused
from safetensors.numpy import save_file

from efdet_jax.errors import UsageError
from efdet_jax.weights.files import reading, tf_checkpoint
from efdet_jax.weights.opening import LABELS, open_weights

MARKS = {
    "torch": b"\x80\x02",
    "safetensors": b"\x08\0\0\0\0\0\0\0{",
    "tflite": b"\x20\0\0\0TFL3",
    "tar.gz": b"\x1f\x8b",
}


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "weights")
    with in_time():
        assert "no regular file" in refused(tmp_path / "weights")


@pytest.mark.parametrize("mark", MARKS)
def test_a_file_larger_than_memory_is_refused_unread(tmp_path, mark):
    path = tmp_path / "weights"
    path.write_bytes(MARKS[mark])
    os.truncate(path, 2**40)
    with in_time():
        assert "more than 4,294,967,296 bytes" in refused(path)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001", "checkpoint"])
def test_a_pipe_for_a_part_of_a_checkpoint_is_refused(tmp_path, part):
    for name in ("model.index", "model.data-00000-of-00001", "checkpoint"):
        if name.endswith(part):
            os.mkfifo(tmp_path / name)
        else:
            (tmp_path / name).write_bytes(b"")
    with in_time():
        refused(tmp_path)


def test_a_line_of_slashes_is_searched_once(tmp_path):
    (tmp_path / "a.index").touch()
    line = 'model_checkpoint_path: "' + "/" * 10**6
    (tmp_path / "checkpoint").write_text(line)
    with in_time():
        assert tf_checkpoint.prefix_in(tmp_path) == tmp_path / "a"


# Pickles whose values are small and whose texts, products or hashes have no end.

LAUGH = b")" + b"q\x01h\x01\x86" * 60  # a tuple of 2^60 leaves


def stream(*pickles):
    return b"".join(pickles)


def number(value):
    return pickle.dumps(value, 2)


MAGIC = number(0x1950A86A20F9469CFC6C)
LITTLE = number({"little_endian": True})
PICKLES = {
    "protocol": stream(MAGIC, b"\x80\x02" + LAUGH + b"."),
    "magic": b"\x80\x02" + LAUGH + b".",
    "byte order": stream(MAGIC, number(1001), b"\x80\x02" + LAUGH + b"."),
    "state": stream(MAGIC, number(1001), LITTLE, b"\x80\x02" + LAUGH + b"."),
    "keys": stream(MAGIC, number(1001), LITTLE, number({}), b"\x80\x02" + LAUGH + b"."),
    "reference": stream(MAGIC, b"\x80\x02" + LAUGH + b"Q."),
    "name": stream(MAGIC, b"\x80\x02" + LAUGH + LAUGH + b"\x93."),
    "marks": stream(MAGIC, b"\x80\x02" + b"(" * 10**6 + b"."),
    "tuples": stream(MAGIC, b"\x80\x02)" + b"\x85" * 10**6 + b"."),
    "itself": stream(MAGIC, b"\x80\x02]q\0h\0a."),
    "digits": stream(MAGIC, b"\x80\x02I" + b"9" * 10**6 + b"\n."),
    "long": stream(MAGIC, b"\x80\x02L" + b"9" * 10**6 + b"L\n."),
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_without_end_are_refused(tmp_path, name):
    (tmp_path / "a").write_bytes(PICKLES[name])
    with in_time():
        refused(tmp_path / "a")


def test_a_shape_of_many_large_sizes_is_not_multiplied(tmp_path):
    """2^2000 is 250 bytes, and a reference to it two: their product has gigabytes."""
    large = b"\x8a\xfa" + b"\xff" * 249 + b"\x7f" + b"q\x01"
    sizes = b"(" + large + b"h\x01" * 200_000 + b"t"
    storage = (
        b"("
        + number("storage")[2:-1]
        + b"ctorch\nFloatStorage\n"
        + number("0")[2:-1]
        + number("cpu")[2:-1]
        + number(6)[2:-1]
        + b"tQ"
    )
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + number(0)[2:-1]
        + sizes
        + b"q\x02h\x02"
        + b"\x89}tR"
    )
    state = b"\x80\x02}" + number("a")[2:-1] + tensor + b"s."
    raw = struct.pack("<q", 6) + bytes(24)
    content = stream(MAGIC, number(1001), LITTLE, state, number(["0"])) + raw
    (tmp_path / "a").write_bytes(content)
    with in_time():
        assert "no counts" in refused(tmp_path / "a")


@pytest.mark.parametrize(
    "labels", ["[" * 10**5, "7", "{}", '{"ids": 1, "names": 2}', '{"ids": [1], "names"']
)
def test_classes_that_are_none_are_refused(tmp_path, labels):
    path = tmp_path / "a.safetensors"
    ours = ("backbone/stem/kernel", "class_head/predict/pointwise/kernel")
    save_file(dict.fromkeys(ours, np.zeros(3, np.float32)), path, {LABELS: labels})
    with pytest.raises(UsageError, match="no ids and names of classes") as caught:
        open_weights(path)
    assert str(path) in str(caught.value)


def tar_header(name, size, kind):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.USTAR_FORMAT)


def packed(*parts):
    """A .tar.gz of parts that may be zeros without end."""
    file = io.BytesIO()
    with gzip.open(file, "wb", 1) as sink:
        for part in parts:
            sink.write(part)
    return file.getvalue()


HEADERS = {
    "pax": tarfile.XHDTYPE,
    "pax for all": tarfile.XGLTYPE,
    "long name": tarfile.GNUTYPE_LONGNAME,
    "long link": tarfile.GNUTYPE_LONGLINK,
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_unpacks_to_more_than_memory_is_refused(tmp_path, kind):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(
        packed(tar_header("a", 2**32, HEADERS[kind]), *[bytes(2**20)] * 20)
    )
    with in_time():
        assert "headers is too long" in refused(path)


def test_a_list_of_holes_without_end_is_refused(tmp_path):
    """The block that goes on says that one more follows, and is nothing when packed."""
    first = bytearray(tar_header("a", 0, tarfile.GNUTYPE_SPARSE))
    first[482] = 1
    checksum = sum(first[:148]) + 8 * 32 + sum(first[156:512])
    first[148:156] = b"%06o\0 " % checksum
    more = bytearray(512)
    more[504] = 1
    path = tmp_path / "a.tar.gz"
    path.write_bytes(packed(bytes(first), *[bytes(more) * 2048] * 20))
    with in_time():
        assert "headers is too long" in refused(path)


def test_an_archive_of_very_many_members_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    member = tar_header("folder", 0, tarfile.DIRTYPE)
    path.write_bytes(packed(*[member * 1000] * 11))
    with in_time():
        assert "one more than 10000" in refused(path)


def test_no_damage_leaves_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(reading.archives.tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    for name in ("../out", "/out", "a/../../out"):
        (tmp_path / "a.tar.gz").write_bytes(tarred({"d/ok.index": b"", name: b"x"}))
        refused(tmp_path / "a.tar.gz")
        assert {p.name for p in tmp_path.iterdir()} == {"t", "a.tar.gz"}
        assert not list((tmp_path / "t").iterdir())


def test_an_h5_file_in_a_circle_comes_to_an_end(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        layer = file.create_group("layer")
        layer.attrs["weight_names"] = [b"kernel:0"]
        layer["kernel:0"] = np.zeros(3, np.float32)
        layer["up"] = file["/"]
        file["soft"] = h5py.SoftLink("/soft")
        file["deep"] = h5py.SoftLink("/layer/up/layer/up/layer")
    with in_time():
        assert set(reading.read(path).arrays) == {"kernel"}


def test_samples_are_whole(tmp_path):
    for name, content in samples().items():
        (tmp_path / "made").write_bytes(content)
        if name != "tar":
            assert reading.read(tmp_path / "made").arrays


@pytest.mark.slow
def test_damaged_files_are_read_or_refused_within_bounds(tmp_path):
    counted = fuzzed("weights.py", tmp_path, "all", 0, 700)
    read, were_refused = (int(part.split()[0]) for part in counted.split(","))
    assert read > 20
    assert were_refused > 20


@pytest.mark.slow
def test_damaged_checkpoints_of_tensorflow_are_read_or_refused_within_bounds(tmp_path):
    counted = fuzzed("weights.py", tmp_path, "tf", 0, 150)
    assert json.loads(f"[{counted.split()[2]}]")[0] > 20


def test_the_reader_is_the_only_door(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        open_weights(tmp_path / "a\0b")
