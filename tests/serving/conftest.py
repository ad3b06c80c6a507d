import threading
from types import SimpleNamespace

import pytest
from finder import Finder

from efdet_jax.serving.answers import Served
from efdet_jax.serving.server import PageServer


@pytest.fixture
def site():
    """A running server of two detectors, and the detectors."""
    first, second = Finder(), Finder()
    server = PageServer(0)
    server.served = (
        Served("first", first.detector),
        Served("second", second.detector),
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield SimpleNamespace(
        server=server, port=server.server_port, first=first, second=second
    )
    server.shutdown()
    thread.join()
    server.server_close()
