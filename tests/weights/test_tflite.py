"""EfficientDet-Lite files against the network and the interpreter they came from."""

import dataclasses
import functools
import itertools
import pathlib
import re

import cv2
import jax
import numpy as np
import pytest
import tflite
from flax import traverse_util
from jax import numpy as jnp
from oracles.recorded import GOLDENS

from efdet_jax.anchors import anchor_grid
from efdet_jax.config import get_config
from efdet_jax.errors import UsageError
from efdet_jax.models.detector import abstract_variables, create, normalise
from efdet_jax.weights.tflite.graph import Unexpected, read_graph
from efdet_jax.weights.tflite.layers import find_layers
from efdet_jax.weights.tflite.reading import factor, read_tflite

PATH = pathlib.Path("some.tflite")


def small_model():
    """The model of the golden; see `scripts/make_goldens_tflite.py`."""
    section = get_config("lite", 0).model
    section.num_classes = 3
    section.backbone.width, section.backbone.depth = 0.28, 0.3
    section.neck.width, section.neck.repeats, section.head.repeats = 16, 2, 2
    return create(section)


def lite0():
    config = get_config("lite", 0)
    config.model.num_classes = 90
    return config


def as_variables(arrays):
    leaves = {
        (
            "batch_stats" if path.endswith(("/mean", "/var")) else "params",
            *path.split("/"),
        ): array
        for path, array in arrays.items()
    }
    return traverse_util.unflatten_dict(leaves)


def compiled(model):
    """Returns the network in inference, compiled in half of the usual time."""
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(
        functools.partial(model.apply, train=False), compiler_options=options
    )


@functools.cache
def golden():
    return dict(np.load(GOLDENS / "tflite.npz"))


@functools.cache
def golden_arrays(name):
    return read_tflite(golden()[name].tobytes(), PATH)


run_golden = compiled(small_model())


@functools.cache
def lite0_file(shared):
    return (shared / "data/lite0/efficientdet_lite0_int8.tflite").read_bytes()


@functools.cache
def lite0_arrays(shared):
    return read_tflite(lite0_file(shared), PATH)


def shapes_of(variables):
    return jax.tree.map(lambda array: (array.shape, array.dtype), variables)


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-5), ("int8", 0.05)])
def test_outputs_are_those_of_the_network_that_was_converted(name, tolerance):
    image = np.random.default_rng(1).normal(size=(1, 96, 160, 3)).astype(np.float32)
    outputs = run_golden(as_variables(golden_arrays(name)), image)
    for field in ("class_logits", "box_codes"):
        ours = np.asarray(getattr(outputs, field))[0, ::5]
        np.testing.assert_allclose(ours, golden()[field], atol=tolerance)


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_a_file_fills_every_variable(name):
    expected = abstract_variables(small_model(), (96, 160))
    ours = as_variables(golden_arrays(name))
    assert shapes_of(ours) == shapes_of(expected)


def test_lite0_fills_every_variable_with_the_published_number_of_parameters(shared):
    expected = abstract_variables(create(lite0().model), (320, 320))
    ours = as_variables(lite0_arrays(shared))
    assert shapes_of(ours) == shapes_of(expected)
    assert sum(a.size for a in jax.tree.leaves(ours["params"])) == 3_243_470


def photo(shared):
    pixels = cv2.imread(str(shared / "data/photos/cats_and_dogs.jpg"))[:, :, ::-1]
    return cv2.resize(pixels, (320, 320), interpolation=cv2.INTER_LINEAR)[None]


@functools.cache
def outputs_of_lite0(shared):
    config = lite0()
    image = normalise(jnp.asarray(photo(shared)), **config.normalise)
    return compiled(create(config.model))(as_variables(lite0_arrays(shared)), image)


def stored(data, name):
    """The tensor of this name: its numbers and its scales, read without our reader."""
    model = tflite.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    (tensor,) = (
        tensor
        for tensor in map(graph.Tensors, range(graph.TensorsLength()))
        if tensor.Name().decode() == name
    )
    dtype = {tflite.TensorType.INT8: np.int8, tflite.TensorType.FLOAT32: np.float32}
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy().view(dtype[tensor.Type()])
    scales = tensor.Quantization().ScaleAsNumpy()
    return raw.reshape(tensor.ShapeAsNumpy()), scales


def test_our_anchors_are_those_in_the_lite0_file(shared):
    centres, sizes = np.split(stored(lite0_file(shared), "stack")[0], 2, axis=1)
    theirs = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    section = lite0().model
    ours = anchor_grid((320, 320), levels=section.levels, **section.anchors)
    np.testing.assert_allclose(ours / 320, theirs, atol=1e-6)


@pytest.mark.parametrize("head", ["class", "box"])
def test_the_shared_kernel_times_a_levels_scales_is_its_kernel_within_a_step(
    shared, head
):
    arrays = lite0_arrays(shared)
    for index in range(3):
        ours = arrays[f"{head}_head/conv_{index}/pointwise/kernel"]
        for level in range(3, 8):
            number = f"_{level - 3}" if level > 3 else ""
            name = f"{head}_net/{head}-{index}/separable_conv2d{number}"
            integers, steps = stored(lite0_file(shared), name)
            scale = arrays[f"{head}_head/bn_{index}_p{level}/scale"]
            in_steps = ours * scale / steps
            assert np.abs(in_steps - integers[:, 0, 0].T).max() < 1


def test_levels_that_are_scaled_copies_are_taken_apart_exactly():
    random = np.random.default_rng(0)
    kernel = random.normal(size=(7, 5))
    scales = random.uniform(0.5, 2, (4, 5)) * np.array([1, -1, 1, 1, 1])
    scales[:, 2] = 0
    scales[1, 3] = 0
    levels = np.einsum("cd,ld->lcd", kernel, scales).astype(np.float32)
    found, found_scales = factor(levels)
    np.testing.assert_allclose(
        np.einsum("cd,ld->lcd", found, found_scales), levels, atol=1e-6
    )
    np.testing.assert_allclose(np.sqrt(np.mean(found_scales**2, axis=0)), 1, rtol=1e-6)
    assert (found_scales.sum(axis=0) > 0).all()
    assert not found[:, 2].any()


def test_the_nearest_product_is_of_all_levels():
    """A level rounded coarsely does not spoil a finer one."""
    random = np.random.default_rng(1)
    kernel = random.normal(size=(40, 3))
    levels = np.stack([kernel, kernel * 0.25]).astype(np.float32)
    rounded = levels.copy()
    rounded[1] = np.round(levels[1] * 8) / 8
    found, scales = factor(rounded)
    best = np.abs(found * scales[0] - levels[0]).mean()
    assert best < 0.6 * np.abs(rounded[1] * 4 - levels[0]).mean()


def alter(kind, place, **settings):
    """Returns a graph whose operator number `place` of a kind is set differently."""

    def change(graph):
        operators = [op for op in graph.operators if op.kind == kind]
        operators[place].settings.update(settings)
        return graph

    return change


def drop(kind):
    def change(graph):
        kept = tuple(op for op in graph.operators if op.kind != kind)
        return dataclasses.replace(
            graph,
            operators=kept,
            consumers={
                tensor: [op for op in users if op.kind != kind]
                for tensor, users in graph.consumers.items()
            },
        )

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            alter("CONV_2D", 0, FusedActivationFunction=1),
            r"FusedActivationFunction 3 of the CONV_2D at backbone/stem, found 1",
        ),
        (alter("DEPTHWISE_CONV_2D", 1, StrideH=4), "backbone/block_1/depthwise"),
        (alter("MAX_POOL_2D", 0, FilterHeight=2), "FilterHeight 3 .* neck/p6, found 2"),
        (alter("RESIZE_NEAREST_NEIGHBOR", 0, HalfPixelCenters=1), "p6_td_from_p7_in"),
        (alter("ADD", -1, FusedActivationFunction=0), "multiple of 8 ADDs .* found 15"),
        (drop("LOGISTIC"), "two CONCATENATIONs, .* found 2 for box_head"),
        (drop("MAX_POOL_2D"), "one MAX_POOL_2D at neck/p6, found 0"),
        (drop("DEPTHWISE_CONV_2D"), "found 0 blocks"),
    ],
)
def test_another_network_is_refused_by_what_was_expected_where(change, message):
    graph = read_graph(golden()["float32"].tobytes())
    with pytest.raises(Unexpected, match=message):
        find_layers(change(graph))


def refusal(data):
    """What is said of a file that cannot be read; nothing of one that can."""
    try:
        read_tflite(data, PATH)
    except UsageError as error:
        return str(error)
    return ""


ONE_LINE = re.compile(r"some\.tflite: is not an EfficientDet-Lite, .+")


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused_in_a_line(share):
    data = golden()["int8"].tobytes()
    assert ONE_LINE.fullmatch(refusal(data[: int(share * len(data))]))


def flip(data, seed):
    random = np.random.default_rng(seed)
    damaged = bytearray(data)
    for place in random.integers(8, len(data), 20):
        damaged[place] = random.integers(256)
    return bytes(damaged)


def test_damaged_bytes_are_read_as_numbers_or_refused_in_a_line():
    data = golden()["int8"].tobytes()
    refusals = [text for seed in range(4) if (text := refusal(flip(data, seed)))]
    assert refusals
    assert all(map(ONE_LINE.fullmatch, refusals))


@pytest.mark.slow
def test_damage_never_crashes_or_hangs():
    data = golden()["int8"].tobytes()
    for seed in range(100):
        text = refusal(flip(data, seed))
        assert not text or ONE_LINE.fullmatch(text)


@pytest.mark.slow
def test_lite0_differs_from_the_interpreter_by_the_rounding_of_activations(shared):
    tensorflow = pytest.importorskip("tensorflow")
    interpreter = tensorflow.lite.Interpreter(
        model_content=lite0_file(shared), experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    interpreter.set_tensor(image["index"], photo(shared))
    interpreter.invoke()
    details = {tensor["name"]: tensor for tensor in interpreter.get_tensor_details()}
    outputs = outputs_of_lite0(shared)
    for name, ours in zip(("concat", "concat_1"), outputs, strict=True):
        step, zero = details[name]["quantization"]
        integers = interpreter.get_tensor(details[name]["index"]).astype(np.float32)
        ends = np.cumsum([0] + [9 * cells**2 for cells in (40, 20, 10, 5, 3)])
        for start, end in itertools.pairwise(ends.tolist()):
            theirs = (integers[0, start:end] - zero) * step
            mine = np.asarray(ours)[0, start:end]
            assert np.abs(mine - theirs).mean() < step
            assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] > 0.99
