"""What `scripts/profile_step.py` reads from a compiled program and its trace."""

import functools
import importlib
import itertools
import pathlib
import sys

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax
from jax import numpy as jnp
from style import STYLE

from efdet_jax.flops import multiply_adds
from efdet_jax.models.depthwise import depthwise_conv
from efdet_jax.models.efficientnet import Block, Stage

_SCRIPTS = pathlib.Path(__file__).parents[1] / "scripts"
sys.path.append(str(_SCRIPTS))
profile_step = importlib.import_module("profile_step")
program_lib = importlib.import_module("profiling.program")
costs = importlib.import_module("profiling.costs")
places = importlib.import_module("profiling.places")
tracing = importlib.import_module("profiling.tracing")


def product(a, b):
    return jnp.tanh(a @ b)


def convolution(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def depthwise(x, kernel):
    return depthwise_conv(x, kernel, 2, "SAME")


def block(x, *, stride):
    """An inverted residual in inference, which the kernels of a CPU do most of."""
    stage = Stage(window=5, repeats=1, filters=8, expand=6, stride=stride)
    net = Block(stage, squeeze_excite=True, survival_prob=1.0, style=STYLE)
    variables = jax.eval_shape(
        functools.partial(net.init, train=False), jax.random.key(0), x
    )
    ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), variables)
    return net.apply(ones, x, train=False)


def gradients(fn):
    def loss(*arguments):
        return jnp.sum(fn(*arguments) ** 2)

    return jax.grad(loss, argnums=(0, 1))


IMAGE = (2, 12, 14, 8)
PROGRAMS = {
    "only a product": (jnp.matmul, [(48, 64), (64, 32)]),
    "product": (product, [(48, 64), (64, 32)]),
    "gradients of a product": (gradients(product), [(48, 64), (64, 32)]),
    "convolution": (convolution, [IMAGE, (3, 3, 8, 16)]),
    "depthwise": (depthwise, [IMAGE, (3, 3, 8)]),
    "block": (functools.partial(block, stride=1), [IMAGE]),
    "block with a stride": (functools.partial(block, stride=2), [IMAGE]),
}


def compiled(name):
    fn, shapes = PROGRAMS[name]
    rng = np.random.default_rng(0)
    arguments = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]
    program = jax.jit(fn).lower(*arguments).compile()
    return program, arguments, program_lib.read_program(program.as_text())


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_trace_has_the_operations_that_the_jaxpr_has(name):
    run, arguments, program = compiled(name)
    events = tracing.traced(lambda: jax.block_until_ready(run(*arguments)), program)
    rows = profile_step.rows_of(program, [events])
    assert {row.name for row in rows} <= set(program.instructions)
    adds = multiply_adds(PROGRAMS[name][0], *arguments)
    assert sum(row.operations for row in rows) == 2 * adds
    assert all(row.seconds > 0 and row.bytes > 0 for row in rows)


def test_what_waits_for_another_begins_when_that_has_ended():
    def fn(x, weights):
        for _ in range(6):
            x = jnp.tanh(x @ weights) / 2 + x
        return x

    arguments = jnp.ones((4096, 64)), jnp.ones((64, 64))
    run = jax.jit(fn).lower(*arguments).compile()
    program = program_lib.read_program(run.as_text())
    for _ in range(5):
        events = tracing.traced(lambda: jax.block_until_ready(run(*arguments)), program)
        events = sorted(
            (e for e in events if program.instructions[e.name].opcode != "call"),
            key=lambda event: event.start,
        )
        assert len(events) >= 6
        for one, following in itertools.pairwise(events):
            assert one.end <= following.start


def test_bytes_are_those_of_xlas_own_analysis():
    run, arguments, program = compiled("only a product")
    events = tracing.traced(lambda: jax.block_until_ready(run(*arguments)), program)
    (row,) = profile_step.rows_of(program, [events])
    assert row.bytes == run.cost_analysis()["bytes accessed"]


def test_of_what_is_cut_off_no_byte_is_read():
    def fn(x, y):
        return lax.slice(jnp.exp(x), (8, 0), (16, 64)) + y

    x, y = jnp.ones((64, 64)), jnp.ones((8, 64))
    text = jax.jit(fn).lower(x, y).compile().as_text()
    program = program_lib.read_program(text)
    (fusion,) = [one for one in program.instructions.values() if one.opcode == "fusion"]
    assert costs.moved_bytes(program, fusion) == 3 * y.nbytes


EVENTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 40), st.integers(1, 20))
)


@given(EVENTS)
def test_shared_seconds_are_the_moments_in_which_anything_runs(described):
    events = [tracing.Event(n, at, at + length) for n, at, length in described]
    moments = {m for e in events for m in range(e.start, e.end)}
    expected = dict.fromkeys("abcd", 0.0)
    for moment in moments:
        names = [e.name for e in events if e.start <= moment < e.end]
        names = [name for name in names if name != "d"] or names
        for name in names:
            expected[name] += 1e-9 / len(names)
    shared = tracing.shared_seconds(events, containers="d")
    for name, seconds in expected.items():
        assert shared.get(name, 0) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("path", "files", "module"),
    [
        ("jit(f)/transpose(jvp(Detector))/backbone/block_2/se/mul", "", "block_2"),
        ("jit(f)/jvp(Detector)/backbone/stem_bn/mul", "", "stem"),
        ("jit(f)/Detector/neck/cell_0/cell_0._fuse/add", "", "cell_0"),
        ("jit(f)/jvp(variables)/backbone/block_7/se/kernel/slice", "", "block_7"),
        ("variables['params']['backbone']['block_7']['se']['kernel']", "", "block_7"),
        ("state.ema['params'].vectors['backbone']['kernel']", "", "optimizer"),
        ("jit(train_step)/jvp()/max", "efdet_jax/boxes.py efdet_jax/targets.py", "tar"),
        ("jit(train_step)/transpose(jvp())/div", "", "loss"),
        ("jit(train_step)/add", "", "optimizer"),
    ],
)
def test_paths_have_modules(path, files, module):
    found = places.module(path, files).rpartition("/")[2]
    assert found.startswith(module)
