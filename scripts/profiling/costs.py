"""Operations and bytes of the instructions of a program."""

import collections
import math
import re

from profiling.program import (  # pyrefly: ignore[missing-import]
    CONTAINERS,
    Instruction,
    Program,
    insides,
    target,
)

_SLICES = {"slice", "dynamic-slice", "gather"}


def shapes(kind: str) -> list[tuple[float, tuple[int, ...]]]:
    """Returns bytes of an element and sizes of each array in the text of a type."""
    return [
        (int(bits) / 8 if bits else 1, tuple(int(n) for n in sizes.split(",") if n))
        for bits, sizes in re.findall(
            r"\b(?:pred|[a-z]{1,2}(\d+)\w*)\[([\d,]*)\]", kind
        )
    ]


def size(kind: str) -> float:
    """Returns the bytes of a type."""
    return sum(width * math.prod(sizes) for width, sizes in shapes(kind))


def moved_bytes(program: Program, one: Instruction) -> float:
    """Returns the bytes of the results of an instruction and of what it reads.

    A fusion computes only what is asked for: where its result is a slice of something,
    a slice of its operands is read.
    """
    if one.opcode in CONTAINERS:
        return 0
    called = re.search(r"calls=%?([\w.\-]+)", one.text)
    body = program.computations.get(called[1], []) if called else []
    shares = _shares_read(program, body)
    if one.opcode in _SLICES:
        shares = {0: min(1, size(one.type) / size(_operand(program, one).type))}
    read: dict[str, float] = {}
    for index, name in enumerate(one.operands):
        moved = shares.get(index, 1) * size(program.instructions[name].type)
        read[name] = max(moved, read.get(name, 0))
    return size(one.type) + sum(read.values())


def _shares_read(program: Program, body: list[Instruction]) -> dict[int, float]:
    """Returns how much of each parameter the result of a fusion asks for."""
    needed: dict[str, float] = collections.defaultdict(float)
    shares = {}
    for one in reversed(body):  # users come before what they use
        is_root = one.text.lstrip().startswith("ROOT")
        asked = 1 if is_root else min(1, needed[one.name])
        if found := re.search(r" parameter\((\d+)\)", one.text):
            shares[int(found[1])] = asked
        for position, name in enumerate(one.operands):
            part = 1.0
            if one.opcode in _SLICES and position == 0:
                part = size(one.type) / size(_operand(program, one).type)
            needed[name] += asked * part
    return shares


def _operand(program: Program, one: Instruction) -> Instruction:
    return program.instructions[one.operands[0]]


def operations(program: Program, one: Instruction) -> float:
    """Returns twice the multiply-adds of an instruction."""
    return sum(_operations(program, inner) for inner in insides(program, one))


def _operations(program: Program, one: Instruction) -> float:
    called = target(one)
    if one.opcode not in ("dot", "convolution") and not called:
        return 0
    operands = [program.instructions[name].type for name in one.operands]
    sizes = [shapes(kind)[0][1] for kind in operands if shapes(kind)]
    out = shapes(one.type)[0][1]
    images = [one for one in sizes if len(one) == 4]
    if called.startswith("efdet_jax_depthwise"):
        (kernel,) = [one for one in sizes if len(one) == 3]
        if called.endswith("_expanded"):
            inputs, channels = math.prod(images[0]), out[3]
            return 2 * (inputs * channels + math.prod(out) * math.prod(kernel[:2]))
        if called.endswith("_gradients"):  # of the input and of the kernel
            return 4 * math.prod(images[1]) * math.prod(kernel[:2])
        return 2 * math.prod(out) * math.prod(kernel[:2])
    match called:
        case "efdet_jax_pointwise":
            return 2 * math.prod(out) * images[0][3]
        case "efdet_jax_thin":
            return 2 * math.prod(out) * math.prod(images[1][:3])
        case "efdet_jax_thin_gradient":
            return 2 * math.prod(images[1]) * math.prod(out[:3])
        case "__cudnn$convBackwardInput":
            out = sizes[0]
        case "__cudnn$convBackwardFilter":
            sizes, out = [sizes[0], out], sizes[1]
    if labels := re.search(r"dim_labels=\w+_(\w+)->", one.text):
        # Zeros that a stride puts between the rows of an input cost nothing.
        spread = re.search(r"lhs_dilate=([\dx]+)", one.text)
        zeros = math.prod(map(int, spread[1].split("x"))) if spread else 1
        taps = math.prod(sizes[1]) // sizes[1][labels[1].index("o")]
        return 2 * math.prod(out) * taps / zeros
    if found := re.search(r"lhs_contracting_dims=\{([\d,]*)\}", one.text):
        depth = math.prod(sizes[0][int(axis)] for axis in found[1].split(",") if axis)
        return 2 * math.prod(out) * depth
    # A library's matrix product, which says how in its configuration.
    if found := re.search(r'"lhs_contracting_dimensions":\["(\d+)"\]', one.text):
        return 2 * math.prod(out) * sizes[0][int(found[1])]
    return 0
