"""Says where the time and the bytes of a training step go, by module and by layer.

python scripts/profile_step.py --config=experiments/d0.py --batch_size=4 [--forward]

The step is the one that training runs, on random images and boxes that are already on
the device; `--forward` is the network alone. It is compiled, its instructions are read
from the compiled program, and some runs of it are traced. Markdown on stdout.
What is not part of the backward pass is in the column of the forward pass.

Each moment of a traced run is shared out equally among the instructions that run in
it, so that the times add up to the time in which anything runs, however many threads
or streams there are. Operations are multiply-adds times two, of matrix products and
convolutions only. Bytes are the sizes of an instruction's operands and results. The
floor of an instruction is the longer of its operations and its bytes at the ceilings
that this machine reaches, measured before and after; floors are added up.

On a GPU, XLA_FLAGS=--xla_gpu_enable_command_buffer= keeps kernels apart in the trace.
"""

import collections
import functools
import heapq
import math
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
from absl import app, flags
from contenders.batches import (  # pyrefly: ignore[missing-import]
    CLASSES,
    random_batch,
)
from jax import numpy as jnp
from ml_collections import ConfigDict, config_flags

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.memory import keep_memory
from efdet_jax.models.initial import initial_variables
from efdet_jax.train import compile_step, make_training

CONTAINERS = ("while", "call", "conditional")
"""What runs other instructions, that the trace has too."""
MOVES = {
    *("bitcast", "broadcast", "concatenate", "constant", "copy", "dynamic-slice"),
    *("dynamic-update-slice", "gather", "get-tuple-element", "iota", "pad"),
    *("parameter", "reshape", "reverse", "slice", "transpose", "tuple"),
}
SLICES = {"slice", "dynamic-slice", "gather"}
KERNELS = {
    "efdet_jax_depthwise": "depthwise convolutions",
    "efdet_jax_focal": "targets and loss",
    "efdet_jax_normalise": "normalisation and activation",
    "efdet_jax_thin": "full convolutions",
}
"""Layers by how the names of `efdet_jax.kernels` begin."""
MODULES = ("input", "backbone", "neck", "class_head", "box_head", "targets", "loss")
OPTIMIZER, OTHER = "optimizer and averages", "other"


class Instruction(NamedTuple):
    """One line of a compiled program."""

    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    text: str
    """All of the line."""


class Program(NamedTuple):
    """A compiled program, read from its text."""

    name: str
    instructions: dict[str, Instruction]
    computations: dict[str, list[Instruction]]
    files: dict[int, str]
    """By number of a stack frame: the source files on its way from the innermost."""


class Event(NamedTuple):
    """That an instruction ran, in nanoseconds."""

    name: str
    start: float
    end: float


class Row(NamedTuple):
    """What an instruction of the program does in one run."""

    name: str
    path: str
    module: str
    layer: str
    is_backward: bool
    count: float
    seconds: float
    operations: float
    bytes: float


class Ceilings(NamedTuple):
    """What this machine reaches, in a second."""

    operations: float
    bytes: float

    def floor(self, row: Row) -> float:
        """Returns the seconds that a row needs at the least."""
        return max(row.operations / self.operations, row.bytes / self.bytes)


# Reading the program.


def read_program(text: str) -> Program:
    """Returns the program that `compiled.as_text()` shows."""
    heading = re.compile(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
    line_of_code = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)")
    computations: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in text.splitlines():
        if found := line_of_code.match(line):
            name, kind, opcode, rest = found.groups()
            operands = tuple(re.findall(r"%([\w.\-]+)", rest.partition(")")[0]))
            body.append(Instruction(name, kind, opcode, operands, line))
        elif found := heading.match(line):
            body = computations.setdefault(found[1], [])
    instructions = {one.name: one for body in computations.values() for one in body}
    name = re.match(r"HloModule ([\w.\-]+)", text)
    return Program(name[1] if name else "", instructions, computations, _files(text))


def _files(text: str) -> dict[int, str]:
    """Returns the source files of every stack frame that the text has tables of."""
    names = dict(re.findall(r'^(\d+) "(.*)"$', _section(text, "FileNames"), re.M))
    locations = dict(
        re.findall(r"^(\d+) {file_name_id=(\d+)", _section(text, "FileLocations"), re.M)
    )
    files = {0: ""}
    # A frame comes after its parent, whose number is given plus one.
    for number, location, parent in re.findall(
        r"^(\d+) {file_location_id=(\d+) parent_frame_id=(\d+)}",
        _section(text, "StackFrames"),
        re.M,
    ):
        outer = files.get(int(parent) - 1, "")
        files[int(number)] = f"{names.get(locations.get(location, ''), '')} {outer}"
    return files


def _section(text: str, heading: str) -> str:
    found = re.search(rf"^{heading}\n(.*?)\n\n", text, re.M | re.S)
    return found[1] if found else ""


def insides(program: Program, one: Instruction) -> list[Instruction]:
    """Returns the instructions that a fusion consists of, or itself."""
    called = re.search(r"calls=%?([\w.\-]+)", one.text)
    if one.opcode != "fusion" or not called:
        return [one]
    body = program.computations.get(called[1], [])
    return [inner for outer in body for inner in insides(program, outer)]


# What an instruction costs.


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
    if one.opcode in SLICES:
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
            if one.opcode in SLICES and position == 0:
                part = size(one.type) / size(_operand(program, one).type)
            needed[name] += asked * part
    return shares


def _operand(program: Program, one: Instruction) -> Instruction:
    return program.instructions[one.operands[0]]


def operations(program: Program, one: Instruction) -> float:
    """Returns twice the multiply-adds of an instruction."""
    return sum(_operations(program, inner) for inner in insides(program, one))


def _operations(program: Program, one: Instruction) -> float:
    target = _target(one)
    if one.opcode not in ("dot", "convolution") and not target:
        return 0
    operands = [program.instructions[name].type for name in one.operands]
    sizes = [shapes(kind)[0][1] for kind in operands if shapes(kind)]
    out = shapes(one.type)[0][1]
    images = [one for one in sizes if len(one) == 4]
    if target.startswith("efdet_jax_depthwise"):
        (kernel,) = [one for one in sizes if len(one) == 3]
        if target.endswith("_gradients"):  # of the input and of the kernel
            return 4 * math.prod(images[1]) * math.prod(kernel[:2])
        return 2 * math.prod(out) * math.prod(kernel[:2])
    match target:
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


def _target(one: Instruction) -> str:
    found = re.search(r'custom_call_target="([^"]*)"', one.text)
    return found[1] if found else ""


# What an instruction belongs to.


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
    return next((pair for pair in found if _is_backward(pair[0])), found[0])


def _is_backward(path: str) -> bool:
    return "transpose(" in path or "rematted_computation" in path


def module(path: str, files: str) -> str:
    """Returns the part of the program that a path belongs to.

    Args:
      path: `jit(train_step)/transpose(jvp(Detector))/backbone/block_2/expand/…`, or
        for a parameter `state.params['backbone']['block_2']…`.
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
    targets = [_target(inner) for inner in body if _target(inner)]
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


# Tracing.


def traced(run: Callable[[], object], program: Program) -> list[Event]:
    """Returns what ran of a program in one run."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            run()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    starts, ends = [], {}
    for plane in devices or planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                if stats.get("hlo_module") == program.name and "hlo_op" in stats:
                    name = str(stats["hlo_op"])
                    found = Event(name, event.start_ns, event.end_ns)
                    starts.append((found, (f"end: {name}", stats.get("_p"))))
                elif "_c" in stats:
                    ends[event.name, stats["_c"]] = event.start_ns
    # What other threads finish ends later than the call that began it.
    return [
        event._replace(end=max(event.end, ends.get(key, 0))) for event, key in starts
    ]


def shared_seconds(
    events: Iterable[Event], containers: Iterable[str] = ()
) -> dict[str, float]:
    """Returns the seconds of each name, each moment split among all that run in it.

    A container has only those moments in which nothing else runs.
    """
    containers = set(containers)
    waiting = sorted(events, key=lambda event: event.start)
    running: list[tuple[float, int]] = []
    seconds: dict[str, float] = collections.defaultdict(float)
    now, index = 0.0, 0
    while running or index < len(waiting):
        starts = waiting[index].start if index < len(waiting) else math.inf
        until = min(starts, running[0][0] if running else math.inf)
        names = [waiting[which].name for _, which in running]
        names = [name for name in names if name not in containers] or names
        for name in names:
            seconds[name] += (until - now) / len(names) / 1e9
        now = until
        if running and running[0][0] <= starts:
            heapq.heappop(running)
        else:
            heapq.heappush(running, (waiting[index].end, index))
            index += 1
    return dict(seconds)


def rows_of(program: Program, runs: list[list[Event]]) -> list[Row]:
    """Returns what each instruction did, as the medians over traced runs."""
    containers = [
        one.name for one in program.instructions.values() if one.opcode in CONTAINERS
    ]
    seconds = [shared_seconds(events, containers) for events in runs]
    counts = [collections.Counter(event.name for event in events) for events in runs]
    rows = []
    for name in sorted(set().union(*seconds)):
        took = statistics.median(run.get(name, 0) for run in seconds)
        count = statistics.median(run[name] for run in counts)
        one = program.instructions.get(name)
        if one is None:
            rows.append(Row(name, "", OTHER, OTHER, False, count, took, 0, 0))
            continue
        path, files = source(program, one)
        part = place(program, one, path, files)
        rows.append(
            Row(
                name=name,
                path=path,
                module=part,
                layer=layer(program, one, path, part),
                is_backward=_is_backward(path),
                count=count,
                seconds=took,
                operations=count * operations(program, one),
                bytes=count * moved_bytes(program, one),
            )
        )
    return rows


# What is run.


def prepared(
    config: ConfigDict, batch_size: int, *, forward: bool
) -> tuple[Callable[[], object], str]:
    """Returns a run of the step or of the network alone, and its compiled text."""
    config.batch_size = batch_size
    assembly = assemble.detector(config, CLASSES)
    variables = jax.tree.map(
        jnp.asarray,
        initial_variables(assembly.variables, seed=0, foreground_prior=0.01),
    )
    batch = random_batch(config, batch_size)
    if forward:
        image = jnp.asarray(batch.image, jnp.float32) / 64 - 2
        apply = jax.jit(functools.partial(assembly.model.apply, train=False))
        network = apply.lower(variables, image).compile()
        text = network.as_text() or ""
        return lambda: jax.block_until_ready(network(variables, image)), text
    mesh = meshes.data_mesh()
    training = make_training(config, assembly, variables, mesh)
    placed = meshes.place_batch(batch, mesh)
    step = compile_step(training, placed).step
    state = [training.state]

    def run() -> None:
        state[0], _ = jax.block_until_ready(step(state[0], placed))

    return run, step.as_text() or ""


def timed(run: Callable[[], object]) -> float:
    """Returns the seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measured_ceilings(dtype: str, *, repeats: int = 9) -> Ceilings:
    """Returns the best rates of a large matrix product and of a large `x + y / 2`."""
    n = 2048 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.ones((n, n), dtype)
    product = jax.jit(jnp.matmul)
    # In place: no memory is taken from the system while the clock runs.
    add = jax.jit(lambda x, y: x + y / 2, donate_argnums=1)
    x, y = jnp.ones((2, 8192, 8192), jnp.float32)
    products, additions = [], []
    for _ in range(repeats):
        products.append(timed(lambda: product(matrix, matrix).block_until_ready()))
        start = time.perf_counter()
        y = add(x, y).block_until_ready()
        additions.append(time.perf_counter() - start)
    # The first of each was compiled.
    return Ceilings(2 * n**3 / min(products[1:]), 3 * y.nbytes / min(additions[1:]))


def higher(one: Ceilings, other: Ceilings) -> Ceilings:
    """Returns the higher rates: what else runs on the machine can only slow it."""
    return Ceilings(*map(max, zip(one, other, strict=True)))


# Tables.

COLUMNS = (
    "forward ms | backward ms | % | Gop | GB | GFLOP/s | GB/s | floor ms | time / floor"
)


def figures(rows: list[Row], total: float, ceilings: Ceilings) -> str:
    """Returns the cells of `COLUMNS` for some rows together.

    Args:
      rows: the instructions.
      total: seconds of all that there are.
      ceilings: of the machine.
    """
    took = sum(row.seconds for row in rows)
    backward = sum(row.seconds for row in rows if row.is_backward)
    done = sum(row.operations for row in rows)
    moved = sum(row.bytes for row in rows)
    floor = sum(ceilings.floor(row) for row in rows)
    cells = [
        f"{1e3 * (took - backward):.2f}",
        f"{1e3 * backward:.2f}",
        f"{100 * took / total:.1f}",
        f"{done / 1e9:.2f}",
        f"{moved / 1e9:.3f}",
        f"{done / took / 1e9:.0f}" if took and done else "",
        f"{moved / took / 1e9:.1f}" if took else "",
        f"{1e3 * floor:.2f}",
        f"{took / floor:.1f}" if floor else "",
    ]
    return " | ".join(cells)


def table(
    heading: str, groups: Mapping[str, list[Row]], total: float, ceilings: Ceilings
) -> str:
    """Returns a Markdown table with a line for each group."""
    lines = [f"| {heading} | {COLUMNS} |", "|---" + "|--:" * 9 + "|"]
    lines += [
        f"| {name} | {figures(rows, total, ceilings)} |"
        for name, rows in groups.items()
    ]
    return "\n".join(lines)


def grouped(rows: list[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Returns rows by key, the slowest group first."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    took = {name: sum(row.seconds for row in group) for name, group in groups.items()}
    return {name: groups[name] for name in sorted(groups, key=lambda name: -took[name])}


def in_order(name: str) -> tuple[int, str, int]:
    """Returns what sorts modules as the network runs them."""
    part, _, inner = name.partition("/")
    places = (*MODULES, OPTIMIZER, OTHER)
    # The rest of a part comes last, its stem first.
    number = re.search(r"\d+", inner)
    return (
        places.index(part),
        "z" if not inner else "block" if inner != "stem" else "a",
        int(number[0]) if number else 0,
    )


def report(rows: list[Row], ceilings: Ceilings, top: int) -> str:
    """Returns the tables of a profile."""
    total = sum(row.seconds for row in rows)
    modules = grouped(rows, lambda row: row.module)
    modules = {name: modules[name] for name in sorted(modules, key=in_order)}
    slowest = sorted(rows, key=lambda row: -row.seconds)[:top]
    named = {f"`{row.name}` {row.layer}: {_shown(row.path)}": [row] for row in slowest}
    parts = grouped(rows, lambda row: row.module.partition("/")[0])
    layers = grouped(rows, lambda row: row.layer)
    return "\n\n".join(
        [
            table("part", parts | {"all": rows}, total, ceilings),
            table("layers", layers | {"all": rows}, total, ceilings),
            table("module", modules, total, ceilings),
            table("instruction", named, total, ceilings),
        ]
    )


def _shown(path: str) -> str:
    """Returns what matters of a path, not too long for a cell."""
    return re.sub(r"^jit\(\w+\)/|cond/branch_\d+_fun/", "", path)[-70:]


def main(argv: list[str]) -> None:
    """Prints the profile."""
    del argv
    flag = flags.FLAGS
    config = flag.config
    ceilings = measured_ceilings(config.model.dtype)
    run, text = prepared(config, flag.batch_size, forward=flag.forward)
    program = read_program(text)
    for _ in range(3):
        run()
    untraced, with_trace, runs = [], [], []
    for _ in range(flag.steps):
        untraced.append(timed(run))
        runs.append(traced(lambda: with_trace.append(timed(run)), program))
    if not any(runs):
        sys.exit(f"the trace names no instruction of {program.name}")
    ceilings = higher(ceilings, measured_ceilings(config.model.dtype))
    rows = rows_of(program, runs)
    busy = sum(row.seconds for row in rows)
    without, traced_run = statistics.median(untraced), statistics.median(with_trace)
    height, width = config.image_size
    print(
        f"{'Forward pass' if flag.forward else 'Training step'} of {flag.batch_size} "
        f"images of {height} x {width} in {config.model.dtype}, "
        f"{jax.devices()[0].device_kind}, JAX {jax.__version__}; medians of "
        f"{flag.steps} runs.\n\n"
        f"- Untraced {1e3 * without:.1f} ms; traced {1e3 * traced_run:.1f} ms, of "
        f"which in {1e3 * busy:.1f} ms an instruction ran, {len(rows)} in all. "
        "Tracing costs what lies between the first two, most where instructions "
        "are small.\n"
        f"- The load of the machine was {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
        "cores. What else runs on them is in all of these times.\n"
        f"- Ceilings measured here: {ceilings.operations / 1e9:.0f} GFLOP/s (matrix "
        f"product), {ceilings.bytes / 1e9:.1f} GB/s (x + y / 2). What is still in a "
        "cache is read faster than that, so that a time may be under its floor.\n"
    )
    print(report(rows, ceilings, flag.top))


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    config_flags.DEFINE_config_file("config", help_string="Experiment to profile.")
    flags.DEFINE_integer("batch_size", 4, "Images per step.")
    flags.DEFINE_boolean("forward", False, "The network alone, without training.")
    flags.DEFINE_integer("steps", 5, "Traced runs to take medians of.")
    flags.DEFINE_integer("top", 30, "Slowest instructions to list.")
    app.run(main)
