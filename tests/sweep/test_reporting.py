import html.parser
import json
import re

import made_sweep
import pytest
from made_sweep import result, trial, value, write

from efdet_jax.errors import UsageError
from efdet_jax.sweep.report.reporting import report

VOID = {"meta"}


class Outline(html.parser.HTMLParser):
    """What a page consists of; complains of tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return made_sweep.write_single_axis(tmp_path_factory.mktemp("made") / "axes")


@pytest.fixture(scope="module")
def told(sweep):
    return report([sweep])


def outside_events(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_all_files_are_written_and_named_in_the_terminal(sweep, told):
    costs = ("multiply_adds", "params", "latency_ms")
    figures = {f"{cost}.{kind}" for cost in costs for kind in ("png", "svg")}
    texts = {"index.html", "report.md", "points.csv", "trials.csv"}
    assert outside_events(sweep / "report").keys() == figures | texts
    assert f"{sweep}/report/index.html" in told
    assert f"tensorboard --logdir={sweep}/report" in told
    assert told.split("\npage ")[0] in (sweep / "report/report.md").read_text()


def test_the_law_and_its_forecast_are_told(sweep, told):
    assert re.search(r"compound: AP = 0\.6\d\d - 0\.\d+ \(C / 29\.9 M\)\^-0\.\d", told)
    ahead = re.search(r"\| compound +\| next +\| phi 1 +\| +282 M \| +(0\.\d+)", told)
    assert float(ahead[1]) == pytest.approx(value(6e6 * 1.9**6), abs=0.02)


def test_compound_is_compared_with_the_best_axis_of_its_sweep(told):
    chapter = told.split("## compound against the best single axis")[1]
    rows = re.findall(r"\| phi +\S+ +\| resolution +\|", chapter)
    assert len(rows) == 5
    assert "better at 5 of 6 sizes" in chapter


def test_what_is_not_in_the_curves_is_listed_with_its_state(told):
    assert "68 of 73 trials finished, 1 diverged, 1 unreadable" in told
    chapter = told.split("## Not in the curves")[1]
    for name, state in {
        "compound-0-seed2": "diverged",
        "compound-1-seed2": "unreadable",
        "BiFPN-5-seed1": "waiting",
        "compound-6-seed0": "running",
    }.items():
        assert re.search(rf"\| {name} .*\| {state} ", chapter)


def test_the_page_is_whole_and_needs_nothing_else(sweep, told):
    text = (sweep / "report/index.html").read_text()
    page = Outline(text)
    assert page.open == []
    assert text.count("<svg") == 3
    assert "compound-0-seed2" in page.text
    tags = {tag for tag, *_ in page.attributes}
    assert not tags & {"script", "link", "img", "iframe", "image", "object"}
    for tag, name, content in page.attributes:
        if name.split(":")[-1] in ("href", "src"):
            assert content.startswith("#"), (tag, name, content)
    assert not re.search(r"url\((?!#)|@import", text)


def test_a_report_of_the_same_results_is_the_same(sweep, told):
    first = outside_events(sweep / "report")
    assert report([sweep]) == told
    assert outside_events(sweep / "report") == first


def test_sweeps_and_the_published_points_are_laid_over_each_other(sweep, tmp_path):
    rows = [
        (trial(f"t{i}", point=f"phi {i}"), result(1e7 * 2**i, 0.1 * i + 0.1))
        for i in range(3)
    ]
    other = write(tmp_path / "local", rows)
    told = report([other, sweep], out=tmp_path / "both", published=True)
    for family in ("local compound", "axes compound", "published D0-D7x, COCO"):
        assert f"\n| {family}" in told
    assert "local compound: no law, needs 4 sizes, there are 3." in told
    assert "## axes compound against" in told
    assert "## local compound against" not in told
    assert (tmp_path / "both/index.html").exists()
    assert not (other / "report").exists()


def test_before_the_first_trial_has_finished_there_is_one_line(tmp_path):
    rows = [
        (trial("a"), None),
        (trial("b"), None),
        (trial("c"), result(1e7, 0.1, status="running")),
    ]
    workdir = write(tmp_path / "s", rows)
    told = report([workdir], published=True)
    assert told == "no curve yet: 0 of 3 trials finished, 2 waiting, 1 running.\n"


def test_a_sweep_of_classifiers_is_about_top1(tmp_path):
    rows = [
        (trial(f"t{i}", point=f"p{i}"), {"status": "finished", "top1": 0.5 + 0.1 * i})
        for i in range(2)
    ]
    workdir = write(tmp_path / "s", rows)
    told = report([workdir])
    # Old results have no costs: there are points, but nothing to draw them against.
    assert re.search(r"\| compound \| p1 +\| +1 \| 0.600 \|", told)
    assert not list((workdir / "report").glob("*.svg"))


def test_a_finished_trial_without_the_metric_is_named(tmp_path):
    rows = [(trial("a"), result(1e7, 0.3)), (trial("b"), result(1e7, None))]
    told = report([write(tmp_path / "s", rows)])
    assert "finished, AP is null" in told


def test_an_out_that_cannot_be_written_is_refused(tmp_path):
    workdir = write(tmp_path / "s", [(trial("a"), result(1e7, 0.3))])
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--out=.*file/x cannot be written") as error:
        report([workdir], out=tmp_path / "file" / "x")
    assert "\n" not in str(error.value)


def test_names_of_trials_cannot_break_the_page(tmp_path):
    row = trial("a", family="<script>alert(1)</script>", point="a & b | c")
    workdir = write(tmp_path / "s", [(row, result(1e7, 0.3))])
    report([workdir])
    page = Outline((workdir / "report/index.html").read_text())
    assert page.open == []
    assert not any(tag == "script" for tag, *_ in page.attributes)
    trials = (workdir / "report/trials.csv").read_text()
    assert json.dumps(row["family"]).strip('"') in trials
