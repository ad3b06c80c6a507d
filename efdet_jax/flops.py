"""Counting multiply-adds and parameters without computing anything."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from efdet_jax.kernels import library
from efdet_jax.structures import Tree


def multiply_adds(fn: Callable[..., Any], *args: Tree) -> int:
    """Returns the multiply-adds of one call `fn(*args)`; args may be abstract.

    Counted: convolutions and matrix products, one multiply-add once, at their full
    output size (taps that fall on padding count, as everybody counts them). Not
    counted: normalisation, activations, pooling, resizing, fusion, losses. The count
    reads the traced program, not a compiled one, so that it does not depend on how a
    backend runs a convolution: where an operation has one branch per platform the
    costliest counts, which for `models.depthwise` is the one written as a convolution.

    This is the "FLOPs" of the EfficientDet paper, up to 0-4% that google/automl's
    profiler adds for elementwise work.
    """
    with library.set_aside():
        # A function of its own: JAX may remember how `fn` was traced with the kernels.
        return _count(jax.make_jaxpr(lambda *args: fn(*args))(*args).jaxpr)


def num_parameters(params: Tree) -> int:
    """Returns the number of scalars in a tree of (possibly abstract) arrays."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _count(jaxpr: Jaxpr) -> int:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: JaxprEqn) -> int:
    params = equation.params
    match equation.primitive.name:
        case "dot_general":
            (lhs_contracting, _), _ = params["dimension_numbers"]
            lhs = _shape(equation.invars[0])
            depth = math.prod(lhs[axis] for axis in lhs_contracting)
            return depth * math.prod(_shape(equation.outvars[0]))
        case "conv_general_dilated":
            kernel = _shape(equation.invars[1])
            output_features = kernel[params["dimension_numbers"].rhs_spec[0]]
            taps = math.prod(kernel) // output_features
            return taps * math.prod(_shape(equation.outvars[0]))
        case "cond":
            return max(_count(branch.jaxpr) for branch in params["branches"])
        case "scan":
            return params["length"] * _count(params["jaxpr"].jaxpr)
        case "while":
            raise ValueError("a while loop has no fixed number of multiply-adds")
        case _:
            return sum(_count(inner) for inner in _inner_jaxprs(params))


def _shape(operand: Any) -> tuple[int, ...]:
    # Of the kinds of values in a program only arrays have a shape; all of ours are.
    return operand.aval.shape


def _inner_jaxprs(params: dict[str, Any]) -> list[Jaxpr]:
    """Returns the programs that a call-like equation (jit, custom_vjp, remat) runs."""
    programs = [params.get(name) for name in ("jaxpr", "call_jaxpr", "fun_jaxpr")]
    return [
        program.jaxpr if isinstance(program, ClosedJaxpr) else program
        for program in programs
        if program is not None
    ]
