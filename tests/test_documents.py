"""Every command in a document can be given: what it names exists, its flags parse.

A command is followed to where its flags and its config have been read and found sound,
and no further. What stands for something of the reader's, such as DATA, is put in.
"""

import argparse
import inspect
import json
import os
import pathlib
import re
import runpy
import shlex
import sys
import tomllib

import pytest

from efdet_jax import command, stopping
from efdet_jax.__main__ import VERBS, main
from efdet_jax.config import get_config
from efdet_jax.sweep.launchers.choosing import LAUNCHERS
from efdet_jax.sweep.loading import load_trials

# A module that is run as a program has been imported by another test before.
pytestmark = pytest.mark.filterwarnings("ignore:.*found in sys.modules")
ROOT = pathlib.Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")),
    *ROOT.glob("docs/*.md"),
]
DOCSTRINGS = [
    *(ROOT / "experiments").rglob("*.py"),
    *((ROOT / name.replace(".", "/")).with_suffix(".py") for name in VERBS.values()),
]
COMMAND = re.compile(
    r"(?:python -m efdet_jax|efdet (?=[a-z])|(?:python )?scripts/\w+\.(?:py|sh)"
    r"|(?:python -m )?pytest|pip install).*"
)
STANDS_FOR = {
    "effdet.py:NAME": "effdet.py:efficientdet_d1",
    "efficientnet_scaling.py:DIMENSION,FACTOR": "efficientnet_scaling.py:depth,2",
    "fusion.py:NAME": "fusion.py:softmax",
    "imbalance.py:NAME": "imbalance.py:focal",
    "necks.py:NAME": "necks.py:panet",
    "MODEL,FOLDER": "lite0,FOLDER",
    "shapes.py:PHI": "shapes.py:-3",
    "VERB": "train",
    # Which are to be written first.
    "neck.name=bottom_up": "neck.name=fpn",
    "--launcher=plain --launcher_options=nice=10": "--launcher=local",
    "--config=…": "--config=experiments/d0.py",
    "…": "",
    "...": "",
}
"""What a reader would write."""


def pieces(text, *, is_page):
    """Yields what is set as code: whole lines, and words between backticks."""
    text = re.sub(r"\\\n\s*", "", text)
    fences = re.findall(r"(?ms)^```\w*\n(.*?)^```", text)
    for line in "".join(fences).splitlines():
        yield line.strip('" ')
    text = re.sub(r"(?ms)^```.*?^```", "", text)
    for line in text.splitlines():
        if not is_page or line.startswith("    "):
            yield line.strip()
    yield from (" ".join(x.split()) for x in re.findall(r"`([^`]+)`", text))


def commands(path):
    """Returns the command lines that a file tells its reader to give."""
    is_page = path.suffix == ".md"
    text = path.read_text()
    text = text if is_page else text.split('"""')[1]
    found = []
    for piece in pieces(text, is_page=is_page):
        for part in piece.split(" && "):
            # What comes after two spaces is said of the command.
            if match := COMMAND.match(part.split("  ")[0]):
                found.append(match[0])
    return found


TOLD = sorted(
    {
        (path.relative_to(ROOT).as_posix(), line)
        for path in (*PAGES, *DOCSTRINGS)
        for line in commands(path)
    }
)


class Parsed(Exception):
    """A script has read its flags."""


def check_flags(words, options):
    """Stands in for what a command does: looks at its config, and ends."""
    assert not any("=" in word for word in words), f"{words} belong to no flag"
    if "config" not in options or not options["config"].present:
        return 0
    if options["config"].flag_type() == "config object":
        command.experiment([], options)
        return 0
    load_trials(options.config)
    known = inspect.signature(LAUNCHERS[options.launcher]).parameters
    for option in options.launcher_options:
        assert option.partition("=")[0] in known, option
    return 0


@pytest.fixture
def examples(tmp_path):
    """The folder of files that the pages print, by the names that they give them."""
    for page in PAGES:
        for block in re.findall(r"(?ms)^```python\n(.*?)^```", page.read_text()):
            if match := re.search(r"--config=(\w+\.py)", block):
                (tmp_path / match[1]).write_text(block)
    (tmp_path / "WORKDIR").mkdir()
    written = json.dumps({"config": json.loads(get_config("table", 0).to_json())})
    (tmp_path / "WORKDIR" / "config.json").write_text(written)
    return tmp_path


@pytest.fixture
def give(monkeypatch, capsys, examples):
    """Checks a command line; fails where it would be refused."""
    run, parse_args = command.run, argparse.ArgumentParser.parse_args

    def run_no_further(act, argv, options, *, about):
        return run(check_flags, argv, options, about=about)

    def parse_and_stop(self, *arguments):
        parse_args(self, *arguments)
        raise Parsed

    monkeypatch.setattr(command, "run", run_no_further)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    # Else the tests end seconds after a program that they ran.
    monkeypatch.setattr(stopping, "leave", sys.exit)
    # Else a program starts itself again.
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "scripts")

    def check(line):
        words = shlex.split(filled_in(line, examples))
        monkeypatch.setattr(sys, "argv", list(words))
        try:
            code = check_words(words)
        except Parsed:
            code = 0
        except SystemExit as end:
            code = end.code
        assert code == 0, capsys.readouterr().err

    return check


def filled_in(line, examples):
    """Returns a command line with something in every place that is the reader's."""
    for name, text in STANDS_FOR.items():
        line = line.replace(name, text)
    for path in examples.iterdir():
        line = re.sub(rf"(?<=[=:]){re.escape(path.name)}\b", str(path), line)
    return line


def check_words(words):
    """Starts what a command line names, or finds that it is there; the exit code."""
    if words[0] == "efdet":
        return main(words)
    if words[0] == "python" and words[1].startswith("scripts/"):
        assert (ROOT / words[1]).is_file(), words[1]
        del sys.argv[0]
        runpy.run_path(words[1], run_name="__main__")
    elif words[0] == "python" and words[2].startswith("efdet_jax"):
        assert module_file(words[2]).is_file(), words[2]
        del sys.argv[:2]
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    elif words[0].startswith("scripts/"):
        # One of Python is only named so, and started by `python`.
        needed = os.R_OK if words[0].endswith(".py") else os.X_OK
        assert os.access(ROOT / words[0], needed), words[0]
    elif "pytest" in words:
        check_tests(words)
    else:
        for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
            assert extra in EXTRAS, extra
    return 0


def module_file(name):
    """Returns the file that `python -m` would run."""
    path = ROOT / name.replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def check_tests(words):
    """Checks that the files are there, and have a test that a word of -k chooses."""
    files = [ROOT / word for word in words if word.startswith("tests/")]
    for path in files:
        assert path.exists(), path
    if "-k" in words:
        chosen = words[words.index("-k") + 1]
        names = re.compile(rf"def test_\w*{chosen}")
        assert any(names.search(path.read_text()) for path in files), chosen


@pytest.mark.parametrize(("path", "line"), TOLD)
def test_a_command_in_a_document_can_be_given(path, line, give):
    give(line)


def test_commands_are_found_in_every_form():
    found = {line.split(" --")[0] for _, line in TOLD}
    assert {
        "python -m efdet_jax.main",
        "python -m efdet_jax.sweep",
        "efdet train",
        "python scripts/bench.py",
        "scripts/check.sh",
        "pip install",
        "python -m pytest tests/test_boxes.py",
    } <= found
    assert any("\n" not in line and "--config.scaling" in line for _, line in TOLD)


@pytest.mark.parametrize(
    "line",
    [
        "efdet trian --config=experiments/d0.py",
        "efdet train --config=experiments/d0.py --wrokdir=x",
        "efdet train --config=experiments/d0.py --config.batchsize=1",
        "efdet train --config=experiments/d00.py",
        "efdet train --config=experiments/d0.py workdir=x",
        "efdet train --config=experiments/d3.py --config.model.neck.width=8",
        "efdet sweep --config=experiments/sweeps/local.py --launcher=slrum",
        "efdet sweep --config=experiments/sweeps/local.py --launcher_options=slot=2",
        "efdet sweep --config=experiments/sweeps/locals.py",
        "python -m efdet_jax.mian --config=experiments/d0.py",
        "python -m efdet_jax.check_data --dta=x",
        "python scripts/parity.py --loud",
        "python scripts/party.py",
        "scripts/chekc.sh",
        "pytest tests/test_guards.py",
        "pytest tests/test_guard.py -k quux",
        "pip install 'efdet-jax[clouds]'",
    ],
)
def test_a_command_with_a_mistake_is_found(line, give):
    with pytest.raises((AssertionError, SystemExit, ModuleNotFoundError)):
        give(line)
