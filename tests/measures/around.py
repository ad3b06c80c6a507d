"""What stands around the network: images, anchors, targets, losses, schedules."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import optax
import tiny
from jax import numpy as jnp
from measures.forward import channels_last
from measures.rows import Row, compare
from oracles import recorded

from efdet_jax import assemble, recipes
from efdet_jax import boxes as boxes_lib
from efdet_jax.anchors import anchor_grid
from efdet_jax.config import IMAGENET, get_config
from efdet_jax.data import transforms
from efdet_jax.flat import in_vectors, trees
from efdet_jax.losses import detection_loss
from efdet_jax.models import normalise
from efdet_jax.models.initial import initial_variables
from efdet_jax.optim import learning_rate_schedule
from efdet_jax.structures import BACKGROUND, Batch, Outputs, Targets
from efdet_jax.targets import assign
from efdet_jax.train_step import initial_state, train_step

AUTOML, EFFDET = "google/automl", "effdet"
STEM = "effdet/tf_efficientdet_d0_256"
EXACT = 1e-5

PLACED = {
    "infer_h300w451": (1.0, (0.0, 0.0)),
    "infer_h200w120": (1.0, (0.0, 0.0)),
    "infer_h256w256": (1.0, (0.0, 0.0)),
    "train_scale1.7_offy0.3_offx0.6": (1.7, (0.3, 0.6)),
    "train_scale0.4_offy0.3_offx0.6": (0.4, (0.3, 0.6)),
    "train_scale1.1_offy0.9_offx0.1": (1.1, (0.9, 0.1)),
}
"""Random scale and place of the crop in each recording."""


def preprocessing(reference: Path) -> Iterator[Row]:
    """Images of three sizes as inference sees them; one as training does, and boxes."""
    recording = np.load(reference / "automl/preprocess.npz")
    stddev = np.array(IMAGENET["stddev"])
    images, boxes = {}, {}
    for name, (factor, crop) in PLACED.items():
        is_training = name.startswith("train")
        raw = recording["train_in/raw" if is_training else f"{name}/raw"]
        placement = transforms.place(
            raw.shape[:2],
            output_size=(256, 256),
            resize="letterbox",
            scale_factor=factor,
            crop=crop,
        )
        placed = transforms.place_image(
            raw.astype(np.float32),
            placement,
            output_size=(256, 256),
            pad_colour=IMAGENET["mean"],
        )
        # In levels of 255, so that a difference is a share of the whole range.
        theirs = recording[f"{name}/image"] * stddev + IMAGENET["mean"]
        images[name] = placed, theirs
        if is_training:
            boxes[name] = _placed_boxes(recording, name, placement)
    yield compare("pre-processing: images", AUTOML, EXACT, images)
    yield compare("pre-processing: boxes", AUTOML, EXACT, boxes)
    inputs = np.load(reference / "automl/d0_256_input.npz")
    pairs = {"": (normalise(inputs["raw_uint8"], **IMAGENET), inputs["image"])}
    yield compare("pre-processing: normalised image", AUTOML, EXACT, pairs)


def _placed_boxes(recording, name, placement):
    size = np.tile(placement.image_size, 2).astype(np.float32)
    placed = transforms.place_boxes(
        recording["train_in/boxes_norm_yxyx"] * size,
        placement,
        output_size=(256, 256),
    )
    # The reference cuts a pixel off every object that touches the border.
    placed = np.minimum(placed, 255)
    return placed[transforms.has_area(placed)], recording[f"{name}/boxes"]


GRIDS = {
    "d0_256": ((256, 256), 0),
    "d0_512": ((512, 512), 0),
    "d0_384x640_HxW": ((384, 640), 0),
    "d0_250x330_HxW": ((250, 330), 0),
    "d7_512_scale5": ((512, 512), 7),
    "d7x_512_P3toP8": ((512, 512), "7x"),
}
"""Image size and phi of each recording."""


def anchors(reference: Path) -> Iterator[Row]:
    """Six grids, and boxes decoded from one."""
    recording = np.load(reference / "automl/anchors.npz")
    pairs = {name: (_grid(*GRIDS[name]), recording[name]) for name in GRIDS}
    yield compare("anchors", AUTOML, EXACT, pairs)
    model = recipes.get_effdet_config("tf_efficientdet_d0").model
    grid = anchor_grid((256, 256), levels=model.levels, **model.anchors)
    pair = grid, np.load(reference / f"{STEM}_loss.npz")["anchors_yxyx"]
    yield compare("anchors", EFFDET, EXACT, {"": pair})
    recording = np.load(reference / "automl/box_decode.npz")
    codes, expected = recording["pred_tytxthtw"], recording["decoded_yxyx"]
    found = boxes_lib.decode(np.broadcast_to(recording["anchors"], codes.shape), codes)
    # By box, as a share of its size: some are thousands of pixels large.
    side = np.abs(expected).max(axis=-1, keepdims=True)
    pairs = {"": (found / side, expected / side)}
    yield compare("decoded boxes", AUTOML, EXACT, pairs)


def _grid(size, phi):
    config = get_config("table", phi)
    return anchor_grid(size, levels=config.model.levels, **config.model.anchors)


LABELS = (
    "A_256_generic",
    "B_256_special",
    "C_512_generic",
    "D_384x640_generic",
    "E_256_one_far_outside",
    "F_256_empty",
    "G_256_two_tiny_same_anchor",
)


def labels(reference: Path) -> Iterator[Row]:
    """Classes and codes of all anchors for the ground truth of nine images."""
    run = jax.jit(functools.partial(assign, match_iou=0.5, ignore_coverage=2.0))
    classes, codes = {}, {}
    recording = np.load(reference / "automl/labels.npz")
    for case in LABELS:
        theirs, their_codes = (
            recorded.flatten_levels(
                {name: array[None] for name, array in recording.items()},
                f"{case}/{kind}_targets_{{}}",
                depth,
            )
            for kind, depth in (("cls", 1), ("box", 4))
        )
        boxes, numbers = (
            recording[f"{case}/gt_{key}"] for key in ("boxes_yxyx", "labels")
        )
        # A row of padding, because a batch has at least one.
        targets = run(
            _grid(tuple(recording[f"{case}/image_size_hw"].tolist()), 0),
            np.pad(boxes, ((0, 1), (0, 0)))[None],
            np.append(numbers.astype(np.int32) - 1, BACKGROUND)[None],
        )
        classes[case] = targets.classes, theirs[..., 0]
        codes[case] = targets.box_codes, their_codes
    yield compare("labels: classes of anchors", AUTOML, 0.0, classes)
    yield compare("labels: codes of anchors", AUTOML, EXACT, codes)
    recording = np.load(reference / f"{STEM}_loss.npz")
    classes, codes = {}, {}
    for letter in ("a", "b"):
        theirs = _effdet_targets(recording, letter)
        truth = recording[f"{letter}_cls"]
        targets = run(
            recording["anchors_yxyx"],
            recording[f"{letter}_bbox_yxyx"],
            np.where(truth > 0, truth - 1, BACKGROUND).astype(np.int32),
        )
        classes[letter] = targets.classes, theirs.classes
        codes[letter] = targets.box_codes, theirs.box_codes
    yield compare("labels: classes of anchors", EFFDET, 0.0, classes)
    yield compare("labels: codes of anchors", EFFDET, EXACT, codes)


def _effdet_targets(recording, letter) -> Targets:
    flatten = functools.partial(recorded.flatten_levels, recording, levels=range(5))
    return Targets(
        jnp.asarray(flatten(f"{letter}_label_cls_{{}}", 1)[..., 0], jnp.int32),
        jnp.asarray(flatten(f"{letter}_label_bbox_{{}}", 4)),
        jnp.asarray(recording[f"{letter}_num_positives"]),
    )


def automl_outputs(reference: Path) -> Outputs:
    """What its D0 has said."""
    maps = np.load(reference / "automl/d0_256_outputs.npz")
    return Outputs(
        jnp.asarray(recorded.flatten_levels(maps, "cls_{}", 90)),
        jnp.asarray(recorded.flatten_levels(maps, "box_{}", 4)),
    )


def effdet_outputs(reference: Path) -> Outputs:
    """What its D0 has said."""
    maps = channels_last(np.load(reference / f"{STEM}_io.npz"))
    return Outputs(
        jnp.asarray(recorded.flatten_levels(maps, "cls_{}", 90, range(5))),
        jnp.asarray(recorded.flatten_levels(maps, "box_{}", 4, range(5))),
    )


def losses(reference: Path) -> Iterator[Row]:
    """Of what the networks have said, with and without smoothing of labels."""
    maps = np.load(reference / "automl/loss_inputs_labels.npz")
    targets = Targets(
        jnp.asarray(recorded.flatten_levels(maps, "cls_targets_{}", 1)[..., 0]),
        jnp.asarray(recorded.flatten_levels(maps, "box_targets_{}", 4)),
        jnp.asarray(maps["mean_num_positives"][:, 0]),
    )
    outputs = automl_outputs(reference)
    recording = json.loads((reference / "automl/losses.json").read_text())
    pairs = {}
    for smoothing in ("0", "0.1"):
        expected = recording[f"label_smoothing_{smoothing}"]
        parts = _losses(outputs, targets, float(smoothing))
        for name, found in zip(("det", "cls", "box"), parts, strict=True):
            pairs[f"{name}, smoothing {smoothing}"] = found, expected[f"{name}_loss"]
    yield compare("losses", AUTOML, EXACT, pairs)
    recording = np.load(reference / f"{STEM}_loss.npz")
    outputs = effdet_outputs(reference)
    pairs = {}
    for letter in ("a", "b"):
        targets = _effdet_targets(recording, letter)
        for kind, smoothing in (("new", 0.0), ("new_smooth01", 0.1), ("legacy", 0.0)):
            parts = _losses(outputs, targets, smoothing)
            expected = recording[f"{letter}_loss_{kind}"]
            for name, pair in zip(
                parts._fields, zip(parts, expected, strict=True), strict=True
            ):
                pairs[f"{letter} {kind} {name}"] = pair
    yield compare("losses", EFFDET, EXACT, pairs)


def _losses(outputs, targets, smoothing):
    knobs = get_config("table", 0).loss.to_dict()
    return detection_loss(outputs, targets, **knobs | {"label_smoothing": smoothing})


def schedules(reference: Path) -> Iterator[Row]:
    """The learning rate at the recorded steps, for two sizes of batches."""
    recording = json.loads((reference / "automl/lr_schedule.json").read_text())
    pairs = {}
    for name, points in recording.items():
        kind, batch = name.split("_")[:2]
        rate = learning_rate_schedule(
            schedule="automl_cosine" if kind == "cosine" else kind,
            learning_rate=0.08,
            reference_batch=64,
            batch_size=int(batch.removeprefix("bs")),
            warmup_steps=100,
            warmup_start=0.008,
            steps=30_000,
        )
        steps, expected = np.array(points).T
        pairs[name] = rate(jnp.asarray(steps.astype(int))), expected
    yield compare("learning rates", AUTOML, EXACT, pairs)


def averages(reference: Path) -> Iterator[Row]:
    """Averages of a run whose parameters move as the recorded variable has moved."""
    recording = json.loads((reference / "automl/ema_sequence.json").read_text())
    values = np.array([value for value, _, _ in recording])[:, 0]
    moves = np.diff(values, prepend=1.0)
    optimizer = optax.GradientTransformation(
        lambda params: jnp.zeros((), jnp.int32),
        lambda gradients, step, params: (
            jax.tree.map(lambda x: jnp.full_like(x, jnp.asarray(moves)[step]), params),
            step + 1,
        ),
    )
    config = tiny.get_config()
    assembly = assemble.detector(config, 2)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=0.01)
    state = initial_state(**in_vectors(variables), optimizer=optimizer)
    start = trees(state.params)
    batch = Batch(
        image=np.zeros((1, *config.image_size, 3), np.uint8),
        boxes=np.zeros((1, 1, 4), np.float32),
        classes=np.full((1, 1), BACKGROUND, np.int32),
        image_index=np.zeros(1, np.int32),
        scale=np.ones((1, 2), np.float32),
    )
    step = jax.jit(
        functools.partial(
            train_step,
            model=assembly.model,
            objective=assembly.objective,
            normalisation=config.normalise.to_dict(),
            optimizer=optimizer,
            schedule=lambda step: 0.0,
            l2_weight=0.0,
            ema_decay=0.9998,
            seed=0,
            accumulate=1,
        ),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    pairs = {}
    for index, (_, average, _) in enumerate(recording, start=1):
        state, _ = step(state, batch)
        leaves = zip(
            jax.tree.leaves(trees(state.ema["params"])),
            jax.tree.leaves(start),
            strict=True,
        )
        found = [float(np.mean(np.asarray(now) - then)) + 1.0 for now, then in leaves]
        pairs[f"step {index}"] = found, np.full(len(found), average[0])
    yield compare("moving averages", AUTOML, EXACT, pairs)
