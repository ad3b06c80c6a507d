"""Times the input pipeline alone, beside tf.data doing the same.

python scripts/bench_input.py [--images=1024] [--threads=2] [--seconds=6] [--rounds=7]
    [--workers=0]

VGA JPEG files with eight boxes each become scale-jittered, mirrored 512 x 512 uint8
batches of 16 with boxes. Both are measured in turns; medians over the rounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2
import numpy as np
import tensorflow as tf

from efdet_jax.config import IMAGENET, get_config
from efdet_jax.data.coco import Coco
from efdet_jax.data.pipeline import train_batches

SIZE, BATCH, MAX_BOXES, BOXES = 512, 16, 100, 8


def write_data(folder: pathlib.Path, count: int) -> None:
    """Writes photographs as far as a JPEG decoder can tell: edges, texture, noise."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(count):
        coarse = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
        noise = rng.normal(0, 6, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 480, "width": 640})
        for _ in range(BOXES):
            x, y = rng.uniform(0, 500), rng.uniform(0, 350)
            box = [x, y, *rng.uniform(20, 120, 2)]
            annotations.append({"image_id": i, "category_id": 1, "bbox": box})
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "boxes.json").write_text(json.dumps(document))


def ours(folder: pathlib.Path, threads: int, workers: int) -> Iterator[Any]:
    """Returns batches of the package."""
    return train_batches(
        Coco(folder / "boxes.json", folder),
        image_size=(SIZE, SIZE),
        batch_size=BATCH,
        resize="letterbox",
        pad_colour=IMAGENET["mean"],
        max_boxes=MAX_BOXES,
        flip=True,
        jitter=(0.1, 2.0),
        min_visible=0.0,
        augment=get_config("table", 0).data.augment.to_dict(),
        max_broken=0.0,
        seed=0,
        num_threads=threads,
        num_workers=workers,
        shard=(0, 1),
        patience=0,
    )


def theirs(folder: pathlib.Path, threads: int) -> Iterator[Any]:
    """Returns batches of tf.data, as EfficientDet's own loader makes them."""
    source = Coco(folder / "boxes.json", folder)
    found = [source.annotations(i) for i in range(len(source))]
    paths = tf.constant([source.title(i) for i in range(len(source))])
    boxes = tf.constant(np.stack([each.boxes for each in found]).astype(np.float32))
    classes = tf.constant(np.stack([each.classes for each in found]))
    mean = tf.constant(IMAGENET["mean"])

    def load(path, box, class_):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        width = tf.cast(tf.shape(image)[1], tf.float32)
        if tf.random.uniform([]) < 0.5:
            image = tf.reverse(image, [1])
            y0, x0, y1, x1 = tf.unstack(box, axis=1)
            box = tf.stack([y0, width - x1, y1, width - x0], axis=1)
        height = tf.cast(tf.shape(image)[0], tf.float32)
        target = SIZE * tf.random.uniform([], 0.1, 2.0)
        scale = tf.minimum(target / height, target / width)
        new = [tf.cast(height * scale, tf.int32), tf.cast(width * scale, tf.int32)]
        room = [tf.maximum(0, side - SIZE) for side in new]
        top, left = (
            tf.cast(tf.random.uniform([]) * tf.cast(r, tf.float32), tf.int32)
            for r in room
        )
        image = tf.image.resize(tf.cast(image, tf.float32), new)
        image = image[top : top + SIZE, left : left + SIZE]
        below, beside = SIZE - tf.shape(image)[0], SIZE - tf.shape(image)[1]
        image = tf.pad(image - mean, [[0, below], [0, beside], [0, 0]]) + mean
        offset = tf.cast(tf.stack([top, left, top, left]), tf.float32)
        box = tf.clip_by_value(box * scale - offset, 0, SIZE)
        kept = tf.reduce_all(box[:, 2:] > box[:, :2], axis=1)
        box, class_ = box[kept], class_[kept]
        missing = MAX_BOXES - tf.shape(box)[0]
        image = tf.ensure_shape(tf.cast(image, tf.uint8), [SIZE, SIZE, 3])
        return (
            image,
            tf.ensure_shape(tf.pad(box, [[0, missing], [0, 0]]), [MAX_BOXES, 4]),
            tf.ensure_shape(
                tf.pad(class_, [[0, missing]], constant_values=-1), [MAX_BOXES]
            ),
        )

    dataset = (
        tf.data.Dataset.from_tensor_slices((paths, boxes, classes))
        .shuffle(len(found), seed=0)
        .repeat()
        .map(load, num_parallel_calls=threads)
        .batch(BATCH)
        .prefetch(2)
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return dataset.with_options(options).as_numpy_iterator()


def speed(batches: Iterator[Any], seconds: float) -> float:
    """Returns images per second, the first batches not counted."""
    for _ in range(3):
        next(batches)
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        next(batches)
        count += BATCH
    return count / elapsed


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_data(folder, args.images)
        contenders = {
            "efdet_jax": ours(folder, args.threads, args.workers),
            "tf.data": theirs(folder, args.threads),
        }
        speeds: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(args.rounds):
            for contender, batches in contenders.items():
                speeds[contender].append(speed(batches, args.seconds))
    print("| | images/s | lowest | highest |\n|---|---|---|---|")
    for contender, found in speeds.items():
        median = statistics.median(found)
        print(f"| {contender} | {median:.0f} | {min(found):.0f} | {max(found):.0f} |")
    ratio = statistics.median(
        t / o for o, t in zip(speeds["efdet_jax"], speeds["tf.data"], strict=True)
    )
    print(f"time of efdet_jax over that of tf.data: {ratio:.2f}")


if __name__ == "__main__":
    main()
