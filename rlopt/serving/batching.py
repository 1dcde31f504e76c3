"""Micro-batches: requests that wait together are scored together, in one thread, so that the loop stays free."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from rlopt.serving.metrics import Metrics
from rlopt.serving.problems import ProblemError


class Sized(Protocol):
    """A request."""

    @property
    def size(self) -> int:
        """Amount of work, in titles."""


RequestT = TypeVar("RequestT", bound=Sized)


@dataclass(frozen=True)
class _Job(Generic[RequestT]):
    request: RequestT
    answer: "asyncio.Future[Any]"


class Batcher(Generic[RequestT]):
    """Collects requests and works them off, one batch at a time.

    Parameters
    ----------
    work
        Answers of some requests; called in one thread, never twice at once.
    max_titles
        Size of a batch; a single larger request is a batch of its own.
    most_waiting
        Titles that may wait; more are refused.
    max_wait
        Seconds that a batch waits for more requests.
    metrics
        Counters of sizes.
    """

    def __init__(
        self,
        work: Callable[[Sequence[RequestT]], Sequence[Any]],
        *,
        max_titles: int,
        most_waiting: int,
        max_wait: float,
        metrics: Metrics,
    ) -> None:
        self._work, self._max_titles, self._most_waiting = work, max_titles, most_waiting
        self._max_wait, self._metrics = max_wait, metrics
        self._queue: asyncio.Queue[_Job[RequestT]] = asyncio.Queue()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rlopt-batch")
        self._task: asyncio.Task[None] | None = None
        self._held: _Job[RequestT] | None = None

    def start(self) -> None:
        """Begin to work, in the running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End, after the batch that is being worked on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=True)

    @property
    def full(self) -> bool:
        """True if the queue takes no more work."""
        return self._waiting >= self._most_waiting

    async def submit(self, request: RequestT) -> Any:
        """The answer to ``request``.

        Raises
        ------
        ProblemError
            503 where too much waits already.
        """
        if self.full:
            self._metrics.errors.labels("busy").inc()
            raise ProblemError(503, f"{self._waiting:,} titles wait already. Ask again later.", {"Retry-After": "1"})
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._count(request.size)
        self._queue.put_nowait(_Job(request, answer))
        return await answer

    async def _run(self) -> None:
        while True:
            batch = await self._collect()
            wanted = [job for job in batch if not job.answer.done()]  # the others were given up
            if wanted:
                await self._answer(wanted)

    async def _answer(self, batch: Sequence[_Job[RequestT]]) -> None:
        requests = [job.request for job in batch]
        self._metrics.batch_requests.observe(len(batch))
        self._metrics.batch_titles.observe(sum(request.size for request in requests))
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._work, requests)
        except Exception as error:
            if len(batch) > 1:  # whichever it was, the others have their answers
                for job in batch:
                    await self._answer([job])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for job, answer in zip(batch, answers, strict=True):
            if not job.answer.done():
                job.answer.set_result(answer)

    async def _collect(self) -> list[_Job[RequestT]]:
        """Collect waiting requests into a batch; wait a moment if it is not full."""
        job = self._held or await self._queue.get()
        self._held = None
        batch, size = [job], job.request.size
        end = asyncio.get_running_loop().time() + self._max_wait
        while size < self._max_titles:
            if self._queue.empty():
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                try:
                    job = await asyncio.wait_for(self._queue.get(), left)
                except TimeoutError:
                    break
            else:
                job = self._queue.get_nowait()
            if size + job.request.size > self._max_titles:
                self._held = job
                break
            batch.append(job)
            size += job.request.size
        self._count(-size)
        return batch

    def _count(self, titles: int) -> None:
        self._waiting += titles
        self._metrics.waiting.set(self._waiting)
