import pathlib

import pytest

from efdet_jax import recipes
from efdet_jax.assemble import detector
from efdet_jax.errors import UsageError
from efdet_jax.sweep.axes import at_budget, phis
from efdet_jax.sweep.loading import load_trials, trial_config

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1.5", [1.5]),
        ("-3,-2.5", [-3, -2.5]),
        ("0..3", [0, 1, 2, 3]),
        ("-4..-3..0.5,0", [-4, -3.5, -3, 0]),
        ("0..1..0.3", [0, 0.3, 0.6, 0.9]),
    ],
)
def test_a_text_lists_values_of_phi(text, values):
    assert phis(text) == pytest.approx(values)


@pytest.mark.parametrize("text", ["3..0", "0..1..0", "0..1..2..3", "", "big", "1..x"])
def test_a_text_that_lists_none_is_refused(text):
    with pytest.raises(UsageError, match="phi"):
        phis(text)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.95, 1.3, 9.0])
def test_the_size_at_a_budget_is_the_nearest_of_all(share):
    values = (8, 16, 24, 40, 64)

    def make(width):
        config = recipes.get_small_config(-4.0)
        config.model.neck.width = width
        return config

    costs = {width: detector(make(width), 2).multiply_adds for width in values}
    budget = share * costs[24]
    found = at_budget(make, values, multiply_adds=budget, num_classes=2)
    ratios = {w: max(cost / budget, budget / cost) for w, cost in costs.items()}
    assert found == min(ratios, key=ratios.__getitem__)


@pytest.mark.slow
def test_single_axes_do_the_work_of_the_compound_ones(monkeypatch):
    monkeypatch.chdir(ROOT)
    trials = load_trials("experiments/sweeps/single_axis.py")
    costs = {
        trial.name: detector(trial_config(trial), 4).multiply_adds for trial in trials
    }
    axes = [t for t in trials if t.family != "compound"]
    assert len(axes) == 8
    for trial in axes:
        phi = trial.point.split()[-1]
        assert costs[trial.name] == pytest.approx(
            costs[f"compound{phi}-seed0"], rel=0.06
        )
