import json
import math

import made_sweep
import pytest
from made_sweep import result, trial, write

from efdet_jax.errors import UsageError
from efdet_jax.sweep.report.curves import make_curves
from efdet_jax.sweep.report.runs import choose_metric, read_runs


def test_every_trial_is_read_whatever_became_of_it(tmp_path):
    outcomes = {
        "done": result(1e7, 0.4),
        "broken": result(1e7, None, status="diverged", latency_ms=None),
        "half": '{"AP": 0.4, "par',
        "list": "[1, 2]",
        "nothing": "",
        "unborn": None,
        "bare": {"AP": 0.1, "is_best": True},
    }
    workdir = write(tmp_path / "s", [(trial(name), v) for name, v in outcomes.items()])
    runs = {run.name: run for run in read_runs([workdir])}
    assert {name: run.status for name, run in runs.items()} == {
        "done": "finished",
        "broken": "diverged",
        "half": "unreadable",
        "list": "unreadable",
        "nothing": "unreadable",
        "unborn": "waiting",
        "bare": "unreadable",
    }
    assert runs["done"].figures["multiply_adds"] == 1e7
    assert "AP" not in runs["broken"].figures
    assert runs["bare"].figures == {"AP": 0.1}


def test_seeds_of_one_point_become_mean_and_deviation(tmp_path):
    values = (0.40, 0.44, 0.45)
    rows = [
        (trial(f"a{i}", seed=i), result(1e7, ap, latency_ms=1.0 + i))
        for i, ap in enumerate(values)
    ]
    rows += [(trial("b", point="phi -1"), result(2e7, 0.5, latency_ms=None))]
    rows += [(trial("c"), result(1e7, 0.1, status="running"))]
    (curve,) = make_curves(read_runs([write(tmp_path / "s", rows)]), "AP")
    small, large = curve.points
    assert (small.label, small.seeds, small.latency_ms) == ("phi -2", 3, 2.0)
    assert small.mean == pytest.approx(0.43)
    # Deviations 0.03, 0.01, 0.02 from the mean: squares add to 0.0014, over 2.
    assert small.deviation == pytest.approx(math.sqrt(0.0007))
    assert (large.seeds, large.mean) == (1, 0.5)
    assert math.isnan(large.deviation)
    assert math.isnan(large.latency_ms)


def test_points_are_in_the_order_of_their_multiply_adds(tmp_path):
    costs = {"x": 3e7, "y": 1e7, "z": None, "w": 2e7}
    rows = [
        (trial(name, point=name), result(1e7, 0.3) | {"multiply_adds": cost})
        for name, cost in costs.items()
    ]
    (curve,) = make_curves(read_runs([write(tmp_path / "s", rows)]), "AP")
    assert "".join(point.label for point in curve.points) == "ywxz"


def test_families_of_one_name_are_told_apart_by_their_sweeps(tmp_path):
    first = write(tmp_path / "first", [(trial("a"), result(1e7, 0.3))])
    both = [(trial("a"), result(1e7, 0.4)), (trial("b", "BiFPN"), result(1e7, 0.2))]
    second = write(tmp_path / "second", both)
    curves = make_curves(read_runs([first, second]), "AP")
    names = [curve.name for curve in curves]
    assert names == ["first compound", "second compound", "BiFPN"]
    other = write(tmp_path / "other" / "first", [(trial("a"), result(1e7, 0.5))])
    names = [curve.name for curve in make_curves(read_runs([first, other]), "AP")]
    assert names == [f"{first} compound", f"{other} compound"]
    assert len(read_runs([first, first])) == 1


def test_a_trial_may_be_where_several_curves_begin(tmp_path):
    base = trial("a", point="x") | {"also_in": ["width", "depth"]}
    rows = [(base, result(1e7, 0.3)), (trial("b", "width", "y"), result(2e7, 0.4))]
    curves = make_curves(read_runs([write(tmp_path / "s", rows)]), "AP")
    points = {c.family: [(p.label, p.mean) for p in c.points] for c in curves}
    assert points == {
        "compound": [("x", 0.3)],
        "width": [("x", 0.3), ("y", 0.4)],
        "depth": [("x", 0.3)],
    }


def test_the_metric_is_the_one_that_is_there(tmp_path):
    accuracy = {"AP": None, "top1": 0.8, "top5": 0.9}
    rows = [(trial("a"), result(1e7, None, **accuracy))]
    runs = read_runs([write(tmp_path / "classifiers", rows)])
    assert choose_metric(runs, "") == "top1"
    assert choose_metric(runs, "top5") == "top5"
    with pytest.raises(
        UsageError, match=r"--metric=APs is in no .*top1, top5"
    ) as error:
        choose_metric(runs, "APs")
    assert "\n" not in str(error.value)
    rows = [(trial("a"), result(1e7, 0.3, top1=0.8))]
    assert choose_metric(read_runs([write(tmp_path / "both", rows)]), "") == "AP"
    assert choose_metric([], "") == "AP"
    assert choose_metric([], "AP75") == "AP75"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "sweep.json cannot be read .* name the --workdir of a sweep"),
        ('{"trials": [{"na', r"sweep.json is damaged .* bring it back from a copy"),
        (json.dumps({"runs": []}), "sweep.json is damaged"),
        (json.dumps({"trials": [{"name": "a"}]}), "sweep.json is damaged"),
        (json.dumps([]), "sweep.json is damaged"),
    ],
)
def test_a_folder_that_is_no_sweep_is_refused_by_name(tmp_path, text, what):
    if text is not None:
        (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(UsageError, match=what) as error:
        read_runs([tmp_path])
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_made_sweep_has_runs_in_every_state(tmp_path):
    runs = read_runs([made_sweep.write_single_axis(tmp_path / "s")])
    states = {"finished", "diverged", "unreadable", "waiting", "running"}
    assert {run.status for run in runs} == states
