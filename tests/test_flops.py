import functools

import jax
import pytest
from jax import lax
from jax import numpy as jnp

from efdet_jax import assemble, config, scaling
from efdet_jax.flops import multiply_adds, num_parameters
from efdet_jax.models.depthwise import depthwise_conv

# google/automl's own profiler, which counts some elementwise work besides.
PROFILED = {
    0: 2_553_077_906,
    1: 6_139_387_894,
    2: 11_053_363_117,
    3: 24_995_358_048,
    4: 55_368_506_332,
    5: 135_776_088_672,
    6: 226_098_696_011,
    7: 325_556_168_719,
    "7x": 411_144_153_895,
}


def test_every_published_detector_is_in_this_table():
    assert set(PROFILED) == set(scaling.DETECTORS)


@functools.cache
def counted(phi):
    return assemble.detector(config.get_config("table", phi), 90).multiply_adds


def test_d0_has_2_492_billion():
    assert round(counted(0) / 1e9, 3) == 2.492


@pytest.mark.parametrize(
    "phi",
    [
        phi if phi == 0 else pytest.param(phi, marks=pytest.mark.slow)
        for phi in PROFILED
    ],
)
def test_detectors_lie_up_to_4_percent_below_the_profiler(phi):
    assert 0.96 * PROFILED[phi] < counted(phi) < PROFILED[phi]


def image(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_a_matrix_product_counts_its_three_sides():
    assert multiply_adds(jnp.matmul, image(5, 7), image(7, 3)) == 5 * 7 * 3
    batched = multiply_adds(jnp.matmul, image(2, 5, 7), image(2, 7, 3))
    assert batched == 2 * 5 * 7 * 3


def conv(x, kernel, groups=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        (2, 2),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def test_a_convolution_counts_its_taps_at_every_output_cell():
    x = image(1, 9, 8, 6)
    assert multiply_adds(conv, x, image(3, 3, 6, 10)) == 5 * 4 * 10 * 9 * 6
    grouped = functools.partial(conv, groups=6)
    assert multiply_adds(grouped, x, image(3, 3, 1, 6)) == 5 * 4 * 6 * 9


@pytest.mark.parametrize("stride", [1, 2])
def test_our_depthwise_convolution_counts_as_a_convolution(stride):
    run = functools.partial(depthwise_conv, stride=stride, padding="same")
    cells = {1: 9 * 8, 2: 5 * 4}[stride]
    assert multiply_adds(run, image(2, 9, 8, 6), image(5, 5, 6)) == 2 * cells * 6 * 25


def test_elementwise_work_counts_nothing():
    assert multiply_adds(lambda x: jnp.sum(x * x + jnp.exp(x)), image(4, 4)) == 0


def test_inner_programs_count_as_often_as_they_run():
    @jax.jit
    def product(x):
        return x @ x

    def repeated(x):
        return lax.scan(lambda carry, _: (product(carry), None), x, None, length=5)[0]

    assert multiply_adds(repeated, image(3, 3)) == 5 * 27
    either = multiply_adds(
        lambda x: lax.cond(x[0, 0] > 0, product, lambda x: x, x), image(3, 3)
    )
    assert either == 27


def test_a_loop_of_unknown_length_is_refused():
    def endless(x):
        return lax.while_loop(lambda x: x.sum() > 0, lambda x: x @ x, x)

    with pytest.raises(ValueError, match="while"):
        multiply_adds(endless, image(2, 2))


def test_parameters_are_counted_without_being_made():
    tree = {"a": image(1000, 1000, 1000), "b": [image(), image(3)]}
    assert num_parameters(tree) == 10**9 + 1 + 3
