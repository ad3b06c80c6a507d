import numpy as np
import pytest

from efdet_jax.sweep.report.power_law import (
    CannotFit,
    asymptote_range,
    band,
    fit,
    predict,
)

COST = np.geomspace(5e6, 5e8, 8)
LAW = {"asymptote": 0.6, "gap": 0.2, "exponent": 0.4, "pivot": 5e7}


def value(cost):
    return LAW["asymptote"] - LAW["gap"] * (cost / LAW["pivot"]) ** -LAW["exponent"]


def test_exact_points_give_back_their_law():
    law = fit(COST, value(COST), np.ones(8))
    for name, number in LAW.items():
        assert getattr(law, name) == pytest.approx(number, rel=1e-6)
    assert not law.is_held
    assert law.noise == pytest.approx(0, abs=1e-9)


def test_the_unit_of_cost_changes_nothing_but_the_pivot():
    noisy = value(COST) + 0.01 * np.random.default_rng(1).standard_normal(8)
    first, second = fit(COST, noisy, np.ones(8)), fit(COST / 1e9, noisy, np.ones(8))
    assert second.pivot == pytest.approx(first.pivot / 1e9)
    for name in ("asymptote", "gap", "exponent", "noise"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-4)


def test_a_point_of_three_seeds_weighs_like_three_equal_points():
    noisy = value(COST) + 0.01 * np.random.default_rng(2).standard_normal(8)
    seeds = np.array([1, 3, 1, 1, 2, 1, 1, 1])
    once = fit(COST, noisy, seeds.astype(float))
    often = fit(np.repeat(COST, seeds), np.repeat(noisy, seeds), np.ones(11))
    # The pivot, where the gap is measured, lies elsewhere: compare the curves.
    np.testing.assert_allclose(
        band(once, COST, confidence=0.9).value,
        band(often, COST, confidence=0.9).value,
        rtol=1e-4,
    )


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    ahead, noise, trials = 1e9, 0.005, 250
    covered = dict.fromkeys(("band", "prediction", "asymptote"), 0)
    for _ in range(trials):
        law = fit(COST, value(COST) + noise * rng.standard_normal(8), np.ones(8))
        line = band(law, np.array([ahead]), confidence=0.9)
        covered["band"] += line.low[0] <= value(ahead) <= line.high[0]
        new = value(ahead) + noise * rng.standard_normal()
        run = predict(law, ahead, confidence=0.9)
        covered["prediction"] += run.low[0] <= new <= run.high[0]
        low, high = asymptote_range(law, confidence=0.9)
        covered["asymptote"] += low <= LAW["asymptote"] <= high
    # Four standard deviations of such a count are 7.6%.
    for name, count in covered.items():
        assert 0.82 < count / trials < 0.98, name


def test_the_mean_of_many_runs_is_foretold_as_closely_as_the_band():
    noisy = value(COST) + 0.01 * np.random.default_rng(3).standard_normal(8)
    law = fit(COST, noisy, np.ones(8))
    one, many = (predict(law, 1e9, seeds=n, confidence=0.95) for n in (1, 10**9))
    line = band(law, np.array([1e9]), confidence=0.95)
    assert one.high[0] - one.low[0] > many.high[0] - many.low[0]
    np.testing.assert_allclose(many, line, rtol=1e-6)


def test_points_on_a_straight_line_hold_the_asymptote_at_one():
    law = fit(COST, 0.1 + 0.1 * np.log10(COST / 5e6), np.ones(8))
    assert law.is_held
    assert law.asymptote == 1
    assert asymptote_range(law, confidence=0.95) == (1, 1)
    line = band(law, np.array([1e9]), confidence=0.95)
    assert line.low[0] < line.value[0] < line.high[0]


def test_values_near_one_can_be_fitted():
    law = fit(COST, 0.999 - 0.002 * (COST / 5e7) ** -0.3, np.ones(8))
    assert law.asymptote <= 1


@pytest.mark.parametrize(
    ("cost", "values", "why"),
    [
        ([1, 2, 4], [0.1, 0.2, 0.3], "needs 4 sizes, there are 3"),
        ([1, 1, 2, 2, 4], [0.1, 0.1, 0.2, 0.2, 0.3], "needs 4 sizes, there are 3"),
        ([1, 2, 4, 8], [0.3, 0.3, 0.3, 0.3], "does not rise"),
        ([1, 2, 4, 8], [0.4, 0.3, 0.2, 0.1], "does not rise"),
        ([1, 2, 4, 8], [0.0, 0.5, 0.5, 0.5], "a step"),
    ],
)
def test_points_that_show_no_law_are_told_so(cost, values, why):
    with pytest.raises(CannotFit, match=why):
        fit(np.array(cost, float), np.array(values), np.ones(len(cost)))
