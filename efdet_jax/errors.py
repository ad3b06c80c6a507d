"""The exceptions that are shown to a person as one line, without a traceback."""

import sys

_LONGEST = 1500
"""Characters of a message; what a file says in it can be of any length."""


def printable(text: str) -> str:
    """Returns a text with what cannot be shown written as Python does in `ascii`.

    What comes from a file may end the line, clear the terminal, or be no Unicode.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class UsageError(Exception):
    """A mistake in what the user gave: names the thing, the value and the remedy.

    Its text is one printable line. Of a long one the middle goes: the thing stands at
    the beginning, the remedy at the end.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
        return printable(text)


class Diverged(Exception):
    """Training produced a loss that is not a number."""


class Interrupted(Exception):
    """A signal stopped the run at a checkpoint from which it can go on."""


class OutOfMemory(Exception):
    """The devices have not the memory that a step needs."""


class HostLost(Exception):
    """Another process of the run has ended, and this one cannot go on alone."""


class NotEvaluated(Exception):
    """The last evaluation failed; the checkpoint that it was to score is there."""


class InputStopped(Exception):
    """No more images come: what loads them hangs, or has died."""


class NotSaved(Exception):
    """A checkpoint could not be written; those before it are as they were."""


class NotExported(Exception):
    """A format's file finds something else than the model, or could not be made."""


EXIT_CODES: dict[type[Exception], int] = {
    UsageError: 2,
    Diverged: 1,
    OutOfMemory: 3,
    NotSaved: 4,
    NotEvaluated: 5,
    NotExported: 6,
    Interrupted: 42,
    InputStopped: 42,
    HostLost: 42,
}
"""What the process returns; launchers restart on 42. So they do where the input
stopped: mostly a disk, a network or a machine hangs, and a new start is rid of it."""


def tell(error: Exception) -> int:
    """Says an error in one line on stderr; returns its exit code."""
    sys.stderr.write(f"error: {error}\n")
    return EXIT_CODES[type(error)]
