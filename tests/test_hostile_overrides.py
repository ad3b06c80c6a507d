"""What a command line says of a config's keys is data, whatever it is."""

import pathlib

import pytest
from hostile.bounded import in_time

from efdet_jax import command

TINY = pathlib.Path(__file__).with_name("tiny.py")
RUN = "__import__('pathlib').Path('ran').touch()"
VALUES = (
    *(RUN, f"({RUN},)", f"[{RUN}]", f"{{'a': {RUN}}}", f"f'{{{RUN}}}'"),
    *(f"lambda: {RUN}", f"(1, {RUN})"),
    *("open('/etc/passwd').read()", "().__class__.__base__.__subclasses__()"),
    *("9**9**9", "'a'*10**10", "(1,)*10**10", "1e999", "-1e999", "nan", "1j"),
    *("9" * 10**4, "0x" + "f" * 10**4, "1." + "9" * 10**4, "1_0", "0b1", "True"),
    *("(" * 10**4, "(" * 150 + ")" * 150, "[" * 10**4, "{" * 10**4, "'" * 10**4),
    *("-" * 10**4 + "1", "1+" * 10**4 + "1", "(" + "1," * 10**4 + ")", "1if 1else 2"),
    *("\0", "\n", "\x1b[2J", "\ud800", "", " ", ",", "a" * 10**5, "{}", "None", "..."),
)
KEYS = (
    *("steps", "optimizer.learning_rate", "image_size", "model.levels"),
    *("data.train", "model"),
)
ODD_KEYS = (
    *("__class__", "__dict__", "model.__class__", "steps.__class__", "model.__init__"),
    *("model.neck.__init__.__globals__['x']", "__class__.__init__.__globals__['json']"),
    *("_fields", "_fields['steps']", "image_size[0]", "model['neck']", "model[:]"),
    *("to_json", "lock", "unlock", "update", "_locked", "_type_safe"),
    *(f"model[{RUN}]", f"model.{RUN}", "", ".", "..", "[", "]", "a" * 10**4),
    *("." * 10**4, "[" * 10**4, "a." * 10**4 + "a", "\0", "\ud800", "\x1b[2J"),
)


@pytest.fixture
def said(monkeypatch, capsys, tmp_path):
    """Reads an override; returns the exit code, and what is said of it."""
    monkeypatch.chdir(tmp_path)

    def run(override):
        argv = ["main", f"--config={TINY}", override]
        options = command.new_options(argv, config="Experiment.")

        def act(words, options):
            command.experiment(words, options)
            return 0

        with in_time():
            code = command.run(act, argv, options, about="")
        printed = capsys.readouterr()
        assert not list(tmp_path.iterdir()), "it was run"
        assert printed.out == ""
        assert code in (0, 2)
        assert (code == 0) == (printed.err == "")
        assert len(printed.err) < 2000
        assert printed.err.rstrip("\n").isprintable()
        return code

    return run


@pytest.mark.parametrize("key", KEYS)
def test_a_value_is_a_literal_or_refused(key, said):
    for value in VALUES:
        said(f"--config.{key}={value}")


def test_a_key_is_one_of_the_config_or_refused(said):
    for key in ODD_KEYS:
        assert said(f"--config.{key}=1") == 2, key


def test_a_config_that_is_no_file_is_refused(said):
    for path in ("/", "/dev/null", "absent.py", "\0", "a" * 10**4):
        assert said(f"--config={path}") == 2, path
