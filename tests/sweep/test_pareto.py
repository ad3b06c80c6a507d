import numpy as np

from efdet_jax.sweep.report.curves import Curve, Point
from efdet_jax.sweep.report.pareto import on_front, pareto_front


def slow_front(cost, value):
    front = []
    for i in range(len(cost)):
        beaten = False
        for j in range(len(cost)):
            as_good = cost[j] <= cost[i] and value[j] >= value[i]
            if as_good and (cost[j], value[j]) != (cost[i], value[i]):
                beaten = True
        front.append(not beaten)
    return front


def test_the_front_is_what_a_double_loop_finds():
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 5, 30):
        for _ in range(20):
            # Few values, so that there are ties and twins.
            cost, value = rng.integers(0, 8, (2, count)).astype(float)
            found = pareto_front(cost, value)
            assert found.tolist() == slow_front(cost, value)


def test_points_without_a_cost_are_on_no_front():
    nan = float("nan")
    known = Point("a", 1, 0.2, nan, 1e6, nan, nan)
    better = known._replace(label="b", mean=0.3, multiply_adds=nan)
    assert on_front([Curve("f", "s", "f", (known, better))]) == {("f", "a")}
