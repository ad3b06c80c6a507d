"""Necks as tables: rows of nodes, which `pyramid` runs.

"p4_in" is a cell's input at level 4 and "p4_out" its output; any other name lives
inside the cell.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Node(NamedTuple):
    """A feature made from others: a row of a neck's table.

    Attributes:
      name: what the rows below call it.
      level: of the pyramid; the inputs are brought to its size.
      inputs: what it is made of, in the order of the fusion weights.
      fusion: a key of `fusion.FUSIONS` where the table fixes it; "" leaves it to the
        config.
      has_conv: whether a 3 x 3 convolution and BatchNorm follow the fusion.
    """

    name: str
    level: int
    inputs: tuple[str, ...]
    fusion: str = ""
    has_conv: bool = True


Nodes = tuple[Node, ...]


def fpn(bottom: int, top: int) -> Nodes:
    """Returns the FPN: sums from the top down, each smoothed by a convolution.

    What goes further down is the sum before its convolution.

    Source: Feature Pyramid Networks (arXiv 1612.03144) section 3 and Fig. 3.
    """
    nodes = [Node(f"p{top}_td", top, (f"p{top}_in",), has_conv=False)]
    for level in range(top - 1, bottom - 1, -1):
        inputs = (f"p{level}_in", f"p{level + 1}_td")
        nodes.append(Node(f"p{level}_td", level, inputs, has_conv=False))
    for level in range(bottom, top + 1):
        nodes.append(Node(f"p{level}_out", level, (f"p{level}_td",)))
    return tuple(nodes)


def _there_and_back(
    order: Sequence[int], there: str, back: str, *, has_extra_edge: bool, has_ends: bool
) -> Nodes:
    """Returns a path through the levels in this order, and one back.

    Args:
      order: levels, of the first path.
      there: names a node of the first path, as in "p4_td".
      back: names a node of the second.
      has_extra_edge: whether nodes of the second path see the cell's input too.
      has_ends: whether each path begins with a node of its own, of one input.
    """
    first, *between, last = order
    turn = there if has_ends else back
    nodes = [Node(f"p{first}_{there}", first, (f"p{first}_in",))] if has_ends else []
    previous = f"p{first}_{there if has_ends else 'in'}"
    for level in order[1:]:
        name = f"p{level}_{turn if level == last else there}"
        nodes.append(Node(name, level, (f"p{level}_in", previous)))
        previous = name
    if has_ends:
        nodes.append(Node(f"p{last}_{back}", last, (previous,)))
        previous = f"p{last}_{back}"
    for level in [*reversed(between), first]:
        own = (there,) if has_ends or level != first else ("in",)
        if has_extra_edge and level != first:
            own = ("in", *own)
        inputs = tuple(f"p{level}_{kind}" for kind in own)
        nodes.append(Node(f"p{level}_{back}", level, (*inputs, previous)))
        previous = nodes[-1].name
    return tuple(nodes)


def bifpn(
    bottom: int, top: int, *, has_extra_edge: bool = True, has_ends: bool = False
) -> Nodes:
    """Returns the BiFPN: top-down, then bottom-up with an edge from the cell's input.

    Source: EfficientDet (arXiv 1911.09070) Fig. 2d and section 3.2.

    Args:
      bottom: finest level.
      top: coarsest level.
      has_extra_edge: the edge from the input, which a PANet does not have.
      has_ends: the nodes of one input, which a PANet has.
    """
    order = range(top, bottom - 1, -1)
    return _there_and_back(
        order, "td", "out", has_extra_edge=has_extra_edge, has_ends=has_ends
    )


panet = functools.partial(bifpn, has_extra_edge=False, has_ends=True)
"""Source: EfficientDet Fig. 2b, after PANet (arXiv 1803.01534) Fig. 1, whose finest
level of the second path is that of the first."""


def quad_fpn(bottom: int, top: int) -> Nodes:
    """Returns a BiFPN and one upside down side by side, and their fusion: four paths.

    Source: google/automl, `qufpn_config`.
    """
    levels = range(bottom, top + 1)
    path = functools.partial(_there_and_back, has_extra_edge=True, has_ends=False)
    upright = path(levels[::-1], "td", "upright")
    inverted = path(levels, "bu", "inverted")
    outputs = [
        Node(f"p{level}_out", level, (f"p{level}_upright", f"p{level}_inverted"))
        for level in reversed(levels)
    ]
    return (*upright, *inverted, *outputs)


def dense_fpn(bottom: int, top: int) -> Nodes:
    """Returns a fully connected pyramid: every output sees every input.

    Source: EfficientDet Table 5, "fully-connected FPN", which says no more of it.
    """
    levels = range(bottom, top + 1)
    inputs = tuple(f"p{level}_in" for level in levels)
    return tuple(Node(f"p{level}_out", level, inputs) for level in levels)


def nas_fpn(bottom: int, top: int) -> Nodes:
    """Returns the seven merging cells that a search has found.

    Attention pools the coarser of two. An input that no cell has used is added to the
    output at its level.

    Source: NAS-FPN (arXiv 1904.07392) section 3 and Fig. 7.

    Raises:
      ValueError: for other levels than 3 to 7, for which it was found.
    """
    if (bottom, top) != (3, 7):
        raise ValueError(f"NAS-FPN is made for levels 3 to 7, not {bottom} to {top}")
    return (
        Node("p4_first", 4, ("p6_in", "p4_in"), "attention"),
        Node("p4_second", 4, ("p4_in", "p4_first"), "sum"),
        Node("p3_out", 3, ("p3_in", "p4_second"), "sum"),
        Node("p4_out", 4, ("p4_second", "p3_out"), "sum"),
        Node("p5_out", 5, ("p4_out", "p3_out", "p5_in"), "attention"),
        Node("p7_out", 7, ("p5_out", "p4_second", "p7_in"), "attention"),
        Node("p6_out", 6, ("p7_out", "p5_out"), "attention"),
    )


NECKS: dict[str, Callable[[int, int], Nodes]] = {
    "fpn": fpn,
    "panet": panet,
    "nas_fpn": nas_fpn,
    "quad_fpn": quad_fpn,
    "dense_fpn": dense_fpn,
    "bifpn": bifpn,
    "bifpn_without_edge": functools.partial(bifpn, has_extra_edge=False),
    "bifpn_with_ends": functools.partial(bifpn, has_ends=True),
}
"""From the finest and the coarsest level to the nodes of one cell."""
