"""google/automl's efficientdet/tf2, as a contender of `bench.py`.

It runs in an environment with TensorFlow 2.15 and as a TensorFlow graph: by XLA it is
many times slower. Its training step has no average of the weights, which its optimizer
of 2.15 refuses: less work than ours. Its post-processing is not measured.
"""

import os
import sys
import tempfile
from functools import partial
from typing import Any

import numpy as np
import turns  # pyrefly: ignore[missing-import]

OBJECTS = 10


def forward(tf: Any, net: Any, config: Any, case: dict) -> turns.Task:
    """Returns the network alone, on normalised images."""
    del config
    image = tf.random.normal((case["batch"], case["size"], case["size"], 3))
    run = tf.function(partial(net, training=False))
    return turns.Task(lambda: run(image))


def train(tf: Any, net: Any, config: Any, case: dict) -> turns.Task:
    """Returns a training step: labels, loss, backward, clip, update."""
    from tf2 import anchors  # pyrefly: ignore[missing-import]

    names = ("min_level", "max_level", "num_scales", "aspect_ratios", "anchor_scale")
    grid = anchors.Anchors(*(config[name] for name in names), config.image_size)
    labeler = anchors.AnchorLabeler(grid, config.num_classes)
    rng = np.random.default_rng(0)
    count, size = case["batch"], case["size"]
    image = tf.random.normal((count, size, size, 3))
    corners = np.sort(rng.uniform(0, size, (count, OBJECTS, 2, 2)), axis=2)
    boxes = tf.constant(corners.reshape(count, OBJECTS, 4), tf.float32)
    drawn = rng.integers(1, config.num_classes + 1, (count, OBJECTS, 1))
    classes = tf.constant(drawn, tf.float32)

    @tf.function
    def step() -> Any:
        found = [labeler.label_anchors(boxes[i], classes[i]) for i in range(count)]
        class_targets, box_targets, positives = zip(*found, strict=True)
        labels = {"mean_num_positives": tf.repeat(tf.reduce_mean(positives), count)}
        for level in class_targets[0]:
            for name, each in (("cls", class_targets), ("box", box_targets)):
                stacked = tf.stack([targets[level] for targets in each])
                labels[f"{name}_targets_{level}"] = stacked
        return net.train_step((image, labels))["loss"]

    def finish(loss: Any) -> None:
        assert np.isfinite(loss.numpy())

    return turns.Task(step, finish)


def main() -> None:
    """Takes its turns."""
    case = turns.case()
    sys.path.insert(0, case["source"])
    threads = len(os.sched_getaffinity(0))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import hparams_config  # pyrefly: ignore[missing-import]
    import tensorflow as tf
    from tf2 import train as training  # pyrefly: ignore[missing-import]
    from tf2 import train_lib  # pyrefly: ignore[missing-import]

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    config = hparams_config.get_detection_config(f"efficientdet-d{case['phi']}")
    with tempfile.TemporaryDirectory() as folder:
        changes = {
            "image_size": (case["size"], case["size"]),
            "model_dir": folder,
            "batch_size": case["batch"],
            "steps_per_epoch": 1000,
            "steps_per_execution": 1,
            "moving_average_decay": 0,
            "img_summary_steps": None,
            "strategy": None,
        }
        config.override(changes, True)
        net = training.setup_model(
            train_lib.EfficientDetNetTrain(config=config), config
        )
        kind = {"forward": forward, "train": train}[case["kind"]]
        turns.serve(
            partial(turns.seconds_of, kind(tf, net, config, case), case["runs"]),
            {
                "threads": tf.config.threading.get_intra_op_parallelism_threads(),
                "dtype": tf.keras.mixed_precision.global_policy().compute_dtype,
                "device": "cpu",
                "versions": {"tensorflow": tf.__version__},
            },
            warm_up=case["warm_up"],
        )


if __name__ == "__main__":
    turns.keep_freed_memory()
    main()
