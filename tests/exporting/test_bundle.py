import json
import os
import zipfile

import jax
import numpy as np
import pytest
import tiny_detector
from jax import export
from jax import numpy as jnp

from efdet_jax.errors import UsageError
from efdet_jax.exporting import stablehlo
from efdet_jax.exporting.bundle import FUNCTION, METADATA, read_bundle
from efdet_jax.exporting.metadata import metadata
from efdet_jax.exporting.program import Program
from efdet_jax.structures import Detections


def one_box(images):
    """A detector whose box is as high as the image is bright."""
    b = images.shape[0]
    height = jnp.mean(images.astype(jnp.float32), axis=(1, 2, 3))
    boxes = jnp.zeros((b, 1, 4)).at[:, 0, 2].set(height)
    return Detections(boxes, jnp.ones((b, 1)), jnp.zeros((b, 1), jnp.int32))


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "model.efdet.zip"
    config = tiny_detector.config()
    config.image_size = (4, 6)
    about = metadata(config, tiny_detector.LABELS)
    stablehlo.write(Program((4, 6), one_box), path, about)
    return path


def refusal(path):
    with pytest.raises(UsageError) as caught:
        read_bundle(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def rewrite(path, **members):
    """Replaces members of a zip file; None removes one."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents |= {
        {"function": FUNCTION, "about": METADATA}[k]: v for k, v in members.items()
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if content is not None:
                archive.writestr(name, content)


def test_a_bundle_detects_in_any_number_of_images_and_knows_its_classes(bundle):
    read = read_bundle(bundle)
    for count in (1, 3):
        images = np.full((count, 4, 6, 3), 7, np.uint8)
        found = read.detect(images)
        np.testing.assert_array_equal(found["boxes"], [[[0, 0, 7, 0]]] * count)
    assert read.metadata["labels"] == {"ids": [4, 2], "names": ["owl", "fox"]}
    assert read.metadata["image_size"] == [4, 6]
    assert read.metadata["placement"]["resize"] == "letterbox"


def test_a_bundle_is_for_every_platform(bundle):
    with zipfile.ZipFile(bundle) as archive:
        exported = export.deserialize(bytearray(archive.read(FUNCTION)))
    assert set(exported.platforms) == {"cpu", "cuda", "rocm", "tpu"}


def test_metadata_of_another_program_are_refused(bundle):
    about = metadata(tiny_detector.config(), tiny_detector.LABELS)
    rewrite(bundle, about=json.dumps(about))
    assert "takes other images than its metadata say" in refusal(bundle)


def test_little_that_would_become_much_is_refused(bundle):
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA, b" " * (17 << 20))
    assert bundle.stat().st_size < 1 << 20
    assert "claims 17,825,792 bytes" in refusal(bundle)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe")


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.zip")


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04" + bytes(60)])
def test_what_is_no_zip_file_is_refused(tmp_path, content):
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    assert "is no StableHLO bundle" in refusal(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_bundle_is_refused(bundle, share):
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(len(content) * share)])
    assert "export it again" in refusal(bundle)


def test_a_bundle_with_a_flipped_bit_is_refused(bundle):
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 4
    bundle.write_bytes(content)
    assert "export it again" in refusal(bundle)


def test_another_zip_file_is_refused(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    assert "metadata.json" in refusal(path)


@pytest.mark.parametrize(
    "about", [b"{", b"[1]", b"7", b"\xff", json.dumps({"kind": "x", "version": 1})]
)
def test_other_metadata_are_refused(bundle, about):
    rewrite(bundle, about=about)
    assert "export it again" in refusal(bundle)


@pytest.mark.parametrize("function", [b"", b"garbage", bytes(1000), None])
def test_a_function_that_is_none_is_refused(bundle, function):
    rewrite(bundle, function=function)
    assert "export it again" in refusal(bundle)


def test_a_program_that_calls_what_is_not_in_the_file_is_refused(bundle):
    def calls(images):
        shape = jax.ShapeDtypeStruct(images.shape, images.dtype)
        return jax.ffi.ffi_call("run_a_shell", shape)(images)

    images = jax.ShapeDtypeStruct((1, 4, 6, 3), jnp.uint8)
    exported = export.export(
        jax.jit(calls),
        platforms=["cpu"],
        disabled_checks=[export.DisabledSafetyCheck.custom_call("run_a_shell")],
    )(images)
    rewrite(bundle, function=bytes(exported.serialize()))
    assert "calls run_a_shell" in refusal(bundle)
