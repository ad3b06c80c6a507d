"""Records a small EfficientDet-Lite of google/automl: tests/goldens/tflite.npz.

Usage: python scripts/make_goldens_tflite.py AUTOML

AUTOML is google/automl's folder `efficientdet`. Needs tf_keras, as that code is older
than Keras 3. The network is automl's own, only narrower and shallower than lite0 and
with random numbers in all of its variables; the .tflite files are what TensorFlow's
converter makes of it, the numbers to compare with what the network itself returns.
"""

import os
import pathlib
import sys
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
sys.path.insert(0, sys.argv[1])

import hparams_config  # pyrefly: ignore[missing-import]
import numpy as np
import tensorflow as tf
from backbone import efficientnet_lite_builder  # pyrefly: ignore[missing-import]
from tf2 import efficientdet_keras  # pyrefly: ignore[missing-import]

LITE: Any = tf.lite  # loaded when it is used, which type checkers do not see
TARGET = pathlib.Path(__file__).parents[1] / "tests/goldens/tflite.npz"
SIZE, CLASSES, STEP, SHARE = (96, 160), 3, 5, 0.15
FIGURES = {
    "gamma": (1.0, 0.2),
    "beta": (0.3, 0.2),
    "moving_mean": (0.0, 0.1),
    "bias": (0.0, 0.1),
}


def make_network(random):
    """Returns automl's network with random variables."""
    efficientnet_lite_builder.efficientnet_lite_params = lambda name: (0.28, 0.3, 0, 0)
    config = hparams_config.get_efficientdet_config("efficientdet-lite0")
    config.override(
        {
            "image_size": f"{SIZE[1]}x{SIZE[0]}",
            "num_classes": CLASSES,
            "fpn_num_filters": 16,
            "fpn_cell_repeats": 2,
            "box_class_repeats": 2,
            "is_training_bn": True,
        }
    )
    network = efficientdet_keras.EfficientDetNet(config=config)
    network.build((1, *SIZE, 3))
    for variable in network.variables:
        figures = FIGURES.get(variable.name.rsplit("/")[-1].removesuffix(":0"))
        if figures:
            variable.assign(random.normal(*figures, variable.shape))
        elif "kernel" in variable.name:
            # Most are zero, so that the files compress.
            kept = random.random(variable.shape) < SHARE
            axes = 2 if "depthwise" in variable.name else 3
            size = (SHARE * np.prod(variable.shape[:axes])) ** -0.5
            variable.assign(np.where(kept, random.normal(0, size, variable.shape), 0))
    # One pass in training mode sets the variances, so that no level fades or explodes.
    for layer in network.submodules:
        if "BatchNorm" in type(layer).__name__:
            layer.momentum = 0.5
    network(tf.constant(random.normal(size=(4, *SIZE, 3)), tf.float32), training=True)
    return network


def convert(network, settings):
    """Returns the bytes of a .tflite that gives scores and box codes of all levels."""

    @tf.function(input_signature=[tf.TensorSpec((1, *SIZE, 3), tf.float32)])
    def serve(image):
        classes, boxes = (
            tf.concat([tf.reshape(level, (1, -1, count)) for level in levels], 1)
            for levels, count in zip(
                network(image, training=False), (CLASSES, 4), strict=True
            )
        )
        return tf.sigmoid(classes), boxes

    converter = LITE.TFLiteConverter.from_concrete_functions(
        [serve.get_concrete_function()], network
    )
    for name, value in settings.items():
        setattr(converter, name, value)
    return np.frombuffer(converter.convert(), np.uint8)


def main():
    """Writes the golden."""
    random = np.random.default_rng(0)
    tf.random.set_seed(0)
    network = make_network(random)
    # The test draws the same image.
    image = np.random.default_rng(1).normal(size=(1, *SIZE, 3)).astype(np.float32)
    examples = [[random.normal(size=(1, *SIZE, 3)).astype(np.float32)] for _ in "123"]
    integers = {
        "optimizations": [LITE.Optimize.DEFAULT],
        "representative_dataset": lambda: examples,
        "inference_input_type": tf.uint8,
    }
    outputs = network(tf.constant(image), training=False)
    classes, boxes = (
        np.concatenate([np.reshape(level, (-1, count)) for level in levels])
        for levels, count in zip(outputs, (CLASSES, 4), strict=True)
    )
    np.savez_compressed(
        TARGET,
        float32=convert(network, {}),
        int8=convert(network, integers),
        class_logits=classes[::STEP],
        box_codes=boxes[::STEP],
    )
    print(TARGET, TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
