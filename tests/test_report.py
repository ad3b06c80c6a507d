"""A page of a run, whatever is missing of it."""

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import tiny

from efdet_jax import assemble
from efdet_jax.checkpoint import Checkpoints
from efdet_jax.errors import UsageError
from efdet_jax.inference.loading import open_model
from efdet_jax.journal import Journal
from efdet_jax.models.initial import initial_variables
from efdet_jax.report import __main__ as command
from efdet_jax.report.network_chapters import features
from efdet_jax.report.records import read_detections, read_log
from efdet_jax.results import coco_results


def write_run(workdir, config):
    """A run of a network that has learned nothing, and has found some of the truth."""
    source = assemble.open_data(config, "val")
    assembly = assemble.detector(config, source.labels.num_classes)
    journal = Journal(workdir, writes=True)
    journal.start(config, from_step=0)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=0.01)
    checkpoints = Checkpoints(workdir / "checkpoints", keep=1, if_it_fails="stop")
    progress = {"labels": source.labels.to_json()}
    checkpoints.save(60, {"ema": variables}, progress, best=None)
    checkpoints.close()
    annotations = [source.annotations(i) for i in range(len(source))]
    counts = [len(each.boxes) for each in annotations]
    rows = coco_results(
        [each.image_id for each in annotations],
        source.labels.ids,
        image_index=np.repeat(np.arange(len(annotations)), counts),
        boxes=np.concatenate([each.boxes for each in annotations]).astype(np.float32),
        scores=np.linspace(0.95, 0.05, sum(counts)),
        classes=np.concatenate([each.classes for each in annotations]),
    )
    journal.detections(rows)
    journal.result({"step": 60, "status": "finished", "AP": 0.5, "seconds": 61.0})
    log = [{"step": step, "loss": 1 / step, "AP": None} for step in range(1, 9)]
    (workdir / "metrics.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in log))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    write_run(workdir, tiny.get_config())
    return workdir


class Page(HTMLParser):
    """Collects titles, and what a page loads from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.titles, self.outside, self.count, self._tag = [], [], {}, ""
        self.feed(text)

    def handle_data(self, data):
        if self._tag == "h2":
            self.titles.append(data)

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        self.count[tag] = self.count.get(tag, 0) + 1
        self.outside += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href")
            and not (value or "").startswith(("data:", "#"))
        ]

    def handle_endtag(self, tag):
        self._tag = ""


def report(capsys, *arguments):
    code = command.main(["report", *map(str, arguments)])
    return code, *capsys.readouterr()


@pytest.mark.slow
def test_the_page_tells_all_and_needs_nothing_else(run, tmp_path, capsys):
    out = tmp_path / "deep" / "page.html"
    code, stdout, stderr = report(capsys, run, f"--out={out}")
    assert (code, stdout) == (0, f"page  {out}\n"), stderr
    page = Page(out.read_text())
    assert page.outside == []
    assert page.titles == [
        "Result",
        "The run",
        "How it went",
        "Precision and recall",
        "Classes and sizes",
        "Confusions",
        "Kinds of mistakes",
        "Worst images",
        "Best images",
        "Validation data and anchors",
        "How strongly each level answers",
        "What the neck listens to",
        "Settings",
    ]
    # Pairs of six worst and three best, and the levels of three images.
    assert page.count["img"] == 2 * 9 + 3
    text = out.read_text()
    assert "Finished at step 60, after 00:01:01 of training." in text
    assert "optimizer.learning_rate" in text


@pytest.mark.slow
def test_without_its_data_the_page_says_so(tmp_path, capsys):
    write_run(tmp_path, tiny.get_config())
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace("shapes:val", "coco:gone.json,gone"))
    (tmp_path / "result.json").unlink()
    (tmp_path / "metrics.jsonl").unlink()
    code, _, stderr = report(capsys, tmp_path)
    assert code == 0
    assert "not told: " in stderr
    text = (tmp_path / "report.html").read_text()
    assert "gone.json" in text
    titles = ["Result", "Not told", "The run", "What the neck listens to", "Settings"]
    assert Page(text).titles == titles


@pytest.mark.parametrize("text", ['[{"image_id": 12345}]', "[", "{}", "[3]"])
def test_detections_of_something_else_are_refused(run, tmp_path, text):
    source = assemble.open_data(tiny.get_config(), "val")
    annotations = [source.annotations(i) for i in range(len(source))]
    path = tmp_path / "detections.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"detections.json is damaged, or of other"):
        read_detections(path, annotations, source.labels)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one workdir must be named, not none"),
        (["a", "b"], "not a b"),
        (["/nowhere/at/all"], "/nowhere/at/all does not exist"),
        (["."], "has no checkpoint"),
        (["{run}", "--config=absent.py"], "absent.py"),
        (["{run}", "--out=/proc/page.html"], "--out=/proc/page.html cannot be written"),
        (["{run}", "--nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    given = [each.format(run=run) for each in arguments]
    code, stdout, stderr = report(capsys, *given)
    assert (code, stdout) == (2, "")
    (line,) = stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_a_workdir_whose_checkpoint_is_not_written_yet_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    code, _, stderr = report(capsys, tmp_path)
    assert code == 2
    assert "has no checkpoint" in stderr
    assert len(stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_without_config_and_detections_the_page_says_so(run, tmp_path, capsys):
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    code, _, stderr = report(capsys, tmp_path)
    assert code == 2
    assert "with --config" in stderr
    code, _, stderr = report(capsys, tmp_path, f"--config={tiny.__file__}")
    assert code == 0
    assert "detections.json is missing" in stderr
    text = (tmp_path / "report.html").read_text()
    assert "--mode=eval" in text
    titles = Page(text).titles
    assert "Kinds of mistakes" not in titles
    assert "How strongly each level answers" in titles


def test_detections_come_back_as_they_were_found(run):
    source = assemble.open_data(tiny.get_config(), "val")
    annotations = [source.annotations(i) for i in range(len(source))]
    found = read_detections(run / "detections.json", annotations, source.labels)
    boxes = np.concatenate([each.boxes for each in annotations])
    np.testing.assert_allclose(found.boxes, boxes, atol=2e-3)
    classes = np.concatenate([each.classes for each in annotations])
    np.testing.assert_array_equal(found.classes, classes)


def test_a_log_is_read_without_its_broken_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "a": 2.5}\n{"step": 3, "a": null, "b": 1}\n{"step": 5,'
    )
    log = read_log(path)
    assert log["a"].steps.tolist() == [1, 3]
    np.testing.assert_array_equal(log["a"].values, [2.5, np.nan])
    assert log["b"].values.tolist() == [1]


@pytest.mark.slow
def test_features_have_the_sizes_of_their_levels(run):
    opened = open_model(str(run), config=None, labels=None)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    pyramids = features(opened, images)
    sizes = {level: each.shape for level, each in pyramids["neck"].items()}
    width = opened.config.model.neck.width
    assert sizes == {i: (3, 64 >> i, 64 >> i, width) for i in (3, 4, 5, 6)}
    assert all(np.ptp(each) > 0 for each in pyramids["backbone"].values())
