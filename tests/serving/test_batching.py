"""Requests that come together are answered together, each with its own answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from rlopt.serving.batching import Batcher
from rlopt.serving.metrics import Metrics
from rlopt.serving.problems import ProblemError


@dataclass(frozen=True)
class Work:
    """A request of some titles."""

    name: int
    size: int = 1


class Double:
    """Answers with twice the name; number 13 breaks."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, requests: Sequence[Work]) -> list[int]:
        self.batches.append([request.name for request in requests])
        if any(request.name == 13 for request in requests):
            raise ValueError("unlucky")
        return [2 * request.name for request in requests]


def answers_of(work: Double, requests: Sequence[Work], **settings: Any) -> list[Any]:
    """Answers of a batcher to simultaneous requests."""

    async def ask() -> list[Any]:
        limits = {"max_titles": 8, "most_waiting": 100, "max_wait": 0.01, **settings}
        batcher: Batcher[Work] = Batcher(work, metrics=Metrics(), **limits)
        batcher.start()
        try:
            return await asyncio.gather(*(batcher.submit(request) for request in requests), return_exceptions=True)
        finally:
            await batcher.stop()

    return asyncio.run(ask())


def test_each_gets_its_own_answer_and_few_batches_do() -> None:
    work = Double()
    assert answers_of(work, [Work(i) for i in range(20, 40)]) == [2 * i for i in range(20, 40)]
    assert [len(batch) for batch in work.batches] == [8, 8, 4]


def test_a_batch_is_no_larger_than_it_may_unless_one_request_is() -> None:
    work = Double()
    answers_of(work, [Work(1, 5), Work(2, 5), Work(3, 3), Work(4, 30), Work(5, 1)])
    assert work.batches == [[1], [2, 3], [4], [5]]


def test_one_that_breaks_harms_no_other() -> None:
    work = Double()
    answers = answers_of(work, [Work(12), Work(13), Work(14)])
    assert [answers[0], answers[2]] == [24, 28]
    assert isinstance(answers[1], ValueError)


def test_too_much_waiting_is_refused() -> None:
    answers = answers_of(Double(), [Work(i, 4) for i in range(5)], most_waiting=8)
    assert answers[:2] == [0, 2]
    assert all(isinstance(answer, ProblemError) and answer.status == 503 for answer in answers[2:])


def test_what_was_given_up_is_not_worked_on() -> None:
    work = Double()

    async def ask() -> None:
        batcher: Batcher[Work] = Batcher(work, max_titles=8, most_waiting=8, max_wait=0.05, metrics=Metrics())
        batcher.start()
        first = asyncio.create_task(batcher.submit(Work(1)))
        second = asyncio.create_task(batcher.submit(Work(2)))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 4
        assert not batcher.full
        with pytest.raises(asyncio.CancelledError):
            await first
        await batcher.stop()

    asyncio.run(ask())
    assert work.batches == [[2]]
