"""The pages of a review: who may see them, and what each form does."""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from reward.text import clean
from rlopt.config.reviewing import ReviewConfig
from rlopt.errors import RloptError

from . import audit, bulk, queue, ratings
from .checks import Checks
from .database import ReviewError
from .guard import COOKIE, MAX_AGE, Guard, Signer, Visitor
from .proposals import secret
from .queue import Filters
from .states import ACTIONS, OPEN, REASONS
from .summary import history, last_of, summary
from .views import Views, cards, new_nonce

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from starlette.datastructures import FormData

STATIC = {"review.css": "text/css", "review.js": "text/javascript"}
LONGEST_TITLE, LONGEST_NAME, LONGEST_NOTE = 1000, 60, 500
Handler = Callable[["Pages", Request, Visitor], Awaitable[Response]]


@dataclass(frozen=True)
class Pages:
    """Dependencies of the handlers.

    Parameters
    ----------
    engine
        The reviews.
    checks
        Checks of a wording by the run.
    config
        The settings.
    token
        Secret that a visitor must know to sign in; None: no secret.
    """

    engine: "Engine"
    checks: Checks
    config: ReviewConfig
    token: str | None
    signer: Signer
    views: Views

    def show(self, name: str, visitor: Visitor, status: int = 200, **values: Any) -> HTMLResponse:
        """A page, with what every page needs."""
        frame = {"visitor": visitor, "csrf": self.signer.form_token(visitor), "here": name, "message": None, **values}
        return HTMLResponse(self.views.page(name, **frame), status)


def application(
    engine: "Engine", checks: Checks, config: ReviewConfig, hosts: frozenset[str], token: str | None = None
) -> Starlette:
    """The web application.

    Parameters
    ----------
    engine, checks, config
        The reviews, the run, the settings.
    hosts
        Names that it answers to.
    token
        Secret that a visitor must know; None for a server that only this machine reaches.
    """
    pages = Pages(engine, checks, config, token, Signer(secret(engine)), Views(config.lang))
    routes = [
        Route("/", _as(pages, _start, open_to_all=True)),
        Route("/sign-in", _as(pages, _sign_in, open_to_all=True), methods=["GET", "POST"]),
        Route("/queue", _as(pages, _queue)),
        Route("/decide", _as(pages, _decide), methods=["POST"]),
        Route("/check", _as(pages, _check), methods=["POST"]),
        Route("/bulk", _as(pages, _bulk), methods=["GET", "POST"]),
        Route("/undo-bulk", _as(pages, _undo_bulk), methods=["POST"]),
        Route("/rate", _as(pages, _rate), methods=["GET", "POST"]),
        Route("/progress", _as(pages, _progress)),
        Route("/history", _as(pages, _history)),
        *(Route(f"/static/{name}", _static(name, kind)) for name, kind in STATIC.items()),
    ]
    guard = Middleware(Guard, hosts=hosts, anywhere=token is not None)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={404: _missing, 405: _missing})


def _as(pages: Pages, handler: Handler, *, open_to_all: bool = False) -> Callable[[Request], Awaitable[Response]]:
    """``handler`` for who is signed in, and forms for who was given them."""

    async def endpoint(request: Request) -> Response:
        visitor = pages.signer.visitor(request)
        if not visitor.name and not open_to_all:
            return RedirectResponse("/sign-in", 303)
        try:
            if request.method == "POST":
                form = await _form(request)
                given = request.headers.get("x-csrf-token") or form.get("csrf")
                if not pages.signer.holds(visitor, given):
                    return pages.show("problem", visitor, 403, message=pages.views.words("problem.form"))
            return await handler(pages, request, visitor)
        except audit.ConflictError as error:
            return pages.show("problem", visitor, 409, message=str(error))
        except ClientDisconnect:
            return PlainTextResponse("The request is too large.", 413)
        except (RloptError, HTTPException) as error:
            told = error.detail if isinstance(error, HTTPException) else str(error)
            return pages.show("problem", visitor, 400, message=told)

    return endpoint


async def _form(request: Request) -> "FormData":
    return await request.form(max_files=0, max_fields=300)


def _static(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """One file of our own, read once: no name from a request meets the disk."""
    content = (resources.files("rlopt.reviewing") / "pages" / name).read_bytes()

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint


async def _missing(_: Request, error: Exception) -> Response:
    return PlainTextResponse("There is no such page.", getattr(error, "status_code", 404))


async def _start(_pages: Pages, _request: Request, visitor: Visitor) -> Response:
    return RedirectResponse("/queue" if visitor.name else "/sign-in", 303)


async def _sign_in(pages: Pages, request: Request, visitor: Visitor) -> Response:
    asks, problem = pages.token is not None, None
    if request.method == "POST":
        form = await _form(request)
        name = clean(str(form.get("name") or ""))[:LONGEST_NAME]
        right = pages.token is None or hmac.compare_digest(str(form.get("token") or "").encode(), pages.token.encode())
        if name and right:
            return _with_cookie(pages, request, replace(visitor, name=name), RedirectResponse("/queue", 303))
        problem = pages.views.words("sign_in.no_name" if right else "sign_in.wrong_token")
    page = pages.show("sign_in", visitor, 403 if problem else 200, asks_token=asks, problem=problem)
    return _with_cookie(pages, request, visitor, page)


def _with_cookie(pages: Pages, request: Request, visitor: Visitor, response: Response) -> Response:
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, pages.signer.cookie(visitor), max_age=MAX_AGE, httponly=True, samesite="strict", secure=secure
    )
    return response


async def _queue(pages: Pages, request: Request, visitor: Visitor) -> Response:
    asked = request.query_params
    filters, after = filters_of(asked), _key(asked.get("after"))
    request.scope.setdefault("state", {})["pictures"] = bool(asked.get("pictures"))

    def read() -> dict[str, Any]:
        with pages.engine.connect() as connection:
            found = queue.page(connection, filters, visitor.name, after)
            return {
                "cards": cards(connection, found.rows, visitor.name),
                "next": found.after,
                "counts": queue.counts(connection),
                "last": last_of(connection, visitor.name),
            }

    found = await run_in_threadpool(read)
    kept = {name: asked[name] for name in ("state", "q", "chance", "flagged", "item", "pictures") if asked.get(name)}
    following = found.pop("next")
    return pages.show(
        "queue",
        visitor,
        **found,
        filters=filters,
        states=queue.SHOWN_STATES,
        reasons=REASONS,
        pictures=bool(asked.get("pictures")),
        back=urlencode(kept | ({"after": asked["after"]} if after else {})),
        first=urlencode(kept) if after else None,
        following=urlencode(kept | {"after": f"{following[0]!r},{following[1]}"}) if following else None,
        nonce=new_nonce(),
        edited=None,
    )


async def _decide(pages: Pages, request: Request, visitor: Visitor) -> Response:
    form = await _form(request)
    decision = decision_of(form)
    if decision.action == "edit" and not form.get("anyway"):
        card = await run_in_threadpool(_card_of, pages, decision.proposal, visitor)
        found = await run_in_threadpool(_checked, pages, card.row, str(decision.title))
        if found.broken:
            return pages.show(
                "edit",
                visitor,
                422,
                card=card,
                edited=decision.title,
                checked=found,
                back=_back(form),
                reasons=REASONS,
            )
    await run_in_threadpool(audit.record, pages.engine, visitor.name, decision)
    return RedirectResponse(f"/queue?{_back(form)}", 303)


def _card_of(pages: Pages, number: int, visitor: Visitor) -> Any:
    with pages.engine.connect() as connection:
        row = queue.one(connection, number)
        if row is None:
            raise ReviewError(f"There is no proposal {number}.")
        return cards(connection, [row], visitor.name)[0]


def _checked(pages: Pages, row: Any, title: str) -> Any:
    facts = {name: tuple(values) for name, values in json.loads(row.facts).items()}
    return pages.checks.check(row.item_id, facts, row.current_title, title)


async def _check(pages: Pages, request: Request, visitor: Visitor) -> Response:
    """Rules and prediction of a wording, as JSON, with the words for them in the language of the pages."""
    form = await _form(request)
    title = clean(str(form.get("title") or ""))[:LONGEST_TITLE]
    card = await run_in_threadpool(_card_of, pages, _whole(form.get("proposal")), visitor)
    found = await run_in_threadpool(_checked, pages, card.row, title)
    told = pages.views.page("checked", checked=found).strip().splitlines()
    return JSONResponse({**found.to_dict(), "told": [line.strip() for line in told if line.strip()]})


async def _bulk(pages: Pages, request: Request, visitor: Visitor) -> Response:
    words = pages.views.words
    if request.method == "POST":
        form = await _form(request)
        plan = bulk.Plan.read(pages.signer.unseal(form.get("plan")), visitor.name)
        faulty = plan.faults({name: str(value) for name, value in form.items()})
        if faulty is None:
            raise ReviewError(words("bulk.read_all"))
        if faulty:
            worst = bulk.highest(faulty, len(plan.sample))
            told = words("bulk.refused", faulty=faulty, sample=len(plan.sample), worst=f"{worst:.0%}")
            return pages.show("problem", visitor, 409, message=told)
        done = await run_in_threadpool(bulk.carry_out, pages.engine, visitor.name, plan)
        return pages.show("bulk_done", visitor, done=done, batch=plan.batch, nonce=new_nonce())
    asked = filters_of(request.query_params)
    if asked.chance is None:
        return pages.show("bulk", visitor, filters=asked, plan=None)

    def read() -> tuple[bulk.Plan, list[Any]]:
        with pages.engine.connect() as connection:
            plan = bulk.Plan.draw(connection, asked, visitor.name, pages.config.sample)
            rows = [queue.one(connection, number) for number in plan.sample]
            return plan, cards(connection, [row for row in rows if row is not None], visitor.name)

    plan, sample = await run_in_threadpool(read)
    sealed = pages.signer.seal(plan.to_text())
    at_most = f"{bulk.highest(0, len(sample)):.0%}" if sample else None
    return pages.show("bulk", visitor, filters=asked, plan=plan, cards=sample, sealed=sealed, worst=at_most)


async def _undo_bulk(pages: Pages, request: Request, visitor: Visitor) -> Response:
    form = await _form(request)
    batch, nonce = _no_null(form.get("batch")), _no_null(form.get("nonce"))[:40]
    if not batch or not nonce:
        raise ReviewError("The form is incomplete.")
    await run_in_threadpool(audit.undo_batch, pages.engine, visitor.name, batch, nonce)
    return RedirectResponse("/queue", 303)


async def _rate(pages: Pages, request: Request, visitor: Visitor) -> Response:
    if request.method == "POST":
        form = await _form(request)
        answers = {name: form.get(f"question-{name}") for name in pages.config.questions}
        if not all(answer in ("yes", "no") for answer in answers.values()):
            raise ReviewError(pages.views.words("rate.answer_all"))
        given = {name: answer == "yes" for name, answer in answers.items()}
        nonce = (_no_null(form.get("nonce")) or new_nonce())[:64]
        await run_in_threadpool(ratings.rate, pages.engine, visitor.name, _whole(form.get("proposal")), given, nonce)
        return RedirectResponse("/rate", 303)

    def read() -> Any:
        with pages.engine.connect() as connection:
            row = ratings.next_to_rate(connection, visitor.name)
            return None if row is None else cards(connection, [row], visitor.name)[0]

    return pages.show("rate", visitor, card=await run_in_threadpool(read), questions=pages.config.questions)


async def _progress(pages: Pages, _: Request, visitor: Visitor) -> Response:
    def read() -> Any:
        with pages.engine.connect() as connection:
            return summary(connection)

    return pages.show("progress", visitor, summary=await run_in_threadpool(read))


async def _history(pages: Pages, request: Request, visitor: Visitor) -> Response:
    before = request.query_params.get("before")

    def read() -> Any:
        with pages.engine.connect() as connection:
            return history(connection, _whole(before) if before else None)

    return pages.show("history", visitor, events=await run_in_threadpool(read))


def filters_of(asked: Mapping[str, str]) -> Filters:
    """Filters in the address of a page; values without a meaning are ignored."""
    state = asked.get("state", OPEN)
    try:
        chance = min(max(float(asked.get("chance") or "nan") / 100, 0.0), 1.0) if asked.get("chance") else None
    except ValueError:
        chance = None
    return Filters(
        state if state in queue.SHOWN_STATES else OPEN,
        clean(asked.get("q", ""))[:LONGEST_NOTE],
        None if chance is None or chance != chance else chance,
        bool(asked.get("flagged")),
        _no_null(asked.get("item"))[:LONGEST_NOTE],
    )


def decision_of(form: "FormData") -> audit.Decision:
    """The decision that a form holds.

    Raises
    ------
    ReviewError
        If it is incomplete.
    """
    action = str(form.get("action"))
    nonce = _no_null(form.get("nonce"))[:40]
    title = clean(str(form.get("title") or ""))
    reason = str(form.get("reason") or "")
    if action not in ACTIONS or not nonce:
        raise ReviewError("The form is incomplete.")
    if action == "edit" and not 0 < len(title) <= LONGEST_TITLE:
        raise ReviewError(f"A title has 1 to {LONGEST_TITLE} characters. Got {len(title)}.")
    if action == "reject" and reason not in REASONS:
        raise ReviewError("A rejection needs a reason.")
    phrase = clean(str(form.get("phrase") or ""))[:200] if action == "reject" else ""
    return audit.Decision(
        _whole(form.get("proposal")),
        action,  # type: ignore[arg-type]  # one of them, see above
        _whole(form.get("seen")),
        f"{nonce}-{action}",
        title if action == "edit" else None,
        reason if action == "reject" else None,
        phrase or None,
        bool(form.get("final")),
    )


def _back(form: "FormData") -> str:
    return str(form.get("back") or "")[:LONGEST_TITLE]


def _no_null(value: Any) -> str:
    """Text without the null character, which PostgreSQL refuses."""
    return str(value or "").replace("\0", "")


def _whole(value: Any) -> int:
    text = str(value)
    if not text.isdecimal() or len(text) > 9:
        raise ReviewError("The form is incomplete.")
    return int(text)


def _key(text: str | None) -> tuple[float, int] | None:
    """The key of a page in its address."""
    try:
        priority, number = (text or "").split(",")
        key = float(priority), int(number)
    except ValueError:
        return None
    return key if key[0] == key[0] and 0 <= key[1] < 2**31 else None
