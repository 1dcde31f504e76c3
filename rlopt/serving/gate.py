"""Gate of every request: the token, the limits on size and time, the counters. Every request gets an answer."""

import asyncio
import hmac
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlopt.progress import note
from rlopt.serving.metrics import Metrics
from rlopt.serving.problems import ProblemError, problem

OPEN = ("/healthz", "/readyz")  # for probes, which have no token


class Gate:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app
        The application.
    metrics
        Counters of requests.
    max_body
        Bytes of a body.
    timeout
        Seconds of a request.
    token
        Required value of ``Authorization: Bearer``; None: no token.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, max_body: int, timeout: float, token: str | None) -> None:
        self._app, self._metrics, self._max_body, self._timeout = app, metrics, max_body, timeout
        self._token = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        answer = _Answer(send)
        try:
            async with asyncio.timeout(self._timeout):
                await self._through(scope, receive, answer)
        except ProblemError as error:
            await self._tell(scope, receive, answer, error)
        except TimeoutError:
            self._metrics.errors.labels("timeout").inc()
            late = ProblemError(504, f"No answer within {self._timeout:g} s. Ask for less at once, or again later.")
            await self._tell(scope, receive, answer, late)
        except Exception as error:
            self._metrics.errors.labels("internal").inc()
            note(f"Request failed: {type(error).__name__}: {error}")
            await self._tell(scope, receive, answer, ProblemError(500, "Internal error; the service has logged it."))
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(answer.status or 499)).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - began)

    async def _through(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        headers = dict(scope["headers"])
        if self._token is not None and scope["path"] not in OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._token):
                raise ProblemError(401, "This needs the service's token.", {"WWW-Authenticate": "Bearer"})
        body = await self._body(headers.get(b"content-length", b"0"), receive)
        await self._app(scope, _replay(body, receive), answer)

    async def _body(self, length: bytes, receive: Receive) -> bytes:
        """The whole body; one that is too large is refused before it is read."""
        if length.isdigit() and int(length[:20]) > self._max_body:
            raise self._too_large()
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ProblemError(400, "The connection was closed within the body.")
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> ProblemError:
        self._metrics.errors.labels("too_large").inc()
        return ProblemError(
            413, f"A body may have {self._max_body:,} bytes. Split the request.", {"Connection": "close"}
        )

    async def _tell(self, scope: Scope, receive: Receive, answer: "_Answer", error: ProblemError) -> None:
        if answer.status is None:
            await problem(error.status, error.detail, error.headers)(scope, receive, answer)


class _Answer:
    """Passes an answer on and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `Receive` that gives a body that was read before."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
