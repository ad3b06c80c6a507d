"""Running the trials of a sweep until none is left that could still come to an end."""

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from efdet_jax.errors import Interrupted, UsageError
from efdet_jax.records import read_record
from efdet_jax.replacing import replace_text
from efdet_jax.sweep import attempt, standing
from efdet_jax.sweep.board import Board
from efdet_jax.sweep.launchers.launcher import Launcher
from efdet_jax.sweep.loading import main_arguments
from efdet_jax.sweep.standing import ENDED, Standing
from efdet_jax.sweep.trials import Job, Trial

SECONDS_BETWEEN_LOOKS = 2.0


def enter(workdir: Path, trials: Sequence[Trial]) -> None:
    """Writes down which trials a workdir has; those that it had stay.

    Raises:
      UsageError: it has a trial of one of these names that is another one.
    """
    path = workdir / "sweep.json"
    rows = [json.loads(json.dumps(_row(trial))) for trial in trials]
    try:
        known = {row["name"]: row for row in read_record(path)["trials"]}
    except FileNotFoundError:
        known = {}
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is damaged: bring it back from a copy, or use another --workdir"
        ) from error
    for row in rows:
        old = known.get(row["name"], row)
        for key in ("config", "overrides", "family", "point"):
            if (was := old.get(key)) != row[key]:
                raise UsageError(
                    f"--workdir={workdir} belongs to another sweep: its trial "
                    f"{row['name']} has {key} {was}, not {row[key]}: use another "
                    "--workdir"
                )
    workdir.mkdir(parents=True, exist_ok=True)
    new = {row["name"]: row for row in rows}
    text = json.dumps({"trials": list((known | new).values())}, indent=2)
    replace_text(path, text + "\n")


def _row(trial: Trial) -> dict:
    return trial._asdict() | {"resources": trial.resources._asdict()}


def standings_of(workdir: Path, trials: Sequence[Trial]) -> dict[str, Standing]:
    """Returns how each trial stands, by name."""
    return {trial.name: standing.read(workdir / trial.name) for trial in trials}


def run(
    workdir: Path,
    trials: Sequence[Trial],
    launcher: Launcher,
    *,
    when_one_ends: Callable[[], object],
) -> dict[str, Standing]:
    """Runs every trial that has not ended, and waits for those that others run.

    Args:
      workdir: of the sweep.
      trials: from `loading.load_trials`.
      launcher: where they run.
      when_one_ends: called when more trials have ended than before.

    Returns:
      How each has ended.

    Raises:
      Interrupted: by a signal; what runs on this machine has written a checkpoint.
      UsageError: see `enter`, and the launcher.
    """
    enter(workdir, trials)
    for name, given_up in standings_of(workdir, trials).items():
        # Whoever says the command again has mended what was missing.
        if given_up.state in ("failed", "refused"):
            attempt.forgive(workdir / name)
    board = Board()
    before = {
        number: signal.signal(number, _interrupt)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    num_ended = None
    try:
        while True:
            alive = set(launcher.alive())
            standings = standings_of(workdir, trials)
            board.show(standings)
            ended = sum(s.state in ENDED for s in standings.values())
            if num_ended not in (None, ended):
                when_one_ends()
            num_ended = ended
            to_start = [
                trial
                for trial in trials
                if standings[trial.name].state in ("waiting", "stopped")
                and trial.name not in alive
            ]
            running = [s for s in standings.values() if s.state == "running"]
            if not alive and not to_start and not running:
                return standings
            free = min(launcher.slots - len(alive), len(to_start))
            for trial in to_start[: int(free)]:
                launcher.start(_job(workdir, trial))
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except Interrupted:
        launcher.stop()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _job(workdir: Path, trial: Trial) -> Job:
    folder = workdir / trial.name
    folder.mkdir(exist_ok=True)
    command = (
        *(sys.executable, "-m", "efdet_jax.sweep.attempt"),
        *(str(folder), *main_arguments(trial)),
    )
    return Job(trial.name, command, folder, trial.resources)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Interrupted("the sweep was stopped; the same command goes on from there")
