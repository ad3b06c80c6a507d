"""Writes the workdir of a sweep whose results follow a known law."""

import json

import numpy as np

LAW = {"asymptote": 0.62, "gap": 0.16, "pivot": 60e6, "exponent": 0.5}


def value(multiply_adds):
    return LAW["asymptote"] - LAW["gap"] * (multiply_adds / LAW["pivot"]) ** (
        -LAW["exponent"]
    )


def result(multiply_adds, ap, **changes):
    return {
        "AP": ap,
        "AP50": ap and min(1.0, 1.4 * ap),
        "APl": None,
        "params": int(1e6 * (multiply_adds / 50e6) ** 0.6),
        "multiply_adds": int(multiply_adds),
        "latency_ms": 0.4 * (multiply_adds / 10e6) ** 0.7,
        "images_per_second": 90.0,
        "seconds": 120.0,
        "step": 400,
        "status": "finished",
        "device_kind": "cpu",
        "seed": 0,
        "versions": {"jax": "0.10.2"},
    } | changes


def trial(name, family="compound", point="phi -2", **overrides):
    return {
        "name": name,
        "config": "experiments/sweeps/trial.py",
        "overrides": overrides,
        "family": family,
        "point": point,
        "resources": {"accelerator": "", "cpus": 2, "memory_gb": 4, "hours": 1.0},
    }


def write(workdir, rows):
    """Writes a sweep of (trial, result); a result may be text, or None for no file."""
    workdir.mkdir(parents=True)
    trials = {"trials": [row for row, _ in rows]}
    (workdir / "sweep.json").write_text(json.dumps(trials))
    for row, outcome in rows:
        if outcome is not None:
            (workdir / row["name"]).mkdir()
            text = outcome if isinstance(outcome, str) else json.dumps(outcome)
            (workdir / row["name"] / "result.json").write_text(text)
    return workdir


FAMILIES = {
    "compound": (0.0, 1.0),
    "resolution": (0.004, 0.72),
    "backbone": (0.012, 0.6),
    "BiFPN": (0.003, 0.5),
}
"""How far below the law each lies at its first size, and how fast it rises from it."""


def write_single_axis(workdir, *, noise=0.004, phis=range(-5, 1), seeds=3):
    """Writes a sweep of four families over seeds that is still on its way."""
    rng = np.random.default_rng(5)
    rows = []
    for family, (below, rise) in FAMILIES.items():
        for place, phi in enumerate(phis):
            cost = 6e6 * 1.9**place
            first = value(6e6)
            mean = first - below + rise * (value(cost) - first)
            for seed in range(seeds):
                name = f"{family}-{place}-seed{seed}"
                point = f"phi {phi:g}" if family == "compound" else f"x{1.9**place:.2g}"
                made = trial(name, family, point, seed=seed, **{"scaling.phi": phi})
                ap = mean + noise * rng.standard_normal()
                rows.append((made, result(cost, ap, seed=seed)))
    rows[2] = rows[2][0], result(6e6, None, status="diverged", step=30)
    rows[5] = rows[5][0], '{"AP": 0.3, "multi'
    rows[-1] = rows[-1][0], result(1e8, 0.1, status="running", step=120)
    rows[-2] = rows[-2][0], None
    begun = trial("compound-6-seed0", "compound", "phi 1", seed=0)
    rows.append((begun, result(6e6 * 1.9**6, 0.2, status="running", step=80)))
    return write(workdir, rows)
