"""torchvision's `nms` where the compiled operators of torchvision do not load.

The registry's torchvision is linked to CUDA: they do not, beside a torch without it.
"""

import ctypes
import functools
import importlib
import importlib.util
import pathlib
import subprocess
import tempfile
from typing import Any

_KEPT: list[Any] = []
"""What torch forgets when nobody holds it."""
SOURCE = pathlib.Path(__file__).with_name("nms.cc")


def provide() -> None:
    """Registers `nms`, compiled when called, unless torchvision's own is there."""
    import torch  # pyrefly: ignore[missing-import]

    found = importlib.util.find_spec("torchvision")
    assert found
    assert found.origin
    try:
        torch.ops.load_library(str(pathlib.Path(found.origin).with_name("_C.so")))
        return
    except OSError:
        pass
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(
            f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    library.impl("nms", nms, "CPU")
    _KEPT.append(library)
    extension: Any = importlib.import_module("torchvision.extension")
    extension._has_ops = _has_ops  # Asked before every call.


def _has_ops() -> bool:
    return True


def nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Returns the rows of the boxes [x0, y0, x1, y1] that are kept, best first."""
    boxes = boxes.float().contiguous()
    order = scores.argsort(stable=True, descending=True)
    kept = order.clone()
    pointers = (each.data_ptr() for each in (boxes, order, kept))
    box_pointer, order_pointer, kept_pointer = map(ctypes.c_void_p, pointers)
    count = _compiled()(
        box_pointer,
        order_pointer,
        ctypes.c_int64(len(order)),
        ctypes.c_double(iou_threshold),
        kept_pointer,
    )
    return kept[:count]


@functools.cache
def _compiled() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/nms.so"
        flags = ("-O3", "-march=native", "-shared", "-fPIC")
        subprocess.run(["c++", *flags, str(SOURCE), "-o", path], check=True)
        function = ctypes.CDLL(path).nms
    function.restype = ctypes.c_int64
    return function
