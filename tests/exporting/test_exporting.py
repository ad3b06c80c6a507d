import numpy as np
import pytest
import tiny_detector

from efdet_jax.errors import UsageError
from efdet_jax.exporting import formats as formats_lib
from efdet_jax.exporting.exporting import table
from efdet_jax.exporting.formats import FORMATS, chosen
from efdet_jax.pages.tables import markdown


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_finds_what_the_model_finds(name, exported):
    row = exported(name)
    assert row.difference.num_compared > 10
    assert row.is_right
    assert row.path.exists()
    assert row.num_bytes > 10_000
    assert "same" in markdown(table([row]))


@pytest.mark.slow
def test_a_file_that_finds_something_else_is_removed(exported):
    row = exported("stablehlo", model_seed=1)
    assert not row.is_right
    assert not row.path.exists()
    assert "differs: removed" in markdown(table([row]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stablehlo", "onnx", "saved_model"])
def test_any_number_of_images_may_be_given_at_once(name, exported):
    detect = FORMATS[name].load(exported(name).path)
    images = tiny_detector.images(3)
    together = detect(images)
    for i, image in enumerate(images):
        for part, whole in zip(detect(image[None]), together, strict=True):
            np.testing.assert_allclose(part[0], whole[i], atol=1e-3)


def test_an_unknown_format_is_refused():
    with pytest.raises(UsageError, match=r"--formats=onnx,pdf names pdf: choose from"):
        chosen(["onnx", "pdf"])


def test_no_format_is_refused():
    with pytest.raises(UsageError, match=r"--formats= names none"):
        chosen([])


def test_a_format_without_its_package_is_refused(monkeypatch):
    monkeypatch.setattr(
        formats_lib.importlib.util,
        "find_spec",
        lambda name: None if name == "jax2onnx" else name,
    )
    with pytest.raises(UsageError, match=r"--formats=onnx needs jax2onnx: pip install"):
        chosen(["onnx"])
