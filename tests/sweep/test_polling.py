"""An engine's queue is asked seldom, and may be away for a while."""

import pytest

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers import polling


class Engine:
    """Answers, or fails while `is_away`."""

    def __init__(self):
        self.jobs = {"d0"}
        self.questions = 0
        self.is_away = False

    def ask(self):
        self.questions += 1
        if self.is_away:
            raise UsageError("the engine is away")
        return self.jobs


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(polling.time, "monotonic", lambda: now[0])
    return now


def test_an_answer_serves_for_a_while(clock):
    engine = Engine()
    queue = polling.Queue(engine.ask)
    assert queue.names() == {"d0"}
    clock[0] = polling.SECONDS_BETWEEN_QUESTIONS - 1
    assert queue.names() == {"d0"}
    assert engine.questions == 1
    engine.jobs = {"d1"}
    clock[0] += 1
    assert queue.names() == {"d1"}


def test_what_was_just_started_is_alive(clock):
    queue = polling.Queue(Engine().ask)
    queue.names()
    queue.add("d1")
    assert queue.names() == {"d0", "d1"}


def test_the_last_answer_holds_while_the_engine_is_away_for_minutes(clock):
    engine = Engine()
    queue = polling.Queue(engine.ask)
    queue.names()
    engine.is_away = True
    clock[0] = polling.SECONDS_OF_PATIENCE
    assert queue.names() == {"d0"}
    clock[0] += polling.SECONDS_BETWEEN_QUESTIONS
    with pytest.raises(UsageError, match="away"):
        queue.names()


def test_an_engine_that_never_answered_is_an_error_at_once(clock):
    engine = Engine()
    engine.is_away = True
    with pytest.raises(UsageError, match="away"):
        polling.Queue(engine.ask).names()
