"""What parts of the model and what layers the instructions of a program belong to."""

import re

from profiling.program import (  # pyrefly: ignore[missing-import]
    CONTAINERS,
    Instruction,
    Program,
    insides,
    target,
)

MOVES = {
    *("bitcast", "broadcast", "concatenate", "constant", "copy", "dynamic-slice"),
    *("dynamic-update-slice", "gather", "get-tuple-element", "iota", "pad"),
    *("parameter", "reshape", "reverse", "slice", "transpose", "tuple"),
}
KERNELS = {
    "efdet_jax_depthwise_expanded": "1 x 1 and depthwise convolutions, fused",
    "efdet_jax_depthwise": "depthwise convolutions",
    "efdet_jax_focal": "targets and loss",
    "efdet_jax_normalise": "normalisation and activation",
    "efdet_jax_pointwise": "matrix products",
    "efdet_jax_thin": "full convolutions",
}
"""Layers by how the names of `efdet_jax.kernels` begin; the first that fits."""
MODULES = ("input", "backbone", "neck", "class_head", "box_head", "targets", "loss")
OPTIMIZER, OTHER = "optimizer and averages", "other"


def source(program: Program, one: Instruction, depth: int = 8) -> tuple[str, str]:
    """Returns the path of an instruction in the model, and the files it comes from.

    Where the compiler made it and it has none, its root's or operands' are taken.
    """
    body = insides(program, one)
    roots = [inner for inner in body if inner.text.lstrip().startswith("ROOT")]
    for inner in (one, *roots, *reversed(body)):
        if found := re.search(r'op_name="([^"]*)"', inner.text):
            frame = re.search(r"stack_frame_id=(\d+)", inner.text)
            return found[1], program.files.get(int(frame[1]) if frame else 0, "")
    if not depth:
        return "", ""
    before = [program.instructions[name] for name in one.operands]
    found = [source(program, operand, depth - 1) for operand in before]
    found = [pair for pair in found if pair[0]] or [("", "")]
    return next((pair for pair in found if is_backward(pair[0])), found[0])


def is_backward(path: str) -> bool:
    """Says whether a path is of the backward pass."""
    return "transpose(" in path or "rematted_computation" in path


def module(path: str, files: str) -> str:
    """Returns the part of the program that a path belongs to.

    Args:
      path: `jit(train_step)/transpose(jvp(Detector))/backbone/block_2/expand/…`, or
        for a parameter `variables['params']['backbone']['block_2']…`.
      files: that it comes from, which tell apart what is outside of the network.
    """
    if path.startswith(("state.opt_state", "state.ema", "state.step")):
        return OPTIMIZER
    names = re.findall(r"\w+", path) if "[" in path else path.split("/")
    for name, inner in zip(names, [*names[1:], ""], strict=True):
        if name in MODULES:
            found = re.match(r"(stem|block_\d+|cell_\d+)(_bn)?\b", inner)
            return f"{name}/{found[1]}" if found else name
    if path.startswith("batch.") or "models/detector.py" in files:
        return "input"
    if "targets.py" in files:
        return "targets"
    if "jvp(" in path or "/losses/" in files:
        return "loss"
    return OPTIMIZER if "train_step" in path else OTHER


def place(program: Program, one: Instruction, path: str, files: str) -> str:
    """Returns the module of an instruction, by its weights if its path is short."""
    part = module(path, files)
    if part not in ("backbone", "neck"):
        return part
    near = [one]
    for _ in range(2):
        near = [program.instructions[name] for each in near for name in each.operands]
        for each in near:
            found = module(*source(program, each))
            if each.opcode == "parameter" and found.startswith(f"{part}/"):
                return found
    return part


def layer(program: Program, one: Instruction, path: str, part: str) -> str:
    """Returns the class of layers that an instruction belongs to."""
    if part in ("targets", "loss"):
        return "targets and loss"
    if part == OPTIMIZER:
        return OPTIMIZER
    if one.opcode in CONTAINERS:
        return OTHER
    body = insides(program, one)
    targets = [target(inner) for inner in body if target(inner)]
    for name, kind in KERNELS.items():
        if any(target.startswith(name) for target in targets):
            return kind
    convolutions = [inner.text for inner in body if "dim_labels=" in inner.text]
    if convolutions:
        grouped = r"(feature|batch)_group_count=([2-9]|\d\d)"
        is_depthwise = any(re.search(grouped, text) for text in convolutions)
        return f"{'depthwise' if is_depthwise else 'full'} convolutions"
    is_product = any(re.search("gemm|matmul", target) for target in targets)
    if is_product or any(inner.opcode == "dot" for inner in body):
        return "matrix products"
    if targets:
        return "other calls"
    if all(inner.opcode in MOVES for inner in body):
        return "copies and transposes"
    if "/depthwise/" in path:
        return "depthwise convolutions"
    if re.search(r"(_bn|/bn_\w+)/", path):
        return "normalisation and activation"
    return "elementwise and reductions"
