import pytest
import tiny_detector
from jax import numpy as jnp

from efdet_jax import caches, export, load
from efdet_jax.errors import UsageError
from efdet_jax.exporting import formats, stablehlo
from efdet_jax.exporting.metadata import metadata
from efdet_jax.exporting.program import Program
from efdet_jax.structures import Detections
from efdet_jax.weights.saving import save

LABELS = tiny_detector.LABELS


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights"
    save(path, tiny_detector.variables(), LABELS, tiny_detector.config())
    return path


@pytest.fixture
def run(weights, tmp_path, monkeypatch, capsys):
    """Runs the command; returns its exit code and what it has written."""
    monkeypatch.setattr(caches, "keep_compiled_programs", lambda: None)

    def run(*arguments):
        given = ("export", f"--from={weights}", f"--out={tmp_path / 'out'}", *arguments)
        code = export.main(list(given))
        return code, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_a_bundle_detects_what_the_weights_detect(run, weights, tmp_path):
    code, table, errors = run()
    assert (code, table.count("same")) == (0, 1), errors
    (path,) = (tmp_path / "out").iterdir()
    image = tiny_detector.images(1)[0][:40]
    of_weights = load(str(weights), score_threshold=0.1)(image)
    of_bundle = load(str(path), score_threshold=0.1)(image)
    assert len(of_weights.boxes) > 1
    assert of_bundle.names == of_weights.names
    assert of_bundle.boxes == pytest.approx(of_weights.boxes, abs=1e-2)


@pytest.mark.parametrize(
    "about", [{}, {"placement": {"resize": "zoom"}}, {"labels": 3}]
)
def test_a_bundle_of_a_stranger_is_refused_in_a_line(about, tmp_path):
    config = tiny_detector.config()
    config.image_size = (4, 6)
    known = metadata(config, LABELS)
    strange = {k: v for k, v in known.items() if about or k != "placement"} | about
    stablehlo.write(Program((4, 6), nothing), tmp_path / "model.zip", strange)
    with pytest.raises(UsageError) as caught:
        load(str(tmp_path / "model.zip"))
    assert str(caught.value).startswith(f"{tmp_path / 'model.zip'}: ")


@pytest.mark.parametrize("setting", [{"method": "hard"}, {"labels": ["owl", "fox"]}])
def test_what_a_bundle_has_in_it_cannot_be_changed(setting, tmp_path):
    path = tmp_path / "model.zip"
    config = tiny_detector.config()
    config.image_size = (4, 6)
    stablehlo.write(Program((4, 6), nothing), path, metadata(config, LABELS))
    with pytest.raises(UsageError, match=f"{next(iter(setting))}=.* cannot be changed"):
        load(str(path), **setting)


def nothing(images):
    """A detector that finds nothing."""
    b = images.shape[0]
    classes = jnp.full((b, 1), -1, jnp.int32)
    return Detections(jnp.zeros((b, 1, 4)), jnp.zeros((b, 1)), classes)


@pytest.mark.slow
def test_flags_change_the_post_processing_of_what_is_written(run, tmp_path):
    assert run("--max_detections=3", "--score_threshold=0.2")[0] == 0
    (path,) = (tmp_path / "out").iterdir()
    found = load(str(path), score_threshold=0.0)(tiny_detector.images(1)[0])
    assert 0 < len(found.scores) <= 3
    assert min(found.scores) > 0.2


@pytest.mark.slow
def test_a_file_that_finds_something_else_ends_with_6(run, tmp_path, monkeypatch):
    right = formats.FORMATS["stablehlo"]

    def load_shifted(path):
        detect = right.load(path)

        def shifted(images):
            found = detect(images)
            return found._replace(boxes=found.boxes + 1)

        return shifted

    wrong = {"stablehlo": right._replace(load=load_shifted)}
    monkeypatch.setattr(formats, "FORMATS", wrong)
    code, table, errors = run()
    assert code == 6
    assert "differs: removed" in table
    assert "error: --formats: stablehlo: removed, as what was found" in errors
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_what_cannot_be_converted_is_told_in_a_line_and_the_rest_written(
    run, tmp_path, monkeypatch
):
    def write(program, path, metadata):
        path.write_text("half of it")
        raise RuntimeError("no such operation\nat a place in C++")

    right = formats.FORMATS["stablehlo"]
    broken = right._replace(file="broken", write=write)
    monkeypatch.setattr(formats, "FORMATS", {"tflite": broken, "stablehlo": right})
    code, table, errors = run("--formats=tflite,stablehlo")
    assert code == 6
    assert (table.count("not converted"), table.count("same")) == (1, 1)
    assert errors.splitlines()[-1] == (
        "error: --formats: tflite could not be converted (RuntimeError: no such "
        "operation): write another format, and report it"
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == [right.file]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--formats=pdf", "--formats=pdf names pdf"),
        ("--from=", "--from is missing"),
        ("--images=nowhere", "--images=nowhere is no folder"),
        ("--method=harsh", "should be one of"),
        ("photo.jpg", "photo.jpg belongs to no flag"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_written(
    argument, said, run, tmp_path
):
    code, table, errors = run(argument)
    assert (code, table) == (2, "")
    assert said in errors.splitlines()[-1]
    assert not (tmp_path / "out").exists()
