"""Errors as RFC 9457 has them: application/problem+json. What came with the request is never sent back."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rlopt.serving.answers import Problem
from rlopt.wording import one_line

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20


class ProblemError(Exception):
    """A request that cannot be answered.

    Parameters
    ----------
    status
        HTTP status.
    detail
        Description of the problem, for a person.
    headers
        Of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, errors: Sequence[Mapping[str, str]] = ()
) -> Response:
    """The answer that tells it."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": one_line(detail),
    }
    if errors:
        content["errors"] = list(errors)
    return Response(json.dumps(content), status, dict(headers or {}), MEDIA_TYPE)


async def told(_: Request, error: ProblemError) -> Response:
    """Handler of `ProblemError`."""
    return problem(error.status, error.detail, error.headers)


async def of_http(_: Request, error: HTTPException) -> Response:
    """Handler of starlette's errors: no such path, no such method, a body that is no JSON."""
    detail = str(error.detail)
    if detail == HTTPStatus.NOT_FOUND.phrase:
        detail = "There is no such path. /openapi.json describes those that there are."
    elif detail == HTTPStatus.METHOD_NOT_ALLOWED.phrase:
        detail = f"This path takes {(error.headers or {}).get('Allow', 'other methods')}."
    return problem(error.status_code, detail, error.headers)


async def of_validation(request: Request, error: RequestValidationError) -> Response:
    """Handler of requests that pydantic refuses."""
    found = error.errors()
    if found[0]["loc"] == ("body",) and "json" not in request.headers.get("content-type", ""):
        return problem(422, "The body must be JSON, sent with the header 'content-type: application/json'.")
    errors = [{"pointer": _pointer(one["loc"]), "detail": one_line(str(one["msg"]))} for one in found[:MOST_ERRORS]]
    more = f" (of {len(found):,}, the first {MOST_ERRORS})" if len(found) > MOST_ERRORS else ""
    return problem(422, f"The request does not fit its description{more}: {errors[0]['detail']}", errors=errors)


async def of_anything(_: Request, __: Exception) -> Response:
    """Handler of unexpected errors; starlette raises it again, and `rlopt.serving.gate.Gate` logs it."""
    return problem(500, "Internal error; the service has logged it.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe these problems in the documentation of a route."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": SCHEMA}}}
        for status in statuses
    }


SCHEMA = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
SCHEMA = {**SCHEMA, "properties": {**SCHEMA["properties"], "errors": {
    "type": "array", "items": SCHEMA.pop("$defs")["ProblemError"], "description": "What is wrong, one by one."
}}}  # fmt: skip
SCHEMA.pop("$defs", None)


def _pointer(place: Sequence[Any]) -> str:
    """``#/items/0/title`` of a body, ``unit`` of a parameter; long names are cut."""
    if place and place[0] == "body":
        steps = (str(step).replace("~", "~0").replace("/", "~1")[:100] for step in place[1:])
        return one_line("#/" + "/".join(steps))
    return one_line(str(place[-1])[:100] if place else "")
