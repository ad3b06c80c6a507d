"""Records what published models call their arrays: tests/goldens/names.json.gz.

Usage, each part where its libraries are installed; the others' records are kept:

    python scripts/make_goldens_families.py automl REFERENCE
    python scripts/make_goldens_families.py torch
    python scripts/make_goldens_families.py keras

REFERENCE is the folder that holds `automl/`; `torch` needs effdet and timm.
"""

import gzip
import json
import pathlib
import re
import sys

TARGET = pathlib.Path(__file__).parents[1] / "tests/goldens/names.json.gz"
EFFDET = (
    "tf_efficientdet_d0",
    "tf_efficientdet_d3",
    "tf_efficientdet_d7x",
    "efficientdet_d0",
    "tf_efficientdet_lite0",
    "tf_efficientdet_lite3",
    "tf_efficientdet_lite4",
    "efficientdet_q0",
)
TIMM = (
    "tf_efficientnet_b0",
    "tf_efficientnet_b3",
    "efficientnet_b0",
    "tf_efficientnet_lite0",
)
KERAS = ("EfficientNetB0", "EfficientNetB3")


def record_automl():
    """Reads the lists that came with the recorded reference."""
    folder = pathlib.Path(sys.argv[2]) / "automl"
    for listing in sorted(folder.glob("*_varnames.txt")):
        yield f"automl/{listing.stem.split('_')[0]}", _parse(listing)
    objects = _parse(folder / "d0_256_tf2ckpt_keys.txt")
    del objects["_CHECKPOINTABLE_OBJECT_GRAPH"]
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    objects = {name.removesuffix(suffix): shape for name, shape in objects.items()}
    yield "automl_objects/d0", objects


def _parse(listing):
    lines = listing.read_text().splitlines()
    found = (re.match(r"(\S+) [\[(]([\d, ]*)[\])]", line) for line in lines)
    return {f[1]: [int(size) for size in f[2].split(",") if size] for f in found if f}


def record_torch():
    """Builds the models without values."""
    import effdet  # pyrefly: ignore[missing-import]
    import timm  # pyrefly: ignore[missing-import]
    import torch  # pyrefly: ignore[missing-import]

    with torch.device("meta"):
        for name in EFFDET:
            config = effdet.get_efficientdet_config(name)
            model = effdet.EfficientDet(config, pretrained_backbone=False)
            yield f"effdet/{name}", _shapes(model.state_dict())
        for name in TIMM:
            yield f"timm/{name}", _shapes(timm.create_model(name).state_dict())


def record_keras():
    """Builds the models with random values."""
    import keras

    for name in KERAS:
        keras.backend.clear_session()
        model = getattr(keras.applications, name)(weights=None)
        yield f"keras/{name}", _shapes({w.path: w for w in model.weights})


def _shapes(arrays):
    return {name: list(array.shape) for name, array in arrays.items()}


def main():
    """Writes the file beside the tests."""
    parts = {"automl": record_automl, "torch": record_torch, "keras": record_keras}
    records = (
        json.loads(gzip.decompress(TARGET.read_bytes())) if TARGET.exists() else {}
    )
    records |= dict(parts[sys.argv[1]]())
    text = json.dumps(records, sort_keys=True, separators=(",", ":"))
    TARGET.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{TARGET}: {len(records)} models, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
