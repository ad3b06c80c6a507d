"""Which operators of an EfficientDet-Lite's graph carry which of our convolutions.

Found by following the graph from the image through the blocks, the BiFPN's additions
and the heads, because names in such files are what the converter made of several.
"""

from collections.abc import Collection
from typing import NamedTuple

from efdet_jax.models.necks import Node, bifpn
from efdet_jax.weights.tflite_graph import Graph, Operator, Unexpected

LEVELS = (3, 7)


class Layer(NamedTuple):
    """A convolution of ours and what of the file it is made from.

    Attributes:
      name: its path, "neck/p6_conv".
      operators: one; in the heads one per level, the finest first.
      norms: the BatchNorm folded into each operator; empty where none follows.
      biased: whether our convolution has a bias of its own.
    """

    name: str
    operators: tuple[Operator, ...]
    norms: tuple[str, ...] = ()
    biased: bool = False


_NO_ACTIVATION, _RELU6 = 0, 3
_SAME = 0
_UNDILATED = {"DilationHFactor": 1, "DilationWFactor": 1}
_SETTINGS: dict[str, dict[str, int]] = {
    "ADD": {"FusedActivationFunction": _NO_ACTIVATION},
    "CONV_2D": _UNDILATED,
    "DEPTHWISE_CONV_2D": {**_UNDILATED, "DepthMultiplier": 1, "Padding": _SAME},
    "MAX_POOL_2D": {
        "FilterHeight": 3,
        "FilterWidth": 3,
        "FusedActivationFunction": _NO_ACTIVATION,
        "Padding": _SAME,
        "StrideH": 2,
        "StrideW": 2,
    },
    "RESIZE_NEAREST_NEIGHBOR": {"AlignCorners": 0, "HalfPixelCenters": 0},
}
"""What an operator has wherever it is; strides and ReLU6 depend on the place."""


def find_layers(graph: Graph) -> list[Layer]:
    """Returns every convolution of the network.

    Raises:
      Unexpected: The graph is not an EfficientDet-Lite's: says what was expected where.
    """
    backbone, features = _backbone(graph)
    coarser, pyramid = _coarser(graph, features)
    neck, outputs = _cells(graph, pyramid)
    joined = [op for op in graph.operators if op.kind == "CONCATENATION"]
    is_classes = [
        any(op.kind == "LOGISTIC" for op in graph.consumers.get(join.output, []))
        for join in joined
    ]
    if sorted(is_classes) != [False, True]:
        raise Unexpected(
            f"expected two CONCATENATIONs, one before a LOGISTIC, found {len(joined)}, "
            f"{sum(is_classes)} before one"
        )
    heads = [
        layer
        for join, classes in zip(joined, is_classes, strict=True)
        for layer in _head(
            graph, join, outputs, "class_head" if classes else "box_head"
        )
    ]
    return backbone + coarser + neck + heads


def _backbone(graph: Graph) -> tuple[list[Layer], dict[int, int]]:
    """Returns the backbone's layers, and its last tensor at each level."""
    name = "backbone/stem"
    stem = _next(graph, graph.image, "CONV_2D", name)
    _check_convolution(stem, name, _RELU6, stride=2)
    _check(stem, name, Padding=_SAME)
    layers = [Layer(name, (stem,), (f"{name}_bn",))]
    x, level, blocks, features = stem.output, 1, 0, {}
    while block := _block(graph, x, f"backbone/block_{blocks}"):
        layers += [
            Layer(name, (operator,), (f"{name}_bn",))
            for name, operator in block.items()
        ]
        depthwise, project = list(block.values())[-2:]
        level += depthwise.settings["StrideH"] == 2
        blocks += 1
        additions = [
            operator.output
            for operator in graph.consumers.get(project.output, [])
            if operator.kind == "ADD" and x in operator.inputs
        ]
        x = features[level] = additions[0] if additions else project.output
    if sorted(features) != [1, 2, 3, 4, 5]:
        raise Unexpected(
            f"expected blocks at strides 2, 4, 8, 16 and 32, found {blocks} blocks at "
            f"strides {[2**level for level in features]}"
        )
    return layers, features


def _block(graph: Graph, x: int, where: str) -> dict[str, Operator]:
    """Returns the block that starts at `x`, by names; empty where none starts.

    A block starts with a depthwise convolution, after an expanding one but for the
    first stage. What else uses a feature, the BiFPN's laterals, is not followed by one.
    """
    for first in graph.consumers.get(x, []):
        after = graph.consumers.get(first.output, [])
        if first.kind == "DEPTHWISE_CONV_2D":
            block = {f"{where}/depthwise": first}
            break
        if first.kind == "CONV_2D" and [op.kind for op in after] == [
            "DEPTHWISE_CONV_2D"
        ]:
            block = {f"{where}/expand": first, f"{where}/depthwise": after[0]}
            _check_convolution(first, f"{where}/expand", _RELU6)
            break
    else:
        return {}
    depthwise = block[f"{where}/depthwise"]
    stride = 2 if depthwise.settings["StrideH"] == 2 else 1
    _check_convolution(depthwise, f"{where}/depthwise", _RELU6, stride)
    project = _next(graph, depthwise.output, "CONV_2D", f"{where}/project")
    _check_convolution(project, f"{where}/project", _NO_ACTIVATION)
    return {**block, f"{where}/project": project}


def _coarser(
    graph: Graph, features: dict[int, int]
) -> tuple[list[Layer], dict[int, int]]:
    """Returns the layers that make P6 and P7, and the first cell's input tensors."""
    pyramid = {level: features[level] for level in (3, 4, 5)}
    layers = []
    for conv in graph.consumers.get(features[5], []):
        after = graph.consumers.get(conv.output, [])
        if conv.kind == "CONV_2D" and "MAX_POOL_2D" in [op.kind for op in after]:
            _check_convolution(conv, "neck/p6_conv", _NO_ACTIVATION)
            layers = [Layer("neck/p6_conv", (conv,), ("neck/p6_bn",), biased=True)]
            break
    x = layers[0].operators[0].output if layers else features[5]
    for level in (6, 7):
        pool = _next(graph, x, "MAX_POOL_2D", f"neck/p{level}")
        _check(pool, f"neck/p{level}")
        x = pyramid[level] = pool.output
    return layers, pyramid


def _cells(graph: Graph, pyramid: dict[int, int]) -> tuple[list[Layer], dict[int, int]]:
    """Returns the layers of the BiFPN's cells, and the last cell's output tensors."""
    nodes, layers = bifpn(*LEVELS), []
    # The additions that end a node's sum; those within one, and in the backbone, have
    # no activation. They are in the order of nodes, since each node needs the previous.
    sums = [
        operator
        for operator in graph.operators
        if operator.kind == "ADD"
        and operator.settings["FusedActivationFunction"] == _RELU6
    ]
    if not sums or len(sums) % len(nodes):
        raise Unexpected(
            f"expected a multiple of {len(nodes)} ADDs with a ReLU6, found {len(sums)}"
        )
    for index in range(len(sums) // len(nodes)):
        known = {f"p{level}_in": tensor for level, tensor in pyramid.items()}
        for node in nodes:
            where = f"neck/cell_{index}/{node.name}"
            total = sums.pop(0)
            layers += _laterals(graph, total, node, known, where)
            conv = f"{where}_conv"
            depthwise, pointwise = _separable(graph, total.output, conv)
            layers += [
                Layer(f"{conv}/depthwise", (depthwise,)),
                Layer(f"{conv}/pointwise", (pointwise,), (f"{where}_bn",), biased=True),
            ]
            known[node.name] = pointwise.output
        pyramid = {level: known[f"p{level}_out"] for level in pyramid}
    return layers, pyramid


def _laterals(
    graph: Graph, total: Operator, node: Node, known: dict[str, int], where: str
) -> list[Layer]:
    """Returns the 1 x 1 convolutions on a node's edges; checks that it adds its inputs.

    Args:
      graph: the graph.
      total: the addition that ends the node's sum.
      node: the node.
      known: the tensors of the nodes and inputs before it, by name.
      where: the node's path.
    """
    sources = {tensor: name for name, tensor in known.items()}
    edges = {}
    for term in _terms(graph, total, len(node.inputs), sources, where):
        name, passed = _edge(graph, term, sources)
        edges[name] = passed
    if sorted(edges) != sorted(node.inputs):
        raise Unexpected(
            f"expected {where} to add {', '.join(node.inputs)}, found "
            f"{', '.join(sorted(edges))}"
        )
    layers = []
    for name, passed in edges.items():
        edge, level = f"{where}_from_{name}", int(name[1])
        if "CONV_2D" in passed:
            lateral, conv = passed.pop("CONV_2D"), f"{edge}_conv"
            _check_convolution(lateral, conv, _NO_ACTIVATION)
            layers.append(Layer(conv, (lateral,), (f"{edge}_bn",), biased=True))
        resampled = (
            {"RESIZE_NEAREST_NEIGHBOR"} if level > node.level else {"MAX_POOL_2D"}
        )
        if set(passed) != (resampled if level != node.level else set()):
            raise Unexpected(f"did not expect {list(passed) or 'nothing'} at {edge}")
        for operator in passed.values():
            _check(operator, edge)
    return layers


def _terms(
    graph: Graph, total: Operator, count: int, sources: Collection[int], where: str
) -> list[int]:
    """Returns the `count` tensors that a sum written as additions of two adds."""
    terms = list(total.inputs)
    while len(terms) < count:
        inner = next(
            (
                graph.producers[term]
                for term in terms
                if term not in sources and _kind(graph.producers.get(term)) == "ADD"
            ),
            None,
        )
        if inner is None:
            break
        _check(inner, where)
        place = terms.index(inner.output)
        terms[place : place + 1] = inner.inputs
    return terms


def _edge(
    graph: Graph, term: int, sources: dict[int, str]
) -> tuple[str, dict[str, Operator]]:
    """Returns which source a term is made from, and the operators on the way to it."""
    passed: dict[str, Operator] = {}
    while term not in sources:
        operator = graph.producers.get(term)
        if operator is None or operator.kind in passed:
            return "something else", passed
        passed[operator.kind] = operator
        term = operator.inputs[0]
    return sources[term], passed


def _head(
    graph: Graph, join: Operator, pyramid: dict[int, int], head: str
) -> list[Layer]:
    """Returns the layers of a head, each with one operator per level."""
    if len(join.inputs) != len(pyramid):
        raise Unexpected(
            f"expected {len(pyramid)} levels in {head}, found {len(join.inputs)}"
        )
    chains = []
    for (level, start), tensor in zip(pyramid.items(), join.inputs, strict=True):
        where = f"{head} at level {level}"
        tensor = _maker(graph, tensor, "RESHAPE", where).inputs[0]
        chain: list[tuple[Operator, Operator]] = []
        while tensor != start:
            pointwise = _maker(graph, tensor, "CONV_2D", where)
            depthwise = _maker(graph, pointwise.inputs[0], "DEPTHWISE_CONV_2D", where)
            _check_convolution(depthwise, where, _NO_ACTIVATION)
            activation = _RELU6 if chain else _NO_ACTIVATION
            _check_convolution(pointwise, where, activation)
            chain.insert(0, (depthwise, pointwise))
            tensor = depthwise.inputs[0]
        chains.append(chain)
    if len({len(chain) for chain in chains}) != 1:
        raise Unexpected(f"expected as many convolutions on all levels of {head}")
    *hidden, predict = zip(*chains, strict=True)
    layers = []
    for index, pairs in enumerate(hidden):
        depthwises, pointwises = zip(*pairs, strict=True)
        name = f"{head}/conv_{index}"
        norms = tuple(f"{head}/bn_{index}_p{level}" for level in pyramid)
        layers.append(Layer(f"{name}/depthwise", depthwises))
        layers.append(Layer(f"{name}/pointwise", pointwises, norms, biased=True))
    depthwises, pointwises = zip(*predict, strict=True)
    layers.append(Layer(f"{head}/predict/depthwise", depthwises))
    layers.append(Layer(f"{head}/predict/pointwise", pointwises, biased=True))
    return layers


def _separable(graph: Graph, tensor: int, where: str) -> tuple[Operator, Operator]:
    """Returns the depthwise and the 1 x 1 convolution after a tensor."""
    depthwise = _next(graph, tensor, "DEPTHWISE_CONV_2D", where)
    pointwise = _next(graph, depthwise.output, "CONV_2D", where)
    for operator in (depthwise, pointwise):
        _check_convolution(operator, where, _NO_ACTIVATION)
    return depthwise, pointwise


def _next(graph: Graph, tensor: int, kind: str, where: str) -> Operator:
    """Returns the one operator of a kind that uses a tensor."""
    found = [op for op in graph.consumers.get(tensor, []) if op.kind == kind]
    if len(found) != 1:
        raise Unexpected(f"expected one {kind} at {where}, found {len(found)}")
    return found[0]


def _maker(graph: Graph, tensor: int, kind: str, where: str) -> Operator:
    """Returns the operator that makes a tensor, which has to be of a kind."""
    found = graph.producers.get(tensor)
    if found is None or found.kind != kind:
        raise Unexpected(f"expected a {kind} in {where}, found {_kind(found)}")
    return found


def _kind(operator: Operator | None) -> str:
    return "nothing" if operator is None else operator.kind


def _check_convolution(
    operator: Operator, where: str, activation: int, stride: int = 1
) -> None:
    _check(
        operator,
        where,
        FusedActivationFunction=activation,
        StrideH=stride,
        StrideW=stride,
    )


def _check(operator: Operator, where: str, **settings: int) -> None:
    for name, value in {**_SETTINGS.get(operator.kind, {}), **settings}.items():
        if operator.settings[name] != value:
            raise Unexpected(
                f"expected {name} {value} of the {operator.kind} at {where}, found "
                f"{operator.settings[name]}"
            )
