import os

import h5py
import numpy as np
import pytest
from refusal import refused

from efdet_jax.weights.files import reading as files

KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4)


def add_layer(group, name, variables):
    """As Keras does: the variables' own names below the layer, and once more listed."""
    layer = group.create_group(name)
    layer.attrs["weight_names"] = [variable.encode() for variable in variables]
    for variable, array in variables.items():
        layer[variable] = array


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights"


def test_every_array_of_a_recorded_detector_has_the_name_that_keras_lists(shared):
    folder = shared / "reference" / "automl"
    stored = files.read(folder / "d0_256_weights.h5")
    assert stored.container == "h5"
    with h5py.File(folder / "d0_256_weights.h5") as file:
        listed = {
            str(name).removesuffix(":0"): layer[name][()]
            for layer in file.values()
            for name in layer.attrs["weight_names"]
        }
    assert len(listed) == 709
    assert set(stored.arrays) == set(listed)
    for name, array in listed.items():
        np.testing.assert_array_equal(stored.arrays[name], array)


def test_layers_may_have_slashes_in_their_names_and_long_lists(path):
    with h5py.File(path, "w") as file:
        add_layer(file, "top/net", {"top/net/kernel:0": KERNEL})
        add_layer(file, "bare", {"bias": KERNEL[0]})
        add_layer(file, "empty", {})
        del file["bare"].attrs["weight_names"]
        file["bare"].attrs["weight_names0"] = [b"bias"]
    arrays = files.read(path).arrays
    assert set(arrays) == {"top/net/kernel", "bias"}
    np.testing.assert_array_equal(arrays["top/net/kernel"], KERNEL)


def test_of_a_whole_model_the_optimizer_is_left_out(path):
    with h5py.File(path, "w") as file:
        add_layer(file, "model_weights/stem", {"stem/kernel": KERNEL})
        add_layer(file, "optimizer_weights", {"adam/stem/kernel": KERNEL})
    assert set(files.read(path).arrays) == {"stem/kernel"}


def test_texts_are_left_out(path):
    with h5py.File(path, "w") as file:
        add_layer(file, "stem", {"kernel": KERNEL})
        file["stem/note"] = "trained long"
    assert set(files.read(path).arrays) == {"kernel"}


def test_two_variables_of_one_name_are_refused(path):
    with h5py.File(path, "w") as file:
        add_layer(file, "a", {"kernel": KERNEL})
        add_layer(file, "b", {"kernel": KERNEL})
    assert "two variables of the name 'kernel'" in refused(path)


def test_numbered_variables_of_keras_3_are_named_by_their_path(path):
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = KERNEL
    arrays = files.read(path).arrays
    assert list(arrays) == ["layers/conv2d/vars/0"]
    np.testing.assert_array_equal(arrays["layers/conv2d/vars/0"], KERNEL)


def test_another_hdf5_file_is_refused(path):
    with h5py.File(path, "w") as file:
        file["data"] = KERNEL
    assert "not of Keras" in refused(path)


def test_an_array_that_lies_in_another_file_is_not_read(path, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(KERNEL.tobytes())
    with h5py.File(path, "w") as file:
        add_layer(file, "stem", {"kernel": KERNEL})
        file["stem"].create_dataset(
            "stolen", (3, 4), np.float32, external=[(str(secret), 0, 48)]
        )
    assert "'stem/stolen' in another file" in refused(path)


def test_an_array_that_is_made_of_another_file_is_not_read(path, tmp_path):
    with h5py.File(tmp_path / "secret", "w") as file:
        file["data"] = KERNEL
    layout = h5py.VirtualLayout(KERNEL.shape, KERNEL.dtype)
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret"), "data", KERNEL.shape)
    with h5py.File(path, "w") as file:
        add_layer(file, "stem", {})
        file["stem"].create_virtual_dataset("stolen", layout)
    assert "'stem/stolen' in another file" in refused(path)


def test_links_to_other_files_and_in_circles_are_not_followed(path, tmp_path):
    with h5py.File(tmp_path / "secret", "w") as file:
        add_layer(file, "stem", {"stolen": KERNEL})
    with h5py.File(path, "w") as file:
        add_layer(file, "stem", {"kernel": KERNEL})
        file["stem/stolen"] = h5py.ExternalLink(str(tmp_path / "secret"), "stem/stolen")
        file["model_weights"] = h5py.ExternalLink(str(tmp_path / "secret"), "/")
        file["stem/again"] = file["stem"]
    assert set(files.read(path).arrays) == {"kernel"}


def test_an_array_larger_than_the_file_is_refused_before_it_is_read(path):
    with h5py.File(path, "w") as file:
        add_layer(file, "stem", {})
        file["stem"].create_dataset(
            "bomb", (2**20, 2**20), np.float32, chunks=(256, 256), compression="gzip"
        )
    assert "claim more bytes" in refused(path)


def test_a_file_cut_anywhere_is_refused(path):
    with h5py.File(path, "w") as file:
        add_layer(file, "stem", {"kernel": KERNEL})
    content = path.read_bytes()
    for length in range(0, len(content), 131):
        path.write_bytes(content[:length])
        refused(path)


@pytest.mark.slow
def test_keras_itself_writes_what_is_read(tmp_path):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    import keras

    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="stem_conv"),
            keras.layers.BatchNormalization(name="stem_bn"),
        ]
    )
    model.compile("adam", "mse")
    model.save_weights(tmp_path / "numbered.weights.h5")
    numbered = files.read(tmp_path / "numbered.weights.h5").arrays
    np.testing.assert_equal(
        numbered["layers/conv2d/vars/0"], model.layers[0].kernel.numpy()
    )
    model.save(tmp_path / "whole.h5")
    arrays = files.read(tmp_path / "whole.h5").arrays
    np.testing.assert_equal(arrays, {v.path: v.value.numpy() for v in model.weights})
