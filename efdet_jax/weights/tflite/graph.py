"""The operators and constants of a TensorFlow Lite file, every index of it checked.

Source: schema.fbs of TensorFlow, version 3 (the numbers in `settings` are its enums').
"""

import dataclasses
import math
import struct
from typing import Any, NamedTuple

import numpy as np


class Unexpected(Exception):
    """What is wrong with a graph; whoever knows the file's name puts it before this."""


class Operator(NamedTuple):
    """An operation; tensors are numbers, -1 an input that is left out."""

    kind: str  # schema.fbs's name: "CONV_2D", …
    inputs: tuple[int, ...]
    output: int
    settings: dict[str, int]


class Constant(NamedTuple):
    """Numbers that are in the file."""

    values: np.ndarray  # float32
    step: float  # the largest between two neighbours: its scale; 0 for floats


@dataclasses.dataclass(frozen=True)
class Graph:
    """What a file computes, in the order in which it computes it.

    QUANTIZE and DEQUANTIZE are left out and their results are what they are made from,
    so that integer, float16 and float32 files of one network are the same graph.
    Integers without a scale, such as shapes, are not among the constants. No tuple,
    because the tests' type checks go through all of a tuple at every call.
    """

    image: int
    operators: tuple[Operator, ...]
    constants: dict[int, Constant]
    producers: dict[int, Operator]
    consumers: dict[int, list[Operator]]


_CONVOLUTION = "Padding StrideH StrideW DilationHFactor DilationWFactor"
_SETTINGS = {
    "ADD": ("AddOptions", "FusedActivationFunction"),
    "CONCATENATION": ("ConcatenationOptions", "FusedActivationFunction"),
    "CONV_2D": ("Conv2DOptions", f"{_CONVOLUTION} FusedActivationFunction"),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        f"{_CONVOLUTION} DepthMultiplier FusedActivationFunction",
    ),
    "MAX_POOL_2D": (
        "Pool2DOptions",
        "Padding StrideH StrideW FilterHeight FilterWidth FusedActivationFunction",
    ),
    "RESIZE_NEAREST_NEIGHBOR": (
        "ResizeNearestNeighborOptions",
        "AlignCorners HalfPixelCenters",
    ),
}
# Far above any EfficientDet-Lite, low enough that a hostile file is refused at once.
_MOST, _MOST_INPUTS, _MOST_AXES = 10_000, 100, 8
_DTYPES = {
    0: "<f4",
    1: "<f2",
    2: "<i4",
    3: "u1",
    4: "<i8",
    7: "<i2",
    9: "i1",
}  # TensorType


# What the generated readers raise in a damaged file: they check nothing, and a wrong
# offset surfaces in whatever is done with it.
_DAMAGE = (
    AttributeError,
    IndexError,
    OverflowError,
    TypeError,
    ValueError,
    struct.error,
)


def read_graph(data: bytes) -> Graph:
    """Returns the graph of a .tflite file.

    Raises:
      Unexpected: The file is damaged, or holds something else than one plain graph.
    """
    if data[4:8] != b"TFL3":
        raise Unexpected("it has no identifier of TensorFlow Lite")
    import tflite  # hundreds of modules, for this one kind of file

    try:
        model: Any = tflite.Model.GetRootAs(data, 0)
        graph = model.Subgraphs(0)
        counts = (model.SubgraphsLength(), graph.InputsLength())
        if counts != (1, 1):
            raise Unexpected("found {} graphs and {} inputs, not one".format(*counts))
        image = graph.Inputs(0)
        tensors = _tensors(model, graph, len(data))
        operators = _operators(tflite, model, graph)
    except _DAMAGE as error:
        raise Unexpected(
            f"it is damaged or cut short ({error}): fetch it again"
        ) from error
    return _connect(image, operators, tensors)


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise Unexpected(f"it has {count} {what}, more than {most}")


def _tensors(model: Any, graph: Any, size: int) -> dict[int, Constant | None]:
    """Returns what is stored of each tensor; None for integers without a scale."""
    _check_count("tensors", graph.TensorsLength(), _MOST)
    tensors, total = {}, 0
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        if tensor.Buffer() >= model.BuffersLength():
            raise Unexpected(f"tensor {index} is in a buffer that is not there")
        stored = model.Buffers(tensor.Buffer())
        if stored.DataLength() == 0:
            continue
        total += stored.DataLength()
        # Buffers may be shared (zeros are), but not so that a small file fills memory.
        _check_count("bytes in its tensors", total, 4 * size)
        name = f"tensor {index}"
        values = _values(stored.DataAsNumpy(), tensor, name)
        tensors[index] = _constant(values, tensor.Quantization(), name)
    return tensors


def _values(raw: np.ndarray, tensor: Any, name: str) -> np.ndarray:
    """Returns a buffer's bytes as the numbers that its tensor says they are."""
    if tensor.Type() not in _DTYPES:
        raise Unexpected(f"{name} has numbers of an unexpected type, {tensor.Type()}")
    dtype = np.dtype(_DTYPES[tensor.Type()])
    _check_count(f"axes in {name}", tensor.ShapeLength(), _MOST_AXES)
    shape = [tensor.Shape(axis) for axis in range(tensor.ShapeLength())]
    needed = dtype.itemsize * math.prod(shape)
    if min(shape, default=1) < 1 or needed != raw.size:
        raise Unexpected(f"{name} of shape {shape} has {raw.size} bytes, not {needed}")
    return raw.view(dtype).reshape(shape)


@np.errstate(all="ignore")  # what is not finite is refused at the end
def _constant(values: np.ndarray, quantisation: Any, name: str) -> Constant | None:
    """Returns the real numbers: one scale for all, or one for each along an axis."""
    if values.dtype.kind == "f":
        real, step = values.astype(np.float32), 0.0
    elif quantisation is None or quantisation.ScaleLength() == 0:
        return None
    else:
        scale = quantisation.ScaleAsNumpy().astype(np.float64)
        zero = np.zeros(scale.size, np.int64)
        if quantisation.ZeroPointLength():
            zero = quantisation.ZeroPointAsNumpy()
        shape = [1] * values.ndim
        if scale.size > 1:
            shape[quantisation.QuantizedDimension()] = scale.size
        if zero.size != scale.size or values.shape != np.broadcast_shapes(
            values.shape, shape
        ):
            raise Unexpected(f"{name} has {scale.size} scales, which do not fit it")
        real = (values - zero.reshape(shape)) * scale.reshape(shape)
        real, step = real.astype(np.float32), float(scale.max())
    if not np.isfinite(real).all():
        raise Unexpected(f"{name} is not finite everywhere")
    return Constant(real, step)


def _operators(tflite: Any, model: Any, graph: Any) -> list[Operator]:
    _check_count("operators", graph.OperatorsLength(), _MOST)
    kinds = {number: kind for kind, number in vars(tflite.BuiltinOperator).items()}
    operators = []
    for index in range(graph.OperatorsLength()):
        stored = graph.Operators(index)
        if stored.OpcodeIndex() >= model.OperatorCodesLength():
            raise Unexpected(f"operator {index} is of a kind that is not there")
        code = model.OperatorCodes(stored.OpcodeIndex())
        kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "?")
        _check_count(f"inputs to a {kind}", stored.InputsLength(), _MOST_INPUTS)
        if not stored.InputsLength() or not stored.OutputsLength():
            raise Unexpected(f"expected inputs and outputs of a {kind}, found none")
        inputs = tuple(stored.Inputs(i) for i in range(stored.InputsLength()))
        settings = _settings(tflite, stored, kind)
        operators.append(Operator(kind, inputs, stored.Outputs(0), settings))
    return operators


def _settings(tflite: Any, stored: Any, kind: str) -> dict[str, int]:
    if kind not in _SETTINGS:
        return {}
    name, fields = _SETTINGS[kind]
    if stored.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, name):
        raise Unexpected(f"a {kind} has no {name}")
    options, table = getattr(tflite, name)(), stored.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return {field: int(getattr(options, field)()) for field in fields.split()}


def _connect(
    image: int, operators: list[Operator], tensors: dict[int, Constant | None]
) -> Graph:
    """Links operators by their tensors, each made once and before it is used."""
    made = {-1, image, *tensors}
    same: dict[int, int] = {}
    kept: list[Operator] = []
    producers: dict[int, Operator] = {}
    consumers: dict[int, list[Operator]] = {}
    for operator in operators:
        if not made.issuperset(operator.inputs) or operator.output in made:
            raise Unexpected(
                f"a {operator.kind} uses a tensor before it is made, or makes it again"
            )
        made.add(operator.output)
        inputs = tuple(same.get(tensor, tensor) for tensor in operator.inputs)
        if operator.kind in ("QUANTIZE", "DEQUANTIZE"):
            same[operator.output] = inputs[0]
            continue
        kept.append(operator._replace(inputs=inputs))
        producers[operator.output] = kept[-1]
        for tensor in set(inputs):
            consumers.setdefault(tensor, []).append(kept[-1])
    constants = {
        index: constant for index, constant in tensors.items() if constant is not None
    }
    return Graph(image, tuple(kept), constants, producers, consumers)
