"""The exceptions that are shown to a person as one line, without a traceback."""


class UsageError(Exception):
    """A mistake in what the user gave: names the thing, the value and the remedy."""


class Diverged(Exception):
    """Training produced a loss that is not a number."""


class Interrupted(Exception):
    """A signal stopped the run at a checkpoint from which it can go on."""


class OutOfMemory(Exception):
    """The devices have not the memory that a step needs."""


class NotSaved(Exception):
    """A checkpoint could not be written; those before it are as they were."""


class Mismatch(Exception):
    """An exported detector finds something else than the model that it was made of."""


EXIT_CODES: dict[type[Exception], int] = {
    UsageError: 2,
    Diverged: 1,
    OutOfMemory: 3,
    NotSaved: 4,
    Mismatch: 5,
    Interrupted: 42,
}
"""What the process returns; launchers restart on 42."""
