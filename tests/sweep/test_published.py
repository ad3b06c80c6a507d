import pathlib
import re

import pytest

from efdet_jax.sweep.report.published import PUBLISHED

README = pathlib.Path(__file__).parents[2] / "README.md"
ROW = r"^\| (D\dx?) \|.*\| ([\d,]+) \| ([\d.]+) G \| ([\d.]+) \|$"


def test_the_published_points_are_those_of_the_readme():
    rows = re.findall(ROW, README.read_text(), re.MULTILINE)
    assert len(rows) == 9
    for point, (name, params, giga, ap) in zip(PUBLISHED.points, rows, strict=True):
        assert point.label == name
        assert point.params == int(params.replace(",", ""))
        assert point.multiply_adds == pytest.approx(float(giga) * 1e9)
        assert point.mean == pytest.approx(float(ap) / 100)
