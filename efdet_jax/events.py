"""What TensorBoard reads, without TensorFlow, which takes seconds to load."""

import io
import time
from collections.abc import Iterable
from typing import Any

from tensorboard.compat.proto import event_pb2 as protocol
from tensorboard.compat.proto import summary_pb2 as summaries
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

# Their classes are made at import, where no type checker sees them.
Event, SessionLog = protocol.Event, protocol.SessionLog  # pyrefly: ignore
Summary = summaries.Summary  # pyrefly: ignore

Steps = Iterable[tuple[int, Any]]
"""Summaries with their steps."""


def new_name() -> str:
    """Returns a name for a file of events; a later file has a later name."""
    return f"events.out.tfevents.{time.time_ns()}"


def beginning(first_step: int) -> bytes:
    """Returns what a file of events begins with.

    From its first step on it counts alone: TensorBoard drops what earlier files of the
    folder have of these steps.
    """
    now, start = time.time(), SessionLog(status=SessionLog.START)
    return _records(
        [
            Event(wall_time=now, file_version="brain.Event:2"),
            Event(wall_time=now, step=first_step, session_log=start),
        ]
    )


def records(steps: Steps) -> bytes:
    """Returns what is added to a file of events, for summaries with their steps."""
    now = time.time()
    return _records(
        Event(wall_time=now, step=step, summary=summary) for step, summary in steps
    )


def scalar(name: str, value: float, description: str = "") -> Any:
    """Returns the summary of a number."""
    return scalar_pb(name, value, description)


def image(name: str, png: bytes) -> Any:
    """Returns the summary of a picture, which is a PNG file."""
    # It is width, height and the encoded image, all as text.
    size = [int.from_bytes(png[start : start + 4]) for start in (16, 20)]
    content = [*(str(side).encode() for side in size), png]
    return Summary(
        value=[
            Summary.Value(
                tag=name,
                tensor=tensor_util.make_tensor_proto(content),
                metadata=image_metadata.create_summary_metadata(None, ""),
            )
        ]
    )


def _records(events: Iterable[Any]) -> bytes:
    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    return file.getvalue()
