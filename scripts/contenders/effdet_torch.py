"""effdet (PyTorch), as a contender of `bench.py`; runs in an environment of its own.

Its tensors are "channels_last", and torch compiles it if the case says so. Its training
step gets an average of the weights, as ours has one. Its post-processing is hard
suppression per class, at an IoU of 0.5, of the 5000 pairs of anchor and class with the
highest scores; the 100 best of what is left (see `ours.py`). Images come normalised. On
a GPU it computes in bfloat16 where autocast thinks that right.
"""

import contextlib
import functools
import importlib
import os
from importlib.metadata import version
from typing import Any

import torchvision_nms  # pyrefly: ignore[missing-import]
import turns  # pyrefly: ignore[missing-import]

CLASSES, OBJECTS, ROWS = 90, 10, 100
DEVICES = {"cpu": "cpu", "gpu": "cuda"}


def targets(torch: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Returns as many random boxes for each image as ours has."""
    generator = torch.Generator().manual_seed(0)
    size, count = case["size"], case["batch"]
    corners = torch.rand(count, OBJECTS, 2, 2, generator=generator) * size
    boxes = torch.full((count, ROWS, 4), -1.0)
    boxes[:, :OBJECTS] = corners.sort(dim=2).values.flatten(2)
    classes = torch.full((count, ROWS), -1.0)
    drawn = torch.randint(1, CLASSES + 1, (count, OBJECTS), generator=generator)
    classes[:, :OBJECTS] = drawn.float()
    return {
        "bbox": boxes,
        "cls": classes,
        "img_scale": torch.ones(count),
        "img_size": torch.full((count, 2), float(size)),
    }


def forward(torch: Any, net: Any, image: Any, case: dict) -> turns.Task:
    """Returns the network alone, on normalised images."""
    net = compiled(torch, net.eval(), case)

    def run() -> None:
        with torch.no_grad(), precision(torch, case):
            net(image)

    return turns.Task(run)


def detect(torch: Any, net: Any, image: Any, case: dict) -> turns.Task:
    """Returns the network with its post-processing."""
    from effdet.bench import DetBenchPredict  # pyrefly: ignore[missing-import]

    spread_logits(torch, net.eval(), image)
    bench = DetBenchPredict(net).eval().to(image.device)
    bench.model = compiled(torch, net, case)

    def run() -> Any:
        with torch.no_grad(), precision(torch, case):
            return bench(image)

    def finish(detections: Any) -> None:
        # x0, y0, x1, y1, score, class
        assert (detections.cpu()[..., 4] > 0).all()

    return turns.Task(run, finish)


def spread_logits(torch: Any, net: Any, image: Any) -> None:
    """Gives the logits a standard deviation of 1, as `ours.py` does."""
    predictor = net.class_net.predict.conv_pw
    with torch.no_grad():
        bias = predictor.bias.clone()
        predictor.bias.zero_()
        logits = torch.cat([level.flatten() for level in net(image)[0]])
        predictor.weight /= logits.std()
        predictor.bias.copy_(bias)


def train(torch: Any, net: Any, image: Any, case: dict) -> turns.Task:
    """Returns a training step: labels, loss, backward, clip, update, averages."""
    from effdet.bench import DetBenchTrain  # pyrefly: ignore[missing-import]
    from timm.utils import ModelEmaV3  # pyrefly: ignore[missing-import]

    bench = DetBenchTrain(net, create_labeler=True).train().to(image.device)
    average = ModelEmaV3(bench, decay=0.9998)
    parameters = list(bench.parameters())
    optimizer = torch.optim.SGD(
        parameters, lr=0.001, momentum=0.9, weight_decay=4e-5, fused=True
    )
    bench.model = compiled(torch, net, case)
    truth = {n: each.to(image.device) for n, each in targets(torch, case).items()}

    def run() -> Any:
        with precision(torch, case):
            loss = bench(image, truth)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        average.update(bench)
        return loss

    def finish(loss: Any) -> None:
        assert torch.isfinite(loss)

    return turns.Task(run, finish)


def compiled(torch: Any, net: Any, case: dict) -> Any:
    """Returns the network as the case wants it; "" compiles nothing."""
    if not case["compile"]:
        return net
    # Inference folds the weights in: a sixth faster.
    inductor: Any = importlib.import_module("torch._inductor.config")
    inductor.freezing = case["kind"] != "train"
    return torch.compile(net, mode=case["compile"])


def precision(torch: Any, case: dict) -> Any:
    """Returns the context in which the network runs."""
    if case["dtype"] == "float32":
        return contextlib.nullcontext()
    return torch.autocast(DEVICES[case["device"]], getattr(torch, case["dtype"]))


def main() -> None:
    """Takes its turns."""
    case = turns.case()
    import torch  # pyrefly: ignore[missing-import]

    torchvision_nms.provide()
    import effdet  # pyrefly: ignore[missing-import]

    on_gpu = case["device"] == "gpu"
    if on_gpu and not torch.cuda.is_available():
        raise turns.refusal("torch has no gpu")
    device = DEVICES[case["device"]]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    size = (case["size"], case["size"])
    net = effdet.create_model(
        f"tf_efficientdet_d{case['phi']}",
        pretrained=False,
        pretrained_backbone=False,
        image_size=size,
    ).to(device, memory_format=torch.channels_last)
    image = torch.randn(case["batch"], 3, *size).to(
        device, memory_format=torch.channels_last
    )
    kind = {"forward": forward, "detect": detect, "train": train}[case["kind"]]
    task = kind(torch, net, image, case)

    def finish(result: Any) -> None:
        if on_gpu:
            torch.cuda.synchronize()
        task.finish(result)

    turns.serve(
        functools.partial(turns.seconds_of, turns.Task(task.run, finish), case["runs"]),
        {
            "threads": torch.get_num_threads(),
            "dtype": case["dtype"],
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "versions": {"torch": torch.__version__, "effdet": version("effdet")},
        },
        warm_up=case["warm_up"],
        peak_gb=(lambda: torch.cuda.max_memory_allocated() / 1e9)
        if on_gpu
        else turns.host_gb,
    )


if __name__ == "__main__":
    turns.keep_freed_memory()
    main()
