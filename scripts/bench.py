"""Our time and memory beside that of the EfficientDets that people can install.

python scripts/bench.py [--effdet=PYTHON] [--automl=PYTHON --automl_source=DIR]
    [--only=forward,train] [--turns=9] [--threads=2] [--device=gpu --peak_tflops=989]

Ours and every peer run each case by turns, a process each, all on the same cores:
medians of the turns after warm-up, and the ratio of ours to the best peer's, turn by
turn. Starting and COCO's figures take long and get fewer turns; the output says how
many. effdet's start reads no data and writes no log, ours does. On a GPU the sizes D0
to D4 are measured in bfloat16 against compiled ones; without one, nothing is.

--effdet: the interpreter of an environment with torch, timm, torchvision and effdet.
--automl: that of one with TensorFlow 2.15 and what google/automl asks for;
--automl_source: its folder "efficientdet".
Without them ours is measured alone, but for what our own environment has of peers.

One JSON line per case, then a table. Ends with one line if the processes say that they
use different threads, dtypes or devices, or come to different figures.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
CONTENDERS = ROOT / "scripts" / "contenders"
OURS = "efdet_jax"
SAME = ("threads", "dtype", "device", "figures")
"""What must be equal for times to be compared."""


class Kind(NamedTuple):
    """What cases of a kind have in common."""

    title: str
    goal: str
    """Ratio of our time to the best peer's, or seconds; of the issue on speed."""
    at_most: str
    most_turns: int = 1000
    warm_up: int = 2


_NETWORK = "D{phi}, {size}², batch {batch}"
KINDS = {
    "forward": Kind(f"forward, {_NETWORK}", "0.7", "1.0"),
    "detect": Kind(f"forward + post-processing, {_NETWORK}", "0.6", "0.9"),
    "train": Kind(f"training step, {_NETWORK}", "0.7", "1.0"),
    "cold_start": Kind(
        f"start to first finished step, cold cache, {_NETWORK}", "40 s", "", 3, 1
    ),
    "warm_start": Kind(
        f"start to first finished step, warm cache, {_NETWORK}", "12 s", "", 5, 1
    ),
    "coco": Kind("COCO AP, {batch} images of 100 detections", "0.02", "0.05", 3),
    "input": Kind("a batch of input, {size}², batch {batch}", "0.6", "0.8", warm_up=1),
}


class Case(NamedTuple):
    """What is timed."""

    kind: str
    """A key of `KINDS`."""
    phi: int
    size: int
    batch: int

    @property
    def title(self) -> str:
        """What the table calls it."""
        return KINDS[self.kind].title.format(**self._asdict())


CASES = (
    Case("forward", 0, 512, 1),
    Case("forward", 0, 512, 8),
    Case("detect", 0, 512, 8),
    Case("train", 0, 512, 4),
    Case("train", 0, 512, 8),
    Case("train", 0, 256, 8),
    Case("forward", 1, 640, 1),
    Case("forward", 3, 896, 1),
    Case("forward", 4, 1024, 1),
    Case("cold_start", 0, 512, 4),
    Case("warm_start", 0, 512, 4),
    Case("coco", 0, 0, 5000),
    Case("input", 0, 512, 16),
)
MEMORY_CASE = Case("train", 0, 512, 8)
"""The case whose peak memory has a goal, that of its time."""
GPU_CASES = tuple(
    Case(kind, phi, 512 + 128 * phi, batch)
    for kind in ("forward", "train")
    for phi in range(5)
    for batch in (1, 32)
)


class Failed(Exception):
    """A contender ended where it should have answered."""


class Contender:
    """A process that runs a case whenever it is its turn."""

    def __init__(self, command: list[str], setting: Mapping[str, Any], threads: int):
        """Starts it with what it reads from its command line, and waits for it."""
        cores = sorted(os.sched_getaffinity(0))[:threads]
        on_gpu = setting["device"] == "gpu"
        # Several processes share the GPU; a CPU is asked for even beside one.
        environment = (
            {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
            if on_gpu
            else {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
        )
        self._name = setting["name"]
        self._process = subprocess.Popen(
            [*command, json.dumps(setting)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.ready = self._read()
        self.about = self.ready["about"]
        self.seconds: list[float] = []

    def turn(self) -> None:
        """Runs the case once."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # Reading says what is wrong.
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        self.seconds.append(self._read()["seconds"])

    def end(self) -> float:
        """Ends the process; returns the most memory that it had, in GB."""
        self.close()
        return self._read()["peak_gb"]

    def close(self) -> None:
        """Lets the process end."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _read(self) -> Mapping[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            word, _, message = line.partition(" ")
            if word == "turn":
                answer = json.loads(message)
                if "refusal" in answer:
                    raise SystemExit(f"{self._name}: {answer['refusal']}")
                return answer
        raise Failed(
            f"{self._name} ended without an answer, code {self._process.wait()}"
        )


def line_up(
    case: Case, args: argparse.Namespace
) -> Iterable[tuple[str, list[str], dict[str, Any]]]:
    """Yields the name, command and own settings of all that can run a case."""
    ours, effdet, automl = (
        [interpreter, str(CONTENDERS / script)]
        for interpreter, script in (
            (sys.executable, "ours.py"),
            (args.effdet, "effdet_torch.py"),
            (args.automl, "automl_tf.py"),
        )
    )
    source = {"source": args.automl_source}
    if case.kind in ("cold_start", "warm_start"):
        starting = [sys.executable, str(CONTENDERS / "starting.py")]
        first = case._asdict() | common(case, args) | {"kind": "train", "compile": ""}
        yield OURS, starting, {"command": main_program(case), "said": "first step"}
        for name, peer in (("effdet", effdet), ("google/automl", automl)):
            if peer[0]:
                command = [*peer, json.dumps(first | source)]
                yield name, starting, {"command": command, "said": "turn {"}
    elif case.kind in ("coco", "input"):
        script, peer, package = {
            "coco": ("figures.py", "pycocotools", "pycocotools"),
            "input": ("loading.py", "tf.data", "tensorflow"),
        }[case.kind]
        for name in (OURS, *([peer] if importlib.util.find_spec(package) else [])):
            yield name, [sys.executable, str(CONTENDERS / script)], {}
    else:
        yield OURS, ours, {}
        if args.effdet:
            for name, mode in compilations(case, args.device).items():
                yield name, effdet, {"compile": mode}
        if args.automl and args.device == "cpu" and case.kind != "detect":
            yield "google/automl", automl, source


def compilations(case: Case, device: str) -> dict[str, str]:
    """Returns torch's ways to run a case that may be the best: their modes by name."""
    plain, graphs = {"effdet": ""}, {"effdet, CUDA graphs": "reduce-overhead"}
    fused = {"effdet, torch.compile": "default"}
    if device == "gpu":
        return fused if case.kind == "train" else fused | graphs
    # The compiled training step takes minutes to compile and is the slower one, but
    # the one that needs the least memory.
    is_slower = case.kind == "train" and case != MEMORY_CASE
    return plain if is_slower else plain | fused


def main_program(case: Case) -> list[str]:
    """Returns the command that trains on drawn images, in the folder "{folder}"."""
    return [
        *(sys.executable, "-m", "efdet_jax.main", "--workdir={folder}"),
        f"--config={ROOT}/experiments/d{case.phi}.py",
        "--config.data.train=shapes:train",
        "--config.data.val=shapes:val",
        "--config.data.shapes.num_train=256",
        "--config.data.shapes.num_val=1",
        "--config.model.num_classes=0",
        "--config.scaling.source=free",
        f"--config.image_size={case.size},{case.size}",
        f"--config.batch_size={case.batch}",
        "--config.steps=1",
    ]


def common(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """Returns what all contenders are told."""
    on_gpu = args.device == "gpu"
    return {
        "dtype": "bfloat16" if on_gpu else "float32",
        "device": args.device,
        # In a turn: what takes some milliseconds is seldom done once.
        "runs": 10 if on_gpu or case.batch == 1 else 1,
        "warm_up": KINDS[case.kind].warm_up,
    }


def measured(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """Returns the row of a case.

    Raises:
      Failed: a contender ended early.
    """
    started: dict[str, Contender] = {}
    with contextlib.ExitStack() as stack:
        for name, command, own in line_up(case, args):
            setting = case._asdict() | common(case, args) | own | {"name": name}
            started[name] = Contender(command, setting, args.threads)
            stack.callback(started[name].close)
        for key in SAME:
            said = {name: each.about.get(key) for name, each in started.items()}
            if len(set(map(json.dumps, said.values()))) > 1:
                raise SystemExit(f"cannot be compared, their {key} differ: {said}")
        turns = min(args.turns, KINDS[case.kind].most_turns)
        for _ in range(turns):
            for each in started.values():
                each.turn()
        peaks = {name: each.end() for name, each in started.items()}
    seconds = {name: statistics.median(each.seconds) for name, each in started.items()}
    best, leanest = best_peer(seconds), best_peer(peaks)
    about = started[OURS].about
    # Multiply-adds are two operations; the backward pass has twice as many.
    operations = 2 * about.get("multiply_adds", 0) * (3 if case.kind == "train" else 1)
    return case._asdict() | {
        **{key: about[key] for key in ("threads", "dtype", "device")},
        "turns": turns,
        "seconds": rounded(seconds, 5),
        "images_per_second": rounded(
            {
                name: case.batch / value
                for name, value in seconds.items()
                if "start" not in case.kind
            },
            1,
        ),
        "utilisation": rounded(
            {
                name: operations * case.batch / value / args.peak_tflops / 1e12
                for name, value in seconds.items()
                if operations and args.peak_tflops
            },
            4,
        ),
        "warm_up_seconds": rounded(
            {name: each.ready["warm_up_seconds"] for name, each in started.items()}, 1
        ),
        "peak_gb": rounded(peaks, 2),
        "versions": {name: each.about["versions"] for name, each in started.items()},
        "best_peer": best,
        "ratio": best
        and round(
            statistics.median(
                ours / theirs
                for ours, theirs in zip(
                    started[OURS].seconds, started[best].seconds, strict=True
                )
            ),
            3,
        ),
        "leanest_peer": leanest,
        "memory_ratio": leanest and round(peaks[OURS] / peaks[leanest], 3),
    }


def best_peer(values: Mapping[str, float]) -> str | None:
    """Returns the peer with the lowest value, if there is a peer."""
    peers = {name: value for name, value in values.items() if name != OURS}
    return min(peers, key=peers.__getitem__, default=None)


def rounded(values: Mapping[str, float], digits: int) -> dict[str, float]:
    """Returns the values as a line of JSON shows them."""
    return {name: round(value, digits) for name, value in values.items()}


def table(rows: list[dict[str, Any]]) -> str:
    """Returns the rows as Markdown."""
    lines = [
        "| case | goal | at most | ratio | efdet_jax | peers | turns |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        case = Case(*(row[field] for field in Case._fields))
        kind = KINDS[case.kind]
        cells = {name: cell(row, name) for name in row["seconds"]}
        of_host = row["device"] == "cpu"
        goals = (kind.goal, kind.at_most) if of_host else ("", "")
        lines.append(line(case.title, goals, row["ratio"], cells, row["turns"]))
        if case.kind == "train":
            cells = {name: f"{peak:.2f} GB" for name, peak in row["peak_gb"].items()}
            goals = goals if case == MEMORY_CASE else ("", "")
            title = f"peak memory, {case.title}"
            lines.append(line(title, goals, row["memory_ratio"], cells, row["turns"]))
    return "\n".join(lines)


def line(
    title: str,
    goals: tuple[str, str],
    ratio: float | None,
    cells: dict[str, str],
    turns: int,
) -> str:
    """Returns a line of the table; `cells` are those of the contenders."""
    peers = "; ".join(f"{name} {said}" for name, said in cells.items() if name != OURS)
    shown = "" if ratio is None else f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}"
    return f"| {' | '.join((title, *goals, shown, cells[OURS], peers, str(turns)))} |"


def cell(row: dict[str, Any], name: str) -> str:
    """Returns what a contender needed for a row."""
    needed = f"{row['seconds'][name]:.4g} s, {row['peak_gb'][name]:.1f} GB"
    if row["device"] != "cpu":
        needed += f", {row['images_per_second'][name]:.0f} images/s"
    if name in row["utilisation"]:
        needed += f", {row['utilisation'][name]:.1%} of peak"
    return needed


def parsed() -> argparse.Namespace:
    """Returns the command line; ends with one line where it cannot be followed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--effdet", default="", help="interpreter that has effdet")
    parser.add_argument("--automl", default="", help="interpreter with TensorFlow 2.15")
    parser.add_argument("--automl_source", default="", help="automl's efficientdet")
    parser.add_argument("--only", default="", help=f"some of {','.join(KINDS)}")
    parser.add_argument("--case", default="", help="KIND,PHI,SIZE,BATCH, one of yours")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    parser.add_argument("--peak_tflops", type=float, default=0.0, help="of the device")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    if not 0 < args.threads <= cores:
        raise SystemExit(f"--threads={args.threads}: there are {cores} cores here")
    if args.turns < 1:
        raise SystemExit(f"--turns={args.turns}: at least 1")
    check_peer("--effdet", args.effdet, ("torch", "timm", "torchvision", "effdet"))
    check_peer("--automl", args.automl, ("tensorflow",))
    if args.automl and not pathlib.Path(args.automl_source, "tf2").is_dir():
        raise SystemExit(f"--automl_source={args.automl_source}: it has no folder tf2")
    return args


def check_peer(flag: str, interpreter: str, packages: tuple[str, ...]) -> None:
    """Ends with one line if an interpreter is given and lacks something."""
    if not interpreter:
        return
    if not shutil.which(interpreter):
        raise SystemExit(f"{flag}={interpreter}: there is no such program")
    code = (
        "from importlib.util import find_spec; "
        f"print(*(name for name in {packages} if not find_spec(name)))"
    )
    ran = subprocess.run([interpreter, "-c", code], capture_output=True, text=True)
    if ran.returncode or ran.stdout.strip():
        lacks = ran.stdout.strip() or "a Python that runs"
        raise SystemExit(f"{flag}={interpreter}: it lacks {lacks}")


def chosen(args: argparse.Namespace) -> list[Case]:
    """Returns the cases that the command line asks for; ends with a line if none."""
    if args.case:
        kind, *numbers = args.case.split(",")
        if kind in KINDS and len(numbers) == 3 and all(map(str.isdigit, numbers)):
            return [Case(kind, *map(int, numbers))]
        raise SystemExit(f"--case={args.case}: KIND,PHI,SIZE,BATCH, KIND of {[*KINDS]}")
    cases = GPU_CASES if args.device == "gpu" else CASES
    kinds = args.only.split(",") if args.only else [*KINDS]
    for kind in kinds:
        if args.only and kind not in {case.kind for case in cases}:
            known = ",".join(dict.fromkeys(case.kind for case in cases))
            raise SystemExit(f"--only={kind}: on this device there are {known}")
    return [case for case in cases if case.kind in kinds]


def main() -> None:
    """Prints a line for each case, and the table."""
    args = parsed()
    rows, failures = [], []
    for case in chosen(args):
        try:
            rows.append(measured(case, args))
            print(json.dumps(rows[-1]), flush=True)
        except Failed as failure:  # Too little memory for one is no reason to stop.
            failures.append(f"{case.title}: {failure}")
            print(failures[-1], file=sys.stderr, flush=True)
    print(table(rows))
    if failures:
        raise SystemExit(f"{len(failures)} cases failed: {'; '.join(failures)}")


if __name__ == "__main__":
    main()
