import json

import ml_dtypes
import numpy as np
import pytest
from refusal import refused
from safetensors.numpy import save_file

from efdet_jax.weights.files import reading as files

COUNTED = np.arange(6).reshape(2, 3)
TYPES = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
TYPES += ["bool", "float16", "float32", "float64"]


def test_safetensors_of_every_type_and_their_metadata(tmp_path):
    arrays = {name: COUNTED.astype(name) for name in TYPES}
    arrays["empty"] = np.zeros((0, 2), np.float32)
    arrays["number"] = np.array(3.0)
    metadata = {"format": "efdet_jax", "note": "ünï"}
    save_file(arrays, tmp_path / "a.pth", metadata)
    stored = files.read(tmp_path / "a.pth")
    assert stored.container == "safetensors"
    assert stored.metadata == metadata
    assert set(stored.arrays) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(stored.arrays[name], array)
        assert stored.arrays[name].dtype == array.dtype
        assert stored.arrays[name].shape == array.shape


def write_safetensors(path, header, content=b""):
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content)
    return path


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("BF16", ml_dtypes.bfloat16),
        ("F8_E4M3", ml_dtypes.float8_e4m3fn),
        ("F8_E5M2", ml_dtypes.float8_e5m2),
    ],
)
def test_small_floats_become_float32(tmp_path, name, dtype):
    array = np.array([0, 1, -1.5, 0.25], dtype)
    entry = {"dtype": name, "shape": [4], "data_offsets": [0, array.nbytes]}
    path = write_safetensors(tmp_path / "a", {"a": entry}, array.tobytes())
    found = files.read(path).arrays["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [0, 1, -1.5, 0.25])


def test_a_type_that_numpy_cannot_widen_is_refused_by_name(tmp_path):
    entry = {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}
    path = write_safetensors(tmp_path / "a", {"head.bias": entry}, bytes(4))
    assert "'head.bias' has the type F8_E8M0" in refused(path)


@pytest.mark.parametrize("length", [0x8B1F, 0x80, 0x0280, 0x04034B50 % 2**16])
def test_a_header_as_long_as_another_mark_is_still_safetensors(tmp_path, length):
    text = {"__metadata__": {"pad": ""}}
    text["__metadata__"]["pad"] = " " * (length - len(json.dumps(text)))
    path = write_safetensors(tmp_path / "a", text)
    assert path.read_bytes()[:2] == length.to_bytes(2, "little")
    assert files.read(path).metadata == text["__metadata__"]


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**40]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32"},
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path, entry):
    refused(write_safetensors(tmp_path / "a", {"a": entry}, bytes(4)))


def test_safetensors_cut_anywhere_are_refused(tmp_path):
    path = tmp_path / "a"
    save_file({"a": COUNTED, "b": COUNTED}, path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG picture"),
        (b"\n <!DOCTYPE html><html>", "a page of HTML"),
        (b'<?xml version="1.0"?><Error>', "a page of HTML or XML"),
        (b"version https://git-lfs.example/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b'{"model": "d0"}', "is no weight file that is known"),
        (b"\0" * 1000, "is no weight file that is known"),
        (b"PK\x03\x04", "looks like a PyTorch zip"),
        (b"\x80", "looks like a PyTorch file"),
        (b"\x89HDF\r\n\x1a\n", "looks like HDF5"),
        (b"\x1f\x8b", "looks like a .tar.gz"),
        (b"\0" * 257 + b"ustar", "looks like a .tar"),
    ],
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.h5", "weights.safetensors"])
def test_what_is_no_weight_file_is_refused_whatever_it_is_called(
    tmp_path, name, content, message
):
    path = tmp_path / name
    path.write_bytes(content)
    assert message in refused(path)


def test_a_damaged_tflite_file_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\x20\0\0\0TFL3" + bytes(40))
    refused(path)


def test_a_missing_file_is_refused(tmp_path):
    assert "cannot be read (No such file" in refused(tmp_path / "absent.pth")
