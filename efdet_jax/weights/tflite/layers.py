"""Which operators of an EfficientDet-Lite's graph carry which of our convolutions.

Found by following the graph from the image through the blocks, the BiFPN's additions
and the heads, because names in such files are what the converter made of several.
"""

import itertools
from collections.abc import Collection
from typing import NamedTuple

from efdet_jax.models.necks import Node, bifpn
from efdet_jax.weights.tflite.graph import Graph, Operator, Unexpected
from efdet_jax.weights.tflite.search import (
    PLAIN,
    RELU6,
    SAME,
    check,
    check_convolution,
    maker,
    one_user,
    separable,
    users,
)

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


def find_layers(graph: Graph) -> list[Layer]:
    """Returns every convolution of the network.

    Raises:
      Unexpected: The graph is not an EfficientDet-Lite's: says what was expected where.
    """
    backbone, features = _backbone(graph)
    coarser, pyramid = _coarser(graph, features)
    neck, outputs = _cells(graph, pyramid)
    joined = [op for op in graph.operators if op.kind == "CONCATENATION"]
    heads = {
        "class_head" if users(graph, join.output, "LOGISTIC") else "box_head": join
        for join in joined
    }
    if len(joined) != 2 or len(heads) != 2:
        raise Unexpected(
            "expected the levels joined by two CONCATENATIONs, one of them before a "
            f"LOGISTIC, found {len(joined)} for {' and '.join(heads) or 'no head'}"
        )
    found = [_head(graph, join, outputs, name) for name, join in heads.items()]
    return list(itertools.chain(backbone, coarser, neck, *found))


def _backbone(graph: Graph) -> tuple[list[Layer], dict[int, int]]:
    """Returns the backbone's layers, and its last tensor at each level."""
    name = "backbone/stem"
    stem = one_user(graph, graph.image, "CONV_2D", name)
    check_convolution(stem, name, RELU6, stride=2)
    check(stem, name, Padding=SAME)
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
        sums = [op for op in users(graph, project.output, "ADD") if x in op.inputs]
        x = features[level] = sums[0].output if sums else project.output
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
    block = {}
    expands = [
        operator
        for operator in users(graph, x, "CONV_2D")
        if users(graph, operator.output, "DEPTHWISE_CONV_2D")
    ]
    if expands:
        block[f"{where}/expand"] = expands[0]
        check_convolution(expands[0], f"{where}/expand", RELU6)
        x = expands[0].output
    elif not users(graph, x, "DEPTHWISE_CONV_2D"):
        return {}
    depthwise = one_user(graph, x, "DEPTHWISE_CONV_2D", f"{where}/depthwise")
    stride = 2 if depthwise.settings["StrideH"] == 2 else 1
    check_convolution(depthwise, f"{where}/depthwise", RELU6, stride)
    project = one_user(graph, depthwise.output, "CONV_2D", f"{where}/project")
    check_convolution(project, f"{where}/project", PLAIN)
    block[f"{where}/depthwise"], block[f"{where}/project"] = depthwise, project
    return block


def _coarser(
    graph: Graph, features: dict[int, int]
) -> tuple[list[Layer], dict[int, int]]:
    """Returns the layers that make P6 and P7, and the first cell's input tensors."""
    pyramid = {level: features[level] for level in (3, 4, 5)}
    convs = [
        operator
        for operator in users(graph, features[5], "CONV_2D")
        if users(graph, operator.output, "MAX_POOL_2D")
    ]
    layers, x = [], features[5]
    for conv in convs[:1]:  # none where C5 has the neck's width
        check_convolution(conv, "neck/p6_conv", PLAIN)
        layers.append(Layer("neck/p6_conv", (conv,), ("neck/p6_bn",), biased=True))
        x = conv.output
    for level in range(6, LEVELS[1] + 1):
        pool = one_user(graph, x, "MAX_POOL_2D", f"neck/p{level}")
        check(pool, f"neck/p{level}")
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
        and operator.settings["FusedActivationFunction"] == RELU6
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
            depthwise, pointwise = separable(graph, total.output, conv)
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
            check_convolution(lateral, conv, PLAIN)
            layers.append(Layer(conv, (lateral,), (f"{edge}_bn",), biased=True))
        resampled = (
            {"RESIZE_NEAREST_NEIGHBOR"} if level > node.level else {"MAX_POOL_2D"}
        )
        if set(passed) != (resampled if level != node.level else set()):
            raise Unexpected(f"did not expect {list(passed) or 'nothing'} at {edge}")
        for operator in passed.values():
            check(operator, edge)
    return layers


def _terms(
    graph: Graph, total: Operator, count: int, sources: Collection[int], where: str
) -> list[int]:
    """Returns the `count` tensors that a sum written as additions of two adds."""
    terms = list(total.inputs)
    while len(terms) < count:
        made = [graph.producers.get(term) for term in terms if term not in sources]
        inner = [op for op in made if op is not None and op.kind == "ADD"]
        if not inner:
            break
        check(inner[0], where)
        terms.remove(inner[0].output)
        terms += inner[0].inputs
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
    chains = [
        _head_at(graph, pyramid[level], end, f"{head} at level {level}")
        for level, end in zip(pyramid, join.inputs, strict=True)
    ]
    if len({len(chain) for chain in chains}) != 1:
        raise Unexpected(f"expected as many convolutions on all levels of {head}")
    layers = []
    for index, pairs in enumerate(zip(*chains, strict=True)):
        name, norms = f"{head}/predict", ()
        if index < len(chains[0]) - 1:
            name = f"{head}/conv_{index}"
            norms = tuple(f"{head}/bn_{index}_p{level}" for level in pyramid)
        depthwises, pointwises = zip(*pairs, strict=True)
        layers.append(Layer(f"{name}/depthwise", depthwises))
        layers.append(Layer(f"{name}/pointwise", pointwises, norms, biased=True))
    return layers


def _head_at(
    graph: Graph, start: int, end: int, where: str
) -> list[tuple[Operator, Operator]]:
    """Returns the separable convolutions between two tensors, found from the end."""
    chain: list[tuple[Operator, Operator]] = []
    tensor = maker(graph, end, "RESHAPE", where).inputs[0]
    while tensor != start or not chain:
        pointwise = maker(graph, tensor, "CONV_2D", where)
        depthwise = maker(graph, pointwise.inputs[0], "DEPTHWISE_CONV_2D", where)
        check_convolution(pointwise, where, RELU6 if chain else PLAIN)
        check_convolution(depthwise, where, PLAIN)
        chain.insert(0, (depthwise, pointwise))
        tensor = depthwise.inputs[0]
    return chain
