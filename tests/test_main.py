"""What a person types wrong gets one line that names it, and exit code 2."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from efdet_jax import main, train

ROOT = pathlib.Path(__file__).parents[1]
D3 = f"--config={ROOT}/experiments/d3.py"
B0 = f"--config={ROOT}/experiments/efficientnet_b0.py"
QUICKSTART = f"--config={ROOT}/experiments/quickstart.py"
OWN_DATA = f"--config={ROOT}/experiments/own_data.py"
PHI = f"--config={ROOT}/experiments/phi.py"
FREE = "--config.scaling.source=free"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs a command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main.main(["main", *arguments])
        return code, *capsys.readouterr()

    return run


def run_main(*arguments, devices=1):
    """Runs the main job as a person does, in the root of the checkout."""
    ran = subprocess.run(
        [sys.executable, "-m", "efdet_jax.main", *arguments],
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


def check_refusal(found, *words):
    """Exit code 2, nothing on stdout, one line on stderr with all the words."""
    code, stdout, stderr = found
    assert code == 2, stderr
    assert stdout == ""
    (line,) = stderr.strip().splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_help_lists_the_flags_of_every_command():
    for module, flag in (
        ("main", "--workdir"),
        ("convert", "--out"),
        ("check_data", "--data"),
        ("sweep", "--launcher_options"),
        ("report", "--out"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", f"efdet_jax.{module}", "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert flag in ran.stdout
        assert "--config" in ran.stdout


MISTAKES = {
    "an unknown key": (
        (D3, "--config.batchsize=8"),
        ("config.batchsize", "8", "did you mean batch_size?"),
    ),
    "an unknown key of a section": (
        (D3, "--config.model.neck.widht=1"),
        ("config.model.neck.widht", "did you mean width?"),
    ),
    "a key without its dashes": (
        (D3, "config.steps=4"),
        ("config.steps=4", "--config.steps=4"),
    ),
    "an unknown section": (
        (D3, "--config.modle.neck.width=8"),
        ("config.modle.neck.width", "did you mean model?"),
    ),
    "phi as a key": ((D3, "--config.phi=4"), ("config.phi", "experiments/phi.py:")),
    "phi after the sizes": (
        (D3, "--config.scaling.phi=4"),
        ("phi=4", "(1024, 1024)", "experiments/phi.py:PHI"),
    ),
    "a phi that was not published": (
        (D3, "--config.scaling.phi=9"),
        ("phi=9", "7x", "law"),
    ),
    "a source of sizes that does not exist": (
        (D3, "--config.scaling.source=tabel"),
        ("config.scaling.source=tabel", "table", "law", "free"),
    ),
    "a width beside phi": (
        (D3, "--config.model.neck.width=96"),
        ("config.model.neck.width=96", "phi=3", "160", "scaling.source=free"),
    ),
    "an image size beside phi": (
        (D3, "--config.image_size=(512,512)"),
        ("config.image_size=(512, 512)", "896", "scaling.source=free"),
    ),
    "an image below the top stride": (
        (D3, FREE, "--config.image_size=(96,640)"),
        ("config.image_size=(96, 640)", "128", "config.model.levels"),
    ),
    "half an image size": (
        (D3, FREE, "--config.image_size=640"),
        ("config.image_size=(640,)", "(512,640)"),
    ),
    "an unknown neck": (
        (D3, "--config.model.neck.name=bipfn"),
        ("config.model.neck.name=bipfn", "bifpn"),
    ),
    "an unknown fusion": (
        (D3, FREE, "--config.model.neck.fusion=quick"),
        ("config.model.neck.fusion=quick", "fast", "sum"),
    ),
    "an unknown backbone": (
        (D3, "--config.model.backbone.name=vgg"),
        ("config.model.backbone.name=vgg", "efficientnet", "resnet"),
    ),
    "a backbone with the keys of another": (
        (D3, "--config.model.backbone.name=resnet"),
        ("config.model.backbone.name=resnet", "depth", "lite"),
    ),
    "an unknown optimizer": (
        (D3, "--config.optimizer.name=lion"),
        ("config.optimizer.name=lion", "sgd", "adamw"),
    ),
    "an unknown type": (
        (D3, "--config.model.dtype=float16"),
        ("config.model.dtype=float16", "float32", "bfloat16"),
    ),
    "parts that do not divide the batch": (
        (D3, "--config.accumulate=3"),
        ("config.accumulate=3", "config.batch_size=128", "divisor"),
    ),
    "no part at all": ((D3, "--config.accumulate=0"), ("config.accumulate=0",)),
    "an unknown way to spare memory": (
        (D3, "--config.model.remat=all"),
        ("config.model.remat=all", "none", "blocks"),
    ),
    "less than no memory": (
        (D3, "--mode=estimate", "--memory_gb=-1"),
        ("memory_gb", "-1"),
    ),
    "a word for a number": ((D3, "--config.batch_size=many"), ("batch_size=many",)),
    "half a batch": ((D3, "--config.batch_size=1.5"), ("batch_size=1.5",)),
    "a batch of nothing": ((D3, "--config.batch_size=0"), ("config.batch_size=0",)),
    "steps backwards": ((D3, "--config.steps=-5"), ("config.steps=-5",)),
    "a word for a rate": (
        (D3, "--config.optimizer.learning_rate=fast"),
        ("config.optimizer.learning_rate=fast",),
    ),
    "a number for a section": ((D3, "--config.model=3"), ("config.model=3",)),
    "an unknown flag": ((D3, "--wrokdir=x"), ("wrokdir", "workdir")),
    "an unknown mode": ((D3, "--mode=test"), ("--mode=test", "train", "eval")),
    "no config": ((), ("--config", "experiments/")),
    "a config that is not there": (
        ("--config=experiments/d33.py",),
        ("experiments/d33.py", "does not exist"),
    ),
    "an experiment without its argument": ((PHI,), ("phi",)),
    "an experiment with an argument too many": ((f"{D3}:4",), ("argument",)),
    "phi that is no number": ((f"{PHI}:two",), ("phi=two",)),
    "a data folder that is not there": (
        (f"{OWN_DATA}:nowhere",),
        ("nowhere", "no such folder"),
    ),
    "a workdir that cannot be": (
        (QUICKSTART, "--workdir=file/run"),
        ("--workdir=file/run", "choose a folder"),
    ),
    "weights that are not there": (
        (QUICKSTART, "--config.init_from=nowhere.pth"),
        ("nowhere.pth", "cannot be read"),
    ),
    "weights that are something else": (
        (QUICKSTART, "--config.init_from=file"),
        ("file", "is empty"),
    ),
    "layers that are not the reference's": (
        (D3, "--config.model.padding=symmetric"),
        ("config.model.padding=symmetric", "automl", "--config.reference=free"),
    ),
    "no model to train on from": (
        (f"--config={ROOT}/experiments/finetune.py:d9,folder",),
        ("'d9'", "lite0"),
    ),
    "no model of effdet": (
        (f"--config={ROOT}/experiments/effdet.py:d0",),
        ("'d0'", "tf_efficientdet_d0"),
    ),
    "a detector for another task": (
        (D3, "--config.task=classification"),
        ("config.task=classification", "made for detection"),
    ),
    "a classifier of another size": (
        (B0, "--config.image_size=(200,200)"),
        ("config.image_size=(200, 200)", "phi=0", "experiments/efficientnet_bPHI.py"),
    ),
    "a classifier on a backbone that has none": (
        (B0, "--config.model.backbone.name=resnet"),
        ("config.model.backbone.name=resnet", "not depth, lite"),
    ),
    "a classifier that forgets everything": (
        (B0, "--config.model.dropout=1", FREE),
        ("config.model.dropout=1", "0.99"),
    ),
    "crops larger than the image": (
        (B0, "--config.data.crop_area=(0.5,2.0)"),
        ("config.data.crop_area=(0.5, 2.0)", "shares of the area"),
    ),
    "an image smaller than a cell": (
        (B0, FREE, "--config.image_size=(31,64)"),
        ("config.image_size=(31, 64)", "32"),
    ),
    "images without a class": (
        (B0, "--config.data.train=shapes:train"),
        ("config.data.train=shapes:train", "crops:SPLIT"),
    ),
    "evaluation of nothing": (
        (QUICKSTART, "--mode=eval", "--workdir=empty"),
        ("empty", "no checkpoint"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_one_line(mistake, command):
    arguments, words = MISTAKES[mistake]
    pathlib.Path("file").touch()
    check_refusal(command(*arguments), *words)


@pytest.mark.parametrize("key", ["batch_size", "eval.batch_size"])
def test_a_batch_that_does_not_divide_is_answered_in_one_line(key, tmp_path):
    found = run_main(
        QUICKSTART, f"--config.{key}=6", f"--workdir={tmp_path}", devices=4
    )
    check_refusal(found, f"config.{key}=6", "4 devices", "multiple of 4")


def test_print_config_writes_one_json_object_and_nothing_else():
    code, stdout, stderr = run_main(D3, "--print_config")
    assert (code, stderr) == (0, "")
    described = json.loads(stdout)
    assert set(described) == {"config", "params", "multiply_adds", "image_size"}
    assert described["params"] == 12_032_296
    assert described["multiply_adds"] == 24_568_753_664
    assert described["image_size"] == [896, 896]
    assert described["config"]["model"]["neck"]["width"] == 160
    assert described["config"]["scaling"] == {"source": "table", "phi": 3}
    assert not (ROOT / "runs" / "d3").exists()


def test_overrides_reach_the_printed_config(command, tmp_path):
    code, stdout, _ = command(
        QUICKSTART,
        "--config.optimizer.learning_rate=0.5",
        "--config.data.shapes.num_classes=3",
        "--print_config",
    )
    assert code == 0
    described = json.loads(stdout)["config"]
    assert described["optimizer"]["learning_rate"] == 0.5
    assert described["data"]["shapes"]["num_classes"] == 3
    assert not list(tmp_path.iterdir())


def test_the_closing_table_names_the_figures_and_where_to_look(command, monkeypatch):
    figures = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
    result = dict.fromkeys(figures, 0.25) | {
        "APs": float("nan"),
        "params": 1_234_567,
        "multiply_adds": 7_000_000,
        "images_per_second": 12.34,
        "seconds": 99.6,
    }
    monkeypatch.setattr(train, "train", lambda config, workdir: result)
    code, stdout, _ = command(QUICKSTART)
    assert code == 0
    rows = dict(line.split(maxsplit=1) for line in stdout.splitlines())
    assert rows == dict.fromkeys(figures, "0.250") | {
        "APs": "-",
        "params": "1,234,567",
        "multiply-adds": "7,000,000",
        "images/s": "12.3",
        "seconds": "100",
        "workdir": "runs/quickstart",
        "TensorBoard": "tensorboard --logdir=runs/quickstart",
        "pictures": "runs/quickstart/pictures/*.png",
    }
