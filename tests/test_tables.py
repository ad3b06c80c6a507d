import csv
import io
import math

from efdet_jax.pages import tables
from efdet_jax.sweep.report.curves import Curve, Point
from efdet_jax.sweep.report.records import points_csv, trials_csv
from efdet_jax.sweep.report.runs import Run

TABLE = tables.Table(
    ("family", "AP"), (("a|b", "0.125"), ("<compound>", "-0.5 ± 0.1")), 1
)


def test_markdown_is_aligned_and_bars_in_cells_end_no_cell():
    assert tables.markdown(TABLE) == (
        "| family     |         AP |\n"
        "| ---------- | ---------: |\n"
        "| a\\|b       |      0.125 |\n"
        "| <compound> | -0.5 ± 0.1 |\n"
    )


def test_html_cells_are_escaped():
    text = tables.to_html(TABLE)
    assert "<td>&lt;compound&gt;</td>" in text
    assert '<td class="n">0.125</td>' in text


def test_points_come_back_from_csv_to_the_last_digit():
    points = (
        Point("phi -2", 3, 0.1 + 0.2, 1 / 3, 43931760.0, 1013181.0, 0.7),
        Point('a "b", c', 1, 0.5, math.nan, 2e9, math.nan, math.nan),
    )
    text = points_csv([Curve("compound", "s", "compound", points)], "AP")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["on_front"] for row in rows] == ["True", "True"]
    names = ("AP", "AP_deviation", "multiply_adds", "params", "latency_ms")
    for row, point in zip(rows, points, strict=True):
        assert (row["family"], row["point"]) == ("compound", point.label)
        for name, number in zip(names, point[2:], strict=True):
            assert row[name] == ("" if math.isnan(number) else repr(number))
            assert math.isnan(number) or float(row[name]) == number


def test_trials_have_a_column_for_every_figure_of_any():
    run = Run(
        "s", "a", "f", (), "p", "c.py", {"k": (1, 2)}, "finished", {"AP": 0.1}, "cpu"
    )
    other = run._replace(name="b", figures={"step": 3.0})
    rows = list(csv.DictReader(io.StringIO(trials_csv([run, other]))))
    assert [(row["AP"], row["step"]) for row in rows] == [("0.1", ""), ("", "3.0")]
    assert rows[0]["overrides"] == '{"k": [1, 2]}'
