import pathlib
import shutil
import tarfile

import numpy as np
import pytest
from refusal import refused

from efdet_jax.errors import UsageError
from efdet_jax.weights.files import reading as files
from efdet_jax.weights.files import tf_checkpoint


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"")


def test_the_only_checkpoint_of_a_folder_is_found(tmp_path):
    touch(
        tmp_path, "model.index", "model.data-00000-of-00001", "._model.index", "notes"
    )
    assert tf_checkpoint.prefix_in(tmp_path) == tmp_path / "model"


@pytest.mark.parametrize("folder", ["", "/elsewhere/run/", r"C:\runs\\"])
def test_the_latest_of_several_is_found_whatever_folder_it_had(tmp_path, folder):
    touch(tmp_path, "model.ckpt-1.index", "model.ckpt-20.index")
    (tmp_path / "checkpoint").write_text(
        f'model_checkpoint_path: "{folder}model.ckpt-20"\n'
        'all_model_checkpoint_paths: "model.ckpt-1"\n'
    )
    assert tf_checkpoint.prefix_in(tmp_path) == tmp_path / "model.ckpt-20"


def test_a_renamed_checkpoint_is_found_although_the_folder_names_another(tmp_path):
    touch(tmp_path, "renamed.index")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model"\n')
    assert tf_checkpoint.prefix_in(tmp_path) == tmp_path / "renamed"


def test_several_checkpoints_are_refused_with_their_names(tmp_path):
    touch(tmp_path, "a.index", "b.index")
    assert "several checkpoints (a, b)" in refused(tmp_path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    touch(tmp_path, "model.meta")
    assert "without a TensorFlow checkpoint" in refused(tmp_path)


def test_an_index_without_its_numbers_is_refused(tmp_path):
    touch(tmp_path, "model.index", "other.data-00000-of-00001")
    assert "numbers are missing (model.data-…)" in refused(tmp_path)


def test_numbers_without_their_index_are_refused(tmp_path):
    path = tmp_path / "model.data-00000-of-00001"
    path.write_bytes(bytes(100))
    assert "put model.index beside it" in refused(path)


@pytest.mark.parametrize("names", [["notes"], ["a/model.index", "b/model.index"]])
def test_an_archive_with_no_or_several_checkpoints_is_refused(tmp_path, names):
    path = tmp_path / "packed.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    assert "TensorFlow checkpoints (.index)" in refused(path)


def test_the_oldest_format_of_pytorch_is_refused_by_name(tmp_path):
    path = tmp_path / "old.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name))
    assert "PyTorch before 0.1.10" in refused(path)


VARIABLES = {
    "net/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "net/bn/moving_mean": np.arange(3, dtype=np.float32),
}


def save_by_name(prefix, values):
    """Writes values by name, as TensorFlow 1 did."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, value in values.items():
            v1.get_variable(name, initializer=tf.constant(value), use_resource=False)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(prefix), write_meta_graph=False)


@pytest.mark.slow
def test_numbers_come_by_name_and_texts_not_at_all(tmp_path):
    averages = {f"{k}/ExponentialMovingAverage": v + 1 for k, v in VARIABLES.items()}
    values = VARIABLES | averages | {"global_step": np.int64(9)}
    save_by_name(tmp_path / "model", values | {"note": "a text"})
    arrays = files.read(tmp_path / "model").arrays
    assert set(arrays) == set(values)
    for name, value in values.items():
        np.testing.assert_array_equal(arrays[name], value)
        assert arrays[name].dtype == np.asarray(value).dtype


@pytest.mark.slow
def test_objects_are_named_by_their_path_and_their_optimizer_is_left_out(tmp_path):
    import tensorflow as tf

    kernel = tf.Variable(VARIABLES["net/kernel"])
    half = tf.Variable([1.5, -2.0], dtype=tf.bfloat16)
    root = tf.train.Checkpoint(
        backbone=tf.train.Checkpoint(kernel=kernel),
        bns=[[tf.train.Checkpoint(beta=half)]],
        optimizer=tf.train.Checkpoint(rate=tf.Variable(0.1)),
    )
    prefix = pathlib.Path(root.save(str(tmp_path / "ckpt")))
    arrays = files.read(tmp_path).arrays
    assert prefix.name == "ckpt-1"
    assert set(arrays) == {"backbone/kernel", "bns/0/0/beta"}
    np.testing.assert_array_equal(arrays["backbone/kernel"], VARIABLES["net/kernel"])
    np.testing.assert_array_equal(arrays["bns/0/0/beta"], np.float32([1.5, -2]))


@pytest.mark.slow
def test_a_checkpoint_is_found_by_any_of_its_files_and_in_archives(tmp_path):
    folder = tmp_path / "d0"
    folder.mkdir()
    save_by_name(folder / "model", VARIABLES)
    packed = tmp_path / "d0.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(folder, "efficientdet-d0")
    files_ = [folder, folder / "model", packed, *folder.iterdir()]
    assert len(files_) == 6
    for path in files_:
        stored = files.read(path)
        assert stored.container == "tf_checkpoint"
        assert set(stored.arrays) == set(VARIABLES)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused(tmp_path):
    save_by_name(tmp_path / "model", VARIABLES)
    index, shard = tmp_path / "model.index", tmp_path / "model.data-00000-of-00001"
    for path, step in ((index, 7), (shard, 5)):
        content = path.read_bytes()
        for length in range(0, len(content), step):
            path.write_bytes(content[:length])
            refused(tmp_path / "model")
        for at in range(0, len(content), step):
            flipped = bytearray(content)
            flipped[at] ^= 16
            path.write_bytes(flipped)
            try:
                arrays = files.read(tmp_path / "model").arrays
            except UsageError as error:
                assert "\n" not in str(error)  # noqa: PT017
            else:
                np.testing.assert_equal(arrays, VARIABLES)
        path.write_bytes(content)


@pytest.mark.slow
def test_a_renamed_index_is_refused_with_the_name_that_it_needs(tmp_path):
    save_by_name(tmp_path / "model", VARIABLES)
    renamed = shutil.move(tmp_path / "model.index", tmp_path / "weights")
    assert "call it PREFIX.index again" in refused(renamed)


@pytest.mark.slow
def test_every_variable_of_a_recorded_detector_is_that_of_its_h5(shared):
    folder = shared / "reference" / "automl"
    arrays = files.read(folder / "d0_256_tf1ckpt").arrays
    expected = files.read(folder / "d0_256_weights.h5").arrays
    assert len(arrays) == 709
    np.testing.assert_equal(arrays, expected)
