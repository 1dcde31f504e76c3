"""The application: its routes, and what goes on beside them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from rlopt import __version__
from rlopt.config import ServeConfig
from rlopt.errors import RunError
from rlopt.progress import note
from rlopt.serving import answers, problems
from rlopt.serving.assignment_log import AssignmentLog
from rlopt.serving.assignments import UnitNeededError
from rlopt.serving.backend import Served, Source
from rlopt.serving.batching import Batcher
from rlopt.serving.gate import Gate
from rlopt.serving.metrics import CONTENT_TYPE, Metrics
from rlopt.serving.problems import ProblemError, documented
from rlopt.serving.requests import MAX_ID, GenerateRequest, ScoreRequest

MAX_UNIT = 256
BATCHES = 8  # of titles to score that may wait, and requests to generate for every item one may have
ABOUT = """Titles that earn clicks, over one run of rlopt.

* `POST /v1/score`: what titles would earn, as `rlopt score` says it.
* `POST /v1/generate`: new titles under the run's rules, as `rlopt generate` writes them.
* `GET /v1/titles/{item_id}`: the title to show, the same one for a unit (visitor, session) each time.

Errors are problem details (RFC 9457). Where a token is set, send `Authorization: Bearer TOKEN`."""


@dataclass
class Service:
    """State shared by the routes.

    Parameters
    ----------
    config
        The settings.
    served
        Current models and titles.
    source
        Source of newer ones.
    log
        Log of assignments; None without one.
    token
        Token that requests must carry; None: no token.
    """

    config: ServeConfig
    served: Served
    source: Source
    log: AssignmentLog | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        config = self.config
        self.metrics = Metrics()
        self._refused = ""  # why a newer run was not taken over, last time
        self.scores: Batcher[ScoreRequest] = Batcher(
            lambda requests: self.served.models.score(requests),
            max_titles=config.max_batch,
            most_waiting=BATCHES * config.max_batch,
            max_wait=config.max_wait_ms / 1000,
            metrics=self.metrics,
        )
        self.titles: Batcher[GenerateRequest] = Batcher(
            self._generate,
            max_titles=1,
            most_waiting=BATCHES * config.max_items,
            max_wait=0,
            metrics=self.metrics,
        )

    def _generate(self, requests: Sequence[GenerateRequest]) -> list[dict[str, Any]]:
        return [self.served.models.generate(request) for request in requests]

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Batches are worked off, and newer runs taken over, until the block ends."""
        self.scores.start()
        self.titles.start()
        watching = asyncio.create_task(self._watch())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await self.scores.stop()
        await self.titles.stop()
        if self.log is not None:
            self.log.close()
        self.metrics.close()

    async def _watch(self) -> None:
        while self.config.reload_every:
            await asyncio.sleep(self.config.reload_every)
            await self.refresh()

    async def refresh(self) -> None:
        """Take over a newer run or table, where there is one; requests under way end with what they began with."""
        try:
            newer = await asyncio.to_thread(self.source.newer, self.served)
        except Exception as error:  # whatever is wrong with it, the old one stays in service
            self.metrics.errors.labels("reload").inc()
            if str(error) != self._refused:  # it is tried again and again, until somebody mends it
                note(f"The newer run or table cannot be loaded, so the old one stays in service: {error}")
            self._refused = str(error)
            return
        self._refused = ""
        if newer is not None:
            self.served = newer
            self.metrics.reloads.inc()
            note(f"Serving version {newer.models.version}")


def make_app(service: Service) -> Gate:
    """The ASGI application of a service."""
    app = FastAPI(
        title="rlopt", version=__version__, description=ABOUT, docs_url=None, redoc_url=None, lifespan=service.running,
        openapi_tags=[{"name": "titles"}, {"name": "operation"}],
    )  # fmt: skip
    app.exception_handler(ProblemError)(problems.told)
    app.exception_handler(HTTPException)(problems.of_http)
    app.exception_handler(RequestValidationError)(problems.of_validation)
    app.exception_handler(Exception)(problems.of_anything)
    app.include_router(_titles(service))
    app.include_router(_operation(service))
    config = service.config
    return Gate(app, service.metrics, config.max_body_kib * 1024, config.timeout, service.token)


def _titles(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["titles"])
    config = service.config
    usual = documented(400, 401, 413, 422, 500, 503, 504)

    @router.post("/score", responses={200: {"model": answers.ScoreAnswer}, **usual})
    async def score(request: ScoreRequest) -> Response:
        """Score titles: predicted clicks, conversions and reward, with intervals and what is far from the logs.

        Requests that come together are scored together. The numbers are those of `rlopt score` for a file with the
        same titles.
        """
        _limit(request.size, config.max_titles, "titles to score")
        answer = await service.scores.submit(request)
        service.metrics.titles.labels("score").inc(request.size)
        return _json(answer)

    @router.post("/generate", responses={200: {"model": answers.GenerateAnswer}, **usual})
    async def generate(request: GenerateRequest) -> Response:
        """Write titles for items under the run's rules: the titles of `rlopt generate` for the same items and seed."""
        _limit(len(request.items), config.max_items, "items to write titles for")
        ids = [item.item_id for item in request.items]
        if len(set(ids)) < len(ids):
            raise ProblemError(422, "An item may be there once in a request. Ask for several titles of it with n.")
        if why := service.served.models.cannot_generate:
            raise ProblemError(503, why)
        answer = await service.titles.submit(request)
        service.metrics.titles.labels("generate").inc(request.size)
        return _json(answer)

    @router.get(
        "/titles/{item_id:path}",
        responses={200: {"model": answers.Assigned}, **documented(400, 401, 404, 413, 422, 500, 503, 504)},
    )
    async def title(
        item_id: Annotated[str, Path(min_length=1, max_length=MAX_ID, examples=["sku-1042"])],
        unit: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=MAX_UNIT,
                description="Who sees it: a visitor's or session's id. Needed where the title is drawn.",
                examples=["visitor-7"],
            ),
        ] = None,
    ) -> Response:
        """The title to show: the approved one, or the unit's draw with its probability, the same one each time."""
        assigner = service.served.assigner
        if assigner is None:
            raise ProblemError(404, "This service has no table of titles (rlopt serve --titles FILE).")
        try:
            drawn = assigner.draw(item_id, unit)
        except UnitNeededError:
            raise ProblemError(422, "The title of this item depends on who sees it: add ?unit=ID.") from None
        if drawn is None:
            raise ProblemError(404, "The table has no title of this item.")
        assigned = {
            "item_id": item_id,
            "unit": unit,
            "title": drawn.title,
            "arm": drawn.arm,
            "probability": drawn.probability,
            "table": assigner.version,
        }
        if service.log is not None:
            try:
                service.log.write({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **assigned})
            except (OSError, RunError) as error:
                service.metrics.errors.labels("log").inc()
                note(f"An assignment cannot be logged: {error}")
                raise ProblemError(503, "The assignment cannot be logged, so no title is handed out.") from error
        return _json(assigned)

    return router


def _operation(service: Service) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", responses={200: {"model": answers.Health}})
    async def alive() -> Response:
        """Liveness: report that the process runs."""
        return _json({"status": "ok", "version": service.served.models.version})

    @router.get("/readyz", responses={200: {"model": answers.Health}, **documented(503)})
    async def ready() -> Response:
        """Readiness: the models are loaded, and the queue has room."""
        if service.scores.full or service.titles.full:
            raise ProblemError(503, "The queue is full.", {"Retry-After": "1"})
        return _json({"status": "ready", "version": service.served.models.version})

    @router.get(
        "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **documented(401)}
    )
    async def metrics() -> Response:
        """Counters for Prometheus: requests, seconds, batches, titles, errors, reloads."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return router


def _limit(size: int, most: int, what: str) -> None:
    if size > most:
        raise ProblemError(413, f"A request may have {most:,} {what}. This one has {size:,}: split it.")


def _json(content: dict[str, Any]) -> Response:
    """NaN, which JSON does not have, is null."""
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json")
