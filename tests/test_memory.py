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


def output(environment: dict[str, str]) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--flag=a b"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_a_program_starts_again_once_with_its_arguments():
    plain = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    *starts, end = output(plain)
    assert starts == ["start", "start"]
    settings, arguments = end.split(maxsplit=1)
    assert {"glibc.malloc.hugetlb=1", "glibc.malloc.mmap_max=0"} <= set(
        settings.split(":")
    )
    assert arguments == "['--flag=a b']"


def test_what_the_user_set_is_left_alone():
    chosen = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert output(chosen) == ["start", "glibc.malloc.hugetlb=0 ['--flag=a b']"]
