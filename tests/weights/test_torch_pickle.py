import contextlib
import os
import pathlib
import pickle
import struct
import zipfile

import numpy as np
import pytest
from refusal import refused

from efdet_jax.errors import UsageError
from efdet_jax.weights.files import reading as files

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
FORMATS = ("torch_zip.pth", "torch_stream.pth")

COUNTED = np.arange(24, dtype=np.float32)
TYPES = {
    **{f"float{bits}": np.dtype(f"f{bits // 8}") for bits in (64, 32, 16)},
    **{f"int{bits}": np.dtype(f"i{bits // 8}") for bits in (64, 32, 16, 8)},
    "bfloat16": np.dtype("f4"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}
EXPECTED = {
    **{
        f"types.{name}": np.arange(6).reshape(2, 3).astype(dtype)
        for name, dtype in TYPES.items()
    },
    "views.slice": COUNTED[5:9],
    "views.step": COUNTED[1::5],
    "views.turned": COUNTED.reshape(2, 3, 4).transpose(2, 0, 1),
    "views.number": COUNTED[7],
    "views.empty": np.zeros((0, 3), np.float32),
    "parameter": np.arange(3, dtype=np.float32),
    "bn.num_batches_tracked": np.array(7),
}
"""What scripts/make_goldens_torch.py has counted, without PyTorch."""


def assert_same_arrays(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name


@pytest.mark.parametrize("name", FORMATS)
def test_both_formats_of_pytorch_give_the_counted_numbers(name):
    stored = files.read(GOLDENS / name)
    assert stored.container == "torch"
    assert_same_arrays(stored.arrays, EXPECTED)


def test_every_tensor_of_a_recorded_detector_is_there(shared):
    folder = shared / "reference" / "effdet"
    arrays = files.read(folder / "tf_efficientdet_d0_256.pth").arrays
    train = np.load(folder / "tf_efficientdet_d0_256_train.npz")
    expected = {
        name.partition("/")[2]: train[name].shape
        for name in train
        if name.startswith(("train_grad/", "train_buffers/"))
    }
    assert {name: array.shape for name, array in arrays.items()} == expected


# A pickle by hand. Values that need no import are pickle's own, without their frame.


def plain(value):
    return pickle.dumps(value, 2)[2:-1]


def named(dotted):
    module, _, name = dotted.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def storage(kind="FloatStorage", key="0", length=6):
    parts = plain("storage") + named(f"torch.{kind}") + plain(key) + plain("cpu")
    return b"(" + parts + plain(length) + b"tQ"


def tensor(stored=None, offset=0, size=(2, 3), stride=(3, 1)):
    parts = b"(" + (stored or storage()) + plain(offset) + plain(size) + plain(stride)
    return named("torch._utils._rebuild_tensor_v2") + parts + plain(False) + b"}tR"


def state_dict(**pickled):
    items = b"".join(plain(name) + value for name, value in pickled.items())
    return b"\x80\x02}(" + items + b"u."


def torch_zip(path, pickled, *, compression=zipfile.ZIP_STORED, **members):
    storages = {"data/0": np.arange(6, dtype="<f4").tobytes()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, content in (storages | members).items():
            archive.writestr(f"a/{name}", content)
    return path


def torch_stream(path, pickled):
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    head = b"".join(pickle.dumps(part, 2) for part in parts)
    keys = ["0"] if b"Storage" in pickled else []
    raw = struct.pack("<q", 6) + np.arange(6, dtype="<f4").tobytes()
    path.write_bytes(head + pickled + pickle.dumps(keys, 2) + raw)
    return path


WRITERS = {"zip": torch_zip, "stream": torch_stream}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Writes a pickle, and six numbers from 0, in one of the formats."""
    return lambda pickled: WRITERS[request.param](tmp_path / "made", pickled)


def test_a_pickle_made_by_hand_is_read(write):
    arrays = files.read(write(state_dict(a=tensor()))).arrays
    assert_same_arrays(arrays, {"a": COUNTED[:6].reshape(2, 3)})


class Runs:
    """Unpickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, ".system'"), (eval, ".eval'"), (getattr, ".getattr'")],
)
def test_a_pickle_that_runs_something_is_refused_by_name(
    write, tmp_path, protocol, function, name
):
    proof = tmp_path / "ran"
    attack = {"weight": Runs(function, f"touch {proof}")}
    message = refused(write(pickle.dumps(attack, protocol)))
    assert name in message
    assert "which loading would run" in message
    assert not proof.exists()


def test_system_has_the_name_under_which_python_pickles_it(write):
    assert f"'{os.system.__module__}.system'" in refused(
        write(pickle.dumps(Runs(os.system, "true"), 2))
    )


@pytest.mark.parametrize(
    "pickled",
    [
        pickle.dumps({"a": np.arange(3)}, 2),
        pickle.dumps({"a": np.float64(3)}, 2),
        b"\x80\x02(iposix\nsystem\n.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
        b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v3\n.",
        b"\x80\x02cos\x1b[2J\nsystem\n.",
    ],
)
def test_python_objects_that_are_no_tensors_are_refused(write, pickled):
    message = refused(write(pickled))
    assert "holds the Python object" in message
    assert message.isprintable()


def test_a_pickle_that_is_none_of_pytorch_is_refused(tmp_path):
    path = tmp_path / "plain.pth"
    path.write_bytes(pickle.dumps({"a": [1.0]}, 2))
    assert "no PyTorch file" in refused(path)


def test_nothing_is_hashed_or_set_but_what_stands_under_a_string(write):
    bomb = b")" + b"q\x01h\x01\x86" * 60  # A tuple of 2^60 leaves: its hash never ends.
    skipped = bomb + plain(1) + plain(5) + plain("a number as key")
    pickled = b"\x80\x02}(" + skipped + plain("a") + tensor() + b"u."
    assert set(files.read(write(pickled)).arrays) == {"a"}


@pytest.mark.parametrize(
    "view",
    [
        {"offset": 1},
        {"offset": -1, "size": (2,), "stride": (1,)},
        {"size": (7,), "stride": (1,)},
        {"stride": (-3, 1)},
        {"stride": (4, 1)},
        {"size": (-2, -3)},
        {"size": (2, 3), "stride": (1,)},
        {"size": (2**40,), "stride": (0,)},
        {"size": (2**62, 2**62), "stride": (1, 1)},
        {"size": (0, 2**63), "stride": (1, 1)},
        {"size": (1, 6), "stride": (2**70, 1)},
        {"size": (1,) * 100, "stride": (1,) * 100},
        {"size": "ab", "stride": "ab"},
        {"size": (2.0, 3.0)},
        {"offset": None},
    ],
)
def test_a_tensor_outside_its_storage_is_refused(write, view):
    refused(write(state_dict(a=tensor(**view))))


def test_a_tensor_outside_its_storage_is_named(write):
    view = tensor(size=(7,), stride=(1,))
    assert "'head.bias' reaches beyond" in refused(
        write(state_dict(**{"head.bias": view}))
    )


@pytest.mark.parametrize(
    "stored",
    [
        storage(length=7),
        storage(length=-6),
        storage(length=2**61),
        storage(key="1"),
        storage(key="../../data.pkl"),
        storage(kind="DoubleStorage"),
        plain(("storage", "FloatStorage", "0", "cpu", 6)) + b"Q",
        plain(("module", 1)) + b"Q",
        plain(6),
    ],
)
def test_a_storage_that_is_not_what_the_pickle_says_is_refused(write, stored):
    refused(write(state_dict(a=tensor(stored))))


def test_one_storage_can_be_read_as_one_type_only(write):
    refused(write(state_dict(a=tensor(), b=tensor(storage("IntStorage", length=3)))))


def test_what_is_not_asked_for_is_not_read(tmp_path):
    absent = tensor(storage(key="absent"))
    best = b"}" + plain("a") + tensor() + b"s"
    both = state_dict(state_dict=best, optimizer=b"}" + plain("a") + absent + b"s")
    assert set(files.read(torch_zip(tmp_path / "a", both)).arrays) == {"a"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["module.a", "module.b"], ["a", "b"]),
        (["module.model.a", "module.model.b"], ["a", "b"]),
        (["_orig_mod.a"], ["a"]),
        (["model.a", "b"], ["model.a", "b"]),
        (["module.a", "model.b"], ["module.a", "model.b"]),
    ],
)
def test_a_prefix_goes_only_if_all_names_have_it(write, names, expected):
    stored = files.read(write(state_dict(**dict.fromkeys(names, tensor()))))
    assert list(stored.arrays) == expected


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_a_training_script_keeps_weights_under_one_of_these(write, key):
    nested = b"}" + plain("a") + tensor() + b"s"
    arrays = files.read(write(state_dict(**{key: nested, "epoch": plain(3)}))).arrays
    assert set(arrays) == {"a"}


@pytest.mark.parametrize(
    "pickled", [plain([1, 2]), plain({}), plain({"a": 1}), tensor()]
)
def test_a_file_without_tensors_by_name_is_refused(write, pickled):
    assert "without tensors by name" in refused(write(b"\x80\x02" + pickled + b"."))


def test_a_compressed_member_is_refused(tmp_path):
    pickled = state_dict(a=tensor())
    path = torch_zip(tmp_path / "a", pickled, compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(path)


def test_a_member_larger_than_the_file_is_refused_before_it_is_read(tmp_path):
    path = torch_zip(tmp_path / "a", state_dict(a=tensor()))
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("a/data/0").file_size
    content = path.read_bytes()
    at = content.rindex(struct.pack("<II", size, size))  # In the central directory.
    lie = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(content[:at] + lie + content[at + len(lie) :])
    assert "claim more bytes" in refused(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"constants.pkl": b"", "code/a.py": b""}, "TorchScript"),
        ({"byteorder": b"big"}, "big-endian"),
        ({"nested/data.pkl": b""}, "data.pkl"),
    ],
)
def test_other_archives_of_pytorch_are_refused_by_name(tmp_path, members, message):
    path = torch_zip(tmp_path / "a", state_dict(a=tensor()), **members)
    assert message in refused(path)


def test_any_other_zip_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"")
    assert "without the data.pkl" in refused(path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_anywhere_is_refused(tmp_path, name):
    content = (GOLDENS / name).read_bytes()
    path = tmp_path / "cut"
    for length in range(0, len(content), 131):
        path.write_bytes(content[:length])
        refused(path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_flipped_bit_gives_arrays_or_a_refusal(tmp_path, name):
    content = bytearray((GOLDENS / name).read_bytes())
    path = tmp_path / "flipped"
    rng = np.random.default_rng(0)
    for at in rng.integers(len(content), size=60):
        bit = 1 << rng.integers(8)
        content[at] ^= bit
        path.write_bytes(content)
        with contextlib.suppress(UsageError):
            arrays = files.read(path).arrays
            assert sum(array.size for array in arrays.values()) < 1000
        content[at] ^= bit
