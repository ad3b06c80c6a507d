"""Operators of an EfficientDet-Lite's graph, found beside others and checked.

Whatever is not as it has to be is said with the place in our network that it is at.
"""

from efdet_jax.weights.tflite.graph import Graph, Operator, Unexpected

PLAIN, RELU6 = 0, 3
"""Activations, in schema.fbs's numbers."""
SAME = 0
"""A padding, in schema.fbs's numbers."""

_UNDILATED = {"DilationHFactor": 1, "DilationWFactor": 1}
_SETTINGS: dict[str, dict[str, int]] = {
    "ADD": {"FusedActivationFunction": PLAIN},
    "CONV_2D": _UNDILATED,
    "DEPTHWISE_CONV_2D": {**_UNDILATED, "DepthMultiplier": 1, "Padding": SAME},
    "MAX_POOL_2D": {
        "FilterHeight": 3,
        "FilterWidth": 3,
        "FusedActivationFunction": PLAIN,
        "Padding": SAME,
        "StrideH": 2,
        "StrideW": 2,
    },
    "RESIZE_NEAREST_NEIGHBOR": {"AlignCorners": 0, "HalfPixelCenters": 0},
}
"""What an operator has wherever it is; a convolution's stride depends on the place."""


def users(graph: Graph, tensor: int, kind: str) -> list[Operator]:
    """Returns the operators of a kind that use a tensor."""
    return [op for op in graph.consumers.get(tensor, []) if op.kind == kind]


def one_user(graph: Graph, tensor: int, kind: str, where: str) -> Operator:
    """Returns the only operator of a kind that uses a tensor."""
    found = users(graph, tensor, kind)
    if len(found) != 1:
        raise Unexpected(f"expected one {kind} at {where}, found {len(found)}")
    return found[0]


def maker(graph: Graph, tensor: int, kind: str, where: str) -> Operator:
    """Returns the operator that makes a tensor."""
    found = graph.producers.get(tensor)
    if found is None or found.kind != kind:
        what = "no operator" if found is None else found.kind
        raise Unexpected(f"expected a {kind} at {where}, found {what}")
    return found


def separable(graph: Graph, tensor: int, where: str) -> tuple[Operator, Operator]:
    """Returns the depthwise and the 1 x 1 convolution after a tensor, both plain."""
    depthwise = one_user(graph, tensor, "DEPTHWISE_CONV_2D", where)
    pointwise = one_user(graph, depthwise.output, "CONV_2D", where)
    for operator in (depthwise, pointwise):
        check_convolution(operator, where, PLAIN)
    return depthwise, pointwise


def check_convolution(
    operator: Operator, where: str, activation: int, stride: int = 1
) -> None:
    """Refuses a convolution with another activation or stride."""
    strides = {"StrideH": stride, "StrideW": stride}
    check(operator, where, FusedActivationFunction=activation, **strides)


def check(operator: Operator, where: str, **settings: int) -> None:
    """Refuses an operator with other settings than these and those of its kind."""
    for name, value in {**_SETTINGS[operator.kind], **settings}.items():
        if operator.settings[name] != value:
            raise Unexpected(
                f"expected {name} {value} of the {operator.kind} at {where}, found "
                f"{operator.settings[name]}"
            )
