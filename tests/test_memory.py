"""The program starts again once, keeping its memory, and otherwise as before."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from efdet_jax.memory import keep_memory
print("start", flush=True)
keep_memory(sys.orig_argv)
print(os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


CONSOLE_SCRIPT = f"#!{sys.executable}\n{PROGRAM}"
"""As pip writes one: the kernel starts it with the interpreter of its first line."""


def output(environment: dict[str, str], *program: str) -> list[str]:
    ran = subprocess.run(
        [*(program or (sys.executable, "-c", PROGRAM)), "--flag=a b"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


@pytest.fixture
def console_script(tmp_path, monkeypatch):
    """The name of a command that is found on PATH."""
    path = tmp_path / "console-script"
    path.write_text(CONSOLE_SCRIPT)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return path.name


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
@pytest.mark.parametrize("is_installed", [False, True])
def test_a_program_starts_again_once_with_its_arguments(is_installed, console_script):
    plain = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    *starts, end = output(plain, *([console_script] if is_installed else []))
    assert starts == ["start", "start"]
    settings, arguments = end.split(maxsplit=1)
    assert {"glibc.malloc.hugetlb=1", "glibc.malloc.mmap_max=0"} <= set(
        settings.split(":")
    )
    assert arguments == "['--flag=a b']"


def test_what_the_user_set_is_left_alone():
    chosen = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert output(chosen) == ["start", "glibc.malloc.hugetlb=0 ['--flag=a b']"]
