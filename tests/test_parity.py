"""The same numbers as the published models; `scripts/parity.py` shows how near."""

import pytest
from measures.table import MEASURES


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if measure.is_slow else name
        for name, measure in MEASURES.items()
    ],
)
def test_no_number_is_further_from_the_recorded_one_than_it_may_be(name, shared):
    measure = MEASURES[name]
    try:
        rows = list(measure.rows(shared / measure.folder))
    except FileNotFoundError as absence:
        pytest.skip(str(absence))
    assert rows
    assert [row for row in rows if not row.is_near] == []
