"""Blocks that are computed twice: the same numbers under the same names."""

import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracles.trees import flat_arrays

from efdet_jax import comparisons, models
from efdet_jax.classifier_config import get_small_classifier_config
from efdet_jax.config import get_config
from efdet_jax.footprint import footprint
from efdet_jax.kernels import library
from efdet_jax.models import networks
from efdet_jax.models.detector import abstract_variables
from efdet_jax.models.initial import initial_variables

SIZE = (128, 128)


def small():
    """Two blocks of each stage, with drop path, two cells, a hidden layer of heads."""
    config = get_config("table", 0)
    config.model.update_from_flattened_dict(
        {
            "backbone.width": 0.25,
            "backbone.depth": 0.3,
            "backbone.survival_prob": 0.5,
            "neck.width": 8,
            "neck.repeats": 2,
            "head.repeats": 1,
        }
    )
    return config


CONFIGS = {
    "efficientdet": small,
    "retinanet": functools.partial(comparisons.get_retinanet_config, 50),
    "classifier": functools.partial(get_small_classifier_config, 0.5, 0.5, 64),
}


def network(config, remat):
    config.model.num_classes = 2
    config.model.remat = remat
    return networks.NETWORKS[config.task](config.model)


def training(model, variables, image):
    """Gradients and statistics of some loss."""

    def loss(params):
        outputs, updated = model.apply(
            variables | {"params": params},
            image,
            train=True,
            mutable=["batch_stats"],
            rngs={"drop_path": jax.random.key(1), "dropout": jax.random.key(2)},
        )
        squares = [jnp.mean(x**2) for x in jax.tree.leaves(outputs)]
        return sum(squares), updated

    return jax.grad(loss, has_aux=True)(variables["params"])


@pytest.mark.parametrize("name", CONFIGS)
def test_variables_have_the_same_names_and_shapes(name):
    image = jax.ShapeDtypeStruct((2, *SIZE, 3), jnp.float32)
    plain, again = (network(CONFIGS[name](), remat) for remat in ("none", "blocks"))
    variables = abstract_variables(plain, SIZE)
    assert variables == abstract_variables(again, SIZE)
    key = jax.random.key(0)

    def said_and_kept(model):
        return jax.eval_shape(
            functools.partial(
                model.apply,
                train=True,
                mutable=["batch_stats"],
                rngs={"drop_path": key, "dropout": key},
            ),
            variables,
            image,
        )

    assert said_and_kept(plain) == said_and_kept(again)


@pytest.fixture(scope="module")
def compiled():
    """By how blocks are computed: a compiled gradient, and its arguments."""
    image = np.random.default_rng(0).normal(size=(4, *SIZE, 3)).astype(np.float32)
    programs = {}
    for remat in ("none", "blocks"):
        model = network(small(), remat)
        shapes = abstract_variables(model, SIZE)
        variables = initial_variables(shapes, seed=0, foreground_prior=0.01)
        run = jax.jit(functools.partial(training, model))
        # Compiles in half of the time, to slower code.
        options = {"xla_backend_optimization_level": 0}
        program = run.lower(variables, image).compile(compiler_options=options)
        programs[remat] = program, (variables, image)
    return programs


@pytest.mark.slow
def test_gradients_statistics_and_dropped_paths_are_the_same(compiled):
    plain, again = (
        flat_arrays(program(*arguments)) for program, arguments in compiled.values()
    )
    largest = max(np.linalg.norm(value) for value in plain.values())
    for path, value in plain.items():
        error = np.linalg.norm(again[path] - value)
        # A bias whose effect the next norm takes away has no slope, but rounding.
        assert error <= 1e-5 * np.linalg.norm(value) + 1e-7 * largest, path


@pytest.mark.slow
def test_memory_falls_and_the_kernels_are_used_again(compiled):
    plain, again = (program for program, _ in compiled.values())
    assert footprint(again).temporaries < 0.7 * footprint(plain).temporaries
    if library.is_loaded():
        kernels = [
            program.as_text().count('custom_call_target="efdet_jax_depthwise"')
            for program in (plain, again)
        ]
        assert kernels[1] > kernels[0] > 0


def test_inference_has_nothing_to_compute_again():
    model = network(small(), "blocks")
    variables = models.detector.abstract_variables(model, SIZE)
    image = jax.ShapeDtypeStruct((2, *SIZE, 3), jnp.float32)
    forward = functools.partial(model.apply, train=False)
    again = str(jax.make_jaxpr(forward)(variables, image))
    plain = functools.partial(network(small(), "none").apply, train=False)
    assert again == str(jax.make_jaxpr(plain)(variables, image))


def test_on_an_accelerator_each_block_waits_behind_a_barrier():
    model = network(small(), "blocks")
    variables = abstract_variables(model, SIZE)
    image = jax.ShapeDtypeStruct((2, *SIZE, 3), jnp.float32)
    with library.set_aside():
        traced = jax.jit(functools.partial(training, model)).trace(variables, image)
        text = traced.lower(lowering_platforms=("tpu",)).as_text()
    blocks = [
        name
        for part in ("backbone", "neck")
        for name in variables["params"][part]
        if name.startswith(("block_", "cell_"))
    ]
    assert text.count("optimization_barrier") == len(blocks)
