import subprocess
import sys

import cv2
import numpy as np
import pytest
from made_sweep import result, trial, value, write
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.util import tensor_util

from efdet_jax.sweep.report.reporting import report

COSTS = [7.4e6, 15.6e6, 31e6, 62e6]


@pytest.fixture
def workdir(tmp_path):
    rows = [
        (
            trial(f"t{i}", point=f"phi {i}", seed=3, **{"model.neck": "BiFPN"}),
            result(cost, value(cost)),
        )
        for i, cost in enumerate(COSTS)
    ]
    rows += [(trial("u", "a/b"), result(2e7, 0.2)), (trial("waits"), None)]
    rows += [(trial("nan"), result(1e7, None, status="diverged"))]
    return write(tmp_path / "s", rows)


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def series(folder, tag):
    return [
        (event.step, tensor_util.make_ndarray(event.tensor_proto).item())
        for event in read(folder).Tensors(tag)
    ]


def test_a_family_is_a_run_whose_steps_are_millions_of_multiply_adds(workdir):
    report([workdir])
    found = series(workdir / "report/curves/compound", "curve/AP")
    assert [step for step, _ in found] == [7, 16, 31, 62]
    np.testing.assert_allclose(
        [ap for _, ap in found], [value(cost) for cost in COSTS], rtol=1e-6
    )


def test_a_family_with_a_slash_is_one_folder(workdir):
    report([workdir])
    found = series(workdir / "report/curves/a%2Fb", "curve/AP")
    assert found == [(20, pytest.approx(0.2))]


def test_a_trial_has_its_settings_and_figures_for_hparams(workdir):
    report([workdir])
    events = read(workdir / "report/trials/t1")
    summary = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG)
    start = metadata.parse_session_start_info_plugin_data(summary.plugin_data.content)
    assert start.group_name == "t1"
    assert start.hparams["family"].string_value == "compound"
    assert start.hparams["model.neck"].string_value == "BiFPN"
    assert start.hparams["seed"].number_value == 3
    assert series(workdir / "report/trials/t1", "trials/multiply_adds") == [
        (16, 15.6e6)
    ]
    assert not (workdir / "report/trials/waits").exists()


def test_the_table_of_hparams_has_every_override_and_figure(workdir):
    report([workdir])
    summary = read(workdir / "report/trials").SummaryMetadata(metadata.EXPERIMENT_TAG)
    table = metadata.parse_experiment_plugin_data(summary.plugin_data.content)
    names = {info.name for info in table.hparam_infos}
    assert {"family", "point", "status", "seed", "model.neck"} <= names
    tags = [info.name.tag for info in table.metric_infos]
    assert tags[:3] == ["trials/AP", "trials/multiply_adds", "trials/params"]


def test_the_figures_are_images(workdir):
    report([workdir])
    (event,) = read(workdir / "report/curves").Tensors("curve/multiply_adds")
    width, height, png = event.tensor_proto.string_val
    written = (workdir / "report/multiply_adds.png").read_bytes()
    assert png == written
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == (int(height), int(width))


def test_a_second_report_takes_the_place_of_the_first(workdir):
    report([workdir])
    folder = workdir / "report"
    before = sorted(path.parent for path in folder.rglob("events.out.tfevents.*"))
    first = series(folder / "curves/compound", "curve/AP")
    report([workdir])
    after = sorted(path.parent for path in folder.rglob("events.out.tfevents.*"))
    assert before == after
    assert series(folder / "curves/compound", "curve/AP") == first


def test_reporting_does_not_load_tensorflow(workdir):
    code = (
        "import pathlib, sys; from efdet_jax.sweep.report.reporting import report; "
        "report([pathlib.Path(sys.argv[1])]); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, workdir], capture_output=True, check=True
    )
    assert done.stdout.strip() == b"False"
