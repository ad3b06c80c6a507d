"""EfficientDet in JAX: `efdet VERB`, or `python -m efdet_jax VERB`.

A verb is a module that is imported when it is used, so that help and mistakes in a verb
cost no second.
"""

import ast
import difflib
import importlib
import importlib.util
import pathlib
import sys
from typing import NoReturn

import efdet_jax
from efdet_jax.errors import UsageError, tell
from efdet_jax.memory import keep_memory

VERBS = {
    "train": "efdet_jax.main",
    "eval": "efdet_jax.eval",
    "predict": "efdet_jax.predict",
    "export": "efdet_jax.export",
    "report": "efdet_jax.report.__main__",
    "serve": "efdet_jax.serve",
    "sweep": "efdet_jax.sweep.__main__",
    "check_data": "efdet_jax.check_data",
    "convert": "efdet_jax.convert",
}
"""The module of each: its `main(argv)` returns the exit code, the first line of its
docstring is what `efdet --help` says of it."""


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    name, rest = (argv[1], argv[2:]) if argv[1:] else ("", [])
    if name in ("--help", "-h"):
        sys.stdout.write(_listing())
        return 0
    if name == "--version":
        sys.stdout.write(f"{efdet_jax.__version__}\n")
        return 0
    if name not in VERBS:
        return tell(UsageError(_unknown(name)))
    verb = importlib.import_module(VERBS[name])
    return verb.main([f"efdet {name}", *rest])


def start() -> NoReturn:
    """Is the console script."""
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))


def _listing() -> str:
    width = max(map(len, VERBS))
    rows = (f"  {name:<{width}}  {_about(module)}" for name, module in VERBS.items())
    return "\n".join(
        (
            "EfficientDet in JAX.\n",
            *rows,
            "\nefdet VERB --help says more of one, efdet --version which this is.\n",
        )
    )


def _about(module: str) -> str:
    """Returns the first line of a module's docstring, without importing the module."""
    spec = importlib.util.find_spec(module)
    assert spec
    assert spec.origin
    docstring = ast.get_docstring(ast.parse(pathlib.Path(spec.origin).read_text()))
    assert docstring
    return docstring.partition("\n")[0]


def _unknown(name: str) -> str:
    known = ", ".join(VERBS)
    if not name:
        return f"a verb is missing: write efdet VERB with one of {known}"
    near = difflib.get_close_matches(name, VERBS, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]}?" if near else f"use one of {known}"
    return f"{name} is no verb of efdet: {remedy}"


if __name__ == "__main__":
    start()
