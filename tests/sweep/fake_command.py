"""A command that a test puts on PATH in place of one that needs a cloud."""

import json
import os
import sys

# Writes down what it was called with, then does what the test says.
_SCRIPT = """#!{python}
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
with (folder / "{name}.calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
{body}
"""


class FakeCommand:
    """A Python program called `name`, first on PATH."""

    def __init__(self, name, folder, monkeypatch, body=""):
        self._calls = folder / f"{name}.calls"
        path = folder / name
        path.write_text(_SCRIPT.format(python=sys.executable, name=name, body=body))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def calls(self):
        """Returns the arguments of each call so far."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [json.loads(line) for line in lines]
