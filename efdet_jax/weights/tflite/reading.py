"""EfficientDet-Lite out of a .tflite file: its convolutions → our arrays.

The converter has folded every BatchNorm into the convolution before it. Here the
convolution keeps the product, and the BatchNorm becomes the identity plus a bias. A
convolution of the heads, shared by all levels of which each has a BatchNorm of its own,
is therefore in the file once per level, and taken apart again by `factor`.

Source: google/automl's efficientdet-lite0 … lite4 as TensorFlow's converter writes
them: int8, float16 or float32.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from efdet_jax.errors import UsageError
from efdet_jax.weights.tflite.graph import (
    Constant,
    Graph,
    Operator,
    Unexpected,
    read_graph,
)
from efdet_jax.weights.tflite.layers import Layer, find_layers

EPSILON = 1e-3
"""The family's, in every BatchNorm; imported variances are 1 - EPSILON."""
MOST_STEPS = 2
"""How far a kernel may be from the levels' common one, in steps of an int8 file."""

Arrays = dict[str, np.ndarray]


def read_tflite(data: bytes, path: pathlib.Path) -> Arrays:
    """Returns every variable of an EfficientDet-Lite, float32, by our paths.

    Inference with them is the file's, without the rounding of its activations. Training
    is not what it was: the true means and variances of the BatchNorms are not in the
    file, so that they have to stay frozen, or to be measured again.

    Args:
      data: the bytes of the file.
      path: where they come from, for the message.

    Raises:
      UsageError: The file is damaged, or not an EfficientDet-Lite.
    """
    try:
        graph = read_graph(data)
        layers = find_layers(graph)
        return {
            name: array
            for layer in layers
            for name, array in _arrays(graph, layer).items()
        }
    except Unexpected as error:
        raise UsageError(
            f"{path}: is not an EfficientDet-Lite, all that is read from a .tflite: "
            f"{error}"
        ) from error


def factor(
    kernels: Float[np.ndarray, "l c d"],
) -> tuple[Float[np.ndarray, "c d"], Float[np.ndarray, "l d"]]:
    """Returns the kernel that all levels share, and each level's scales of its outputs.

    Their product is the nearest in least squares, for each output channel alone and
    with each level's errors in units of its largest weight: in the steps of an int8
    file. Scales are chosen to have a root mean square of one and a positive sum; where
    a channel is zero on all levels the kernel is zero, and the scales one.
    """
    largest = np.abs(kernels).max(axis=1).astype(np.float64)
    relative = kernels / np.where(largest > 0, largest, 1)[:, None]
    left, sizes, right = np.linalg.svd(relative.transpose(2, 0, 1), full_matrices=False)
    scales = left[:, :, 0].T * largest
    size = np.sqrt(np.mean(scales**2, axis=0)) * np.where(scales.sum(0) < 0, -1, 1)
    kernel = right[:, 0].T * (sizes[:, 0] * size)
    scales = np.where(size == 0, 1, scales / np.where(size == 0, 1, size))
    return kernel.astype(np.float32), scales.astype(np.float32)


def _arrays(graph: Graph, layer: Layer) -> Arrays:
    """Returns the variables of a convolution and of the BatchNorms folded into it."""
    constants = [_constants(graph, op, layer.name) for op in layer.operators]
    kernels, biases = zip(*constants, strict=True)
    if len({(k.values.shape, b.values.shape) for k, b in constants}) != 1:
        raise Unexpected(f"expected one shape on all levels at {layer.name}")
    folded = np.stack([bias.values for bias in biases])
    scales = np.ones_like(folded)
    if len(layer.norms) > 1:
        kernel, scales = _factored(kernels, layer.name)
    else:
        kernel = _shared(kernels, layer.name)
    arrays = {f"{layer.name}/kernel": kernel}
    for norm, scale, bias in zip(layer.norms, scales, folded, strict=False):
        arrays[f"{norm}/scale"] = scale
        arrays[f"{norm}/bias"] = bias
        arrays[f"{norm}/mean"] = np.zeros_like(bias)
        arrays[f"{norm}/var"] = np.full_like(bias, 1 - EPSILON)
    if layer.biased:
        bias = np.zeros_like(folded[0]) if layer.norms else _shared(biases, layer.name)
        arrays[f"{layer.name}/bias"] = bias
    elif not layer.norms and folded.any():
        raise Unexpected(f"expected no bias at {layer.name}")
    return arrays


def _constants(
    graph: Graph, operator: Operator, where: str
) -> tuple[Constant, Constant]:
    """Returns an operator's weights, in the order of our axes, and its bias."""
    _, weights, number = (*operator.inputs, -1, -1)[:3]
    found = graph.constants.get(weights)
    if found is None or found.values.ndim != 4:
        raise Unexpected(f"expected weights with four axes at {where}")
    if operator.kind == "CONV_2D":
        kernel = found.values.transpose(1, 2, 3, 0)
        kernel = kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel
    else:
        kernel = found.values[0]
    none = Constant(np.zeros(kernel.shape[-1], np.float32), 0.0)
    bias = none if number == -1 else graph.constants.get(number)
    if bias is None or bias.values.shape != none.values.shape:
        raise Unexpected(f"expected a bias of {none.values.size} numbers at {where}")
    return Constant(kernel, found.step), bias


def _factored(kernels: Sequence[Constant], where: str) -> tuple[np.ndarray, np.ndarray]:
    values = np.stack([kernel.values for kernel in kernels])
    kernel, scales = factor(values)
    error = np.abs(values - kernel * scales[:, None]).max(axis=1)
    if not (error <= MOST_STEPS / 127 * np.abs(values).max(axis=1)).all():
        raise Unexpected(f"expected one kernel, scaled by level, at {where}")
    return kernel, scales


def _shared(constants: Sequence[Constant], where: str) -> np.ndarray:
    """Returns what all levels have in common: the median, as each is rounded alone."""
    values = np.stack([constant.values for constant in constants])
    step = max(constant.step for constant in constants)
    if np.ptp(values, axis=0).max() > 1.01 * step:
        raise Unexpected(f"expected the same numbers on all levels at {where}")
    return np.median(values, axis=0)
