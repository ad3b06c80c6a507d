"""Compiled programs, read from their text."""

import re
from typing import NamedTuple

CONTAINERS = ("while", "call", "conditional")
"""What runs other instructions, that the trace has too."""


class Instruction(NamedTuple):
    """One line of a compiled program."""

    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    text: str
    """All of the line."""


class Program(NamedTuple):
    """A compiled program, read from its text."""

    name: str
    instructions: dict[str, Instruction]
    computations: dict[str, list[Instruction]]
    files: dict[int, str]
    """By number of a stack frame: the source files on its way from the innermost."""


def read_program(text: str) -> Program:
    """Returns the program that `compiled.as_text()` shows."""
    heading = re.compile(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
    line_of_code = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)")
    computations: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in text.splitlines():
        if found := line_of_code.match(line):
            name, kind, opcode, rest = found.groups()
            operands = tuple(re.findall(r"%([\w.\-]+)", rest.partition(")")[0]))
            body.append(Instruction(name, kind, opcode, operands, line))
        elif found := heading.match(line):
            body = computations.setdefault(found[1], [])
    instructions = {one.name: one for body in computations.values() for one in body}
    name = re.match(r"HloModule ([\w.\-]+)", text)
    return Program(name[1] if name else "", instructions, computations, _files(text))


def _files(text: str) -> dict[int, str]:
    """Returns the source files of every stack frame that the text has tables of."""
    names = dict(re.findall(r'^(\d+) "(.*)"$', _section(text, "FileNames"), re.M))
    locations = dict(
        re.findall(r"^(\d+) {file_name_id=(\d+)", _section(text, "FileLocations"), re.M)
    )
    files = {0: ""}
    # A frame comes after its parent, whose number is given plus one.
    for number, location, parent in re.findall(
        r"^(\d+) {file_location_id=(\d+) parent_frame_id=(\d+)}",
        _section(text, "StackFrames"),
        re.M,
    ):
        outer = files.get(int(parent) - 1, "")
        files[int(number)] = f"{names.get(locations.get(location, ''), '')} {outer}"
    return files


def _section(text: str, heading: str) -> str:
    found = re.search(rf"^{heading}\n(.*?)\n\n", text, re.M | re.S)
    return found[1] if found else ""


def insides(program: Program, one: Instruction) -> list[Instruction]:
    """Returns the instructions that a fusion consists of, or itself."""
    called = re.search(r"calls=%?([\w.\-]+)", one.text)
    if one.opcode != "fusion" or not called:
        return [one]
    body = program.computations.get(called[1], [])
    return [inner for outer in body for inner in insides(program, outer)]


def target(one: Instruction) -> str:
    """Returns what a call of another program's code calls, or nothing."""
    found = re.search(r'custom_call_target="([^"]*)"', one.text)
    return found[1] if found else ""
