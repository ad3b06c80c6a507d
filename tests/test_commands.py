"""The command `efdet` and its verbs: what they say of themselves is short and true."""

import importlib
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import efdet_jax
from efdet_jax.__main__ import VERBS, main
from efdet_jax.errors import EXIT_CODES

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "commands.md").read_text()

# Nothing that takes a noticeable time to load.
LIGHT = """
import sys
from efdet_jax.__main__ import main
code = main(["efdet", *sys.argv[1:]])
heavy = {"absl", "jax", "numpy", "cv2", "ml_collections"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


@pytest.fixture
def efdet(capsys):
    """Runs a command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        code = main(["efdet", *arguments])
        return code, *capsys.readouterr()

    return run


def run_light(*arguments):
    return subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def flags_of(help_text):
    """The flags of a help text, in order, without their values."""
    return re.findall(r"^  --([\w.]+)", help_text, re.MULTILINE)


def section(verb):
    """What the document says of a verb."""
    return DOCUMENT.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]


def test_the_verbs_are_listed_with_what_their_modules_say_of_themselves():
    ran = run_light("--help")
    assert ran.returncode == 0, ran.stderr
    rows = re.findall(r"^  (\w+) +(.*)$", ran.stdout, re.MULTILINE)
    assert dict(rows) == {
        verb: importlib.import_module(module).__doc__.splitlines()[0]
        for verb, module in VERBS.items()
    }
    assert max(map(len, ran.stdout.splitlines())) <= 88


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ("trian is no verb", "did you mean train?")),
        (["chekc_data", "--data=x"], ("did you mean check_data?",)),
        (["quux"], ("quux is no verb", "train, eval, predict")),
        ([], ("a verb is missing", "train, eval, predict")),
    ],
)
def test_a_verb_that_is_none_is_answered_in_a_line_at_once(arguments, words):
    ran = run_light(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_the_version_is_that_of_pyproject():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ran = run_light("--version")
    assert (ran.returncode, ran.stdout) == (0, f"{stated}\n")
    with pytest.raises(AttributeError, match="no attribute 'version'"):
        _ = efdet_jax.version


def test_the_package_itself_runs_as_the_command_does():
    ran = subprocess.run(
        [sys.executable, "-m", "efdet_jax", "sweeep"],
        env={k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr == "error: sweeep is no verb of efdet: did you mean sweep?\n"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_says_what_a_verb_is_for_and_every_flag_once(verb, word, efdet):
    code, out, err = efdet(verb, word)
    assert (code, err) == (0, "")
    assert out.startswith(importlib.import_module(VERBS[verb]).__doc__.splitlines()[0])
    assert f"    efdet {verb} --" in out
    assert max(map(len, out.splitlines())) <= 88
    flags = flags_of(out)
    assert len(flags) == len(set(flags))
    assert flags[-1] == "help"
    # What a flag is for begins in one column.
    table = out.partition("\nFlags:\n")[2].splitlines()
    beginnings = {
        re.match(r"  --\S+  +|  +", row).end() for row in table if "  " in row
    }
    assert len(beginnings - {2}) == 1, out


@pytest.mark.parametrize("verb", VERBS)
def test_the_document_has_every_flag_of_a_verb_and_no_other(verb, efdet):
    _, out, _ = efdet(verb, "--help")
    listed = re.findall(r"^\| `--([\w.]+)", section(verb), re.MULTILINE)
    assert sorted([*listed, "help"]) == sorted(flags_of(out))


def test_the_document_has_every_verb_and_no_other():
    table = DOCUMENT.partition("| verb |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(VERBS)


def test_the_document_has_every_exit_code_and_its_error():
    table = DOCUMENT.partition("| code |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", table, re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {
        error.__name__: code for error, code in EXIT_CODES.items()
    }
    known = {int(code) for code, _ in rows} | {0}
    for verb in VERBS:
        (stated,) = re.findall(r"^Exit codes: (.*)\.$", section(verb), re.MULTILINE)
        assert {int(code) for code in stated.split(", ")} <= known


@pytest.mark.parametrize("flag", ["--launcher=slurm", "--dry_run", "--workdir=x"])
def test_a_report_refuses_flags_that_would_do_nothing(flag, efdet):
    code, out, err = efdet("sweep", "report", "somewhere", flag)
    assert (code, out) == (2, "")
    assert flag.partition("=")[0] in err
