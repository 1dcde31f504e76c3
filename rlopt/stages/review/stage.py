"""``rlopt review``: proposed titles on pages for people, and what they approved as a file."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from reward.plain import Plain
from rlopt.config import ReviewConfig
from rlopt.config.reviewing import LOOPBACK
from rlopt.files import atomic_write
from rlopt.progress import note, track
from rlopt.reviewing.database import ReviewError, needs, opened, shown
from rlopt.reviewing.decided import Reviews
from rlopt.reviewing.guard import is_loopback, new_token
from rlopt.reviewing.proposals import Proposal, add, known_keys
from rlopt.run import Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.outputs import check_output, write_table
from rlopt.stages.review.loading import facts_of, proposals_of, read_titles_table
from rlopt.stages.review.prediction import RunChecks
from rlopt.wording import counted

if TYPE_CHECKING:
    import uvicorn
    from sqlalchemy import Engine

TOKEN = "RLOPT_REVIEW_TOKEN"  # noqa: S105  the variable that holds it
FEWEST_CHARACTERS = 16
CONNECTIONS = 64


@dataclass(frozen=True)
class ReviewResult(Plain):
    """Start of a review.

    Parameters
    ----------
    reviews
        Address of the database.
    proposals, new
        Rows of the file, and those that are new to it.
    address
        Address of the pages.
    """

    reviews: str
    proposals: int
    new: int
    address: str


@dataclass(frozen=True)
class ExportResult(Plain):
    """Files that were written.

    Parameters
    ----------
    output, titles, items, edited
        The file, approved titles in it, their items, and how many titles a person wrote; None for no file.
    banned, phrases
        File of phrases that no title may hold, and how many; None for no file.
    """

    output: str | None
    titles: int
    items: int
    edited: int
    banned: str | None
    phrases: int


def default_place(titles: Path) -> str:
    """Default database for the reviews of a file: beside it."""
    return str(titles.with_name(f"{titles.stem}.reviews.db"))


def review(
    run: Run,
    titles: Path,
    place: str | None = None,
    config: ReviewConfig | None = None,
    *,
    items: str | None = None,
    columns: str | None = None,
    announce: Callable[[str], None] = note,
) -> ReviewResult:
    """Serve the pages until interrupted.

    Parameters
    ----------
    run
        The run whose rules and predictions the pages show.
    titles
        A file that ``generate`` wrote. Its rows join those that are there.
    place
        A SQLite file or the URL of a PostgreSQL database; `default_place` if None.
    items, columns
        The catalogue that the titles were written for, and its column names: what people see of items that the logs
        do not have.
    announce
        Tells the address, and the token where one is needed.

    Raises
    ------
    ReviewError
        If a package is missing, or the reviews, the host or the port cannot be used.
    RunError
        If ``titles`` cannot be read.
    """
    config = config or ReviewConfig()
    needs("sqlalchemy", "starlette", "uvicorn", "multipart")
    token, by_us = _token(config.host)
    place = place or default_place(titles)
    table, source = read_titles_table(titles)
    run_opened = OpenedRun(run)
    checks = RunChecks(run_opened)
    with opened(place, create=True) as engine, _listening(config.host, config.port) as listener:
        catalogue = facts_of(run, items, columns)
        with engine.connect() as connection:
            known = known_keys(connection)
        pieces = proposals_of(table, source, run_opened, checks, catalogue, known)
        new = _load(engine, len(table), pieces, config)
        checks.warm_up()
        address = f"http://{_in_address(config.host)}:{listener.getsockname()[1]}"
        note(f"Reviews are kept in {shown(place)}: {counted(len(table), 'title')} of {titles}, {new:,} of them new")
        server = _server(engine, checks, config, token)
        announce(f"Read them at {address} (Ctrl-C ends; decisions are kept)")
        if by_us:
            announce(f"Token, told only here: {token}")
        with suppress(KeyboardInterrupt):  # by then it has closed everything
            server.run(sockets=[listener])
    return ReviewResult(shown(place), len(table), new, address)


def export(place: str, out: Path | None, banned: Path | None = None) -> ExportResult:
    """Write what people approved, and the phrases that they said no title may hold.

    Parameters
    ----------
    place
        The reviews.
    out
        ``.parquet`` or ``.csv``: item_id, title, proposed_title, edited, reviewer, reviewed_at, one row a title. A
        current title that was to stay and was accepted is in it, too.
    banned
        Text file, one phrase a line: ``constraints: {banned: ["@FILE"]}``.

    Raises
    ------
    ReviewError
        If the reviews cannot be read, or nothing is approved.
    RunError
        If a file cannot be written.
    """
    found = Reviews.read(place)
    if out is not None:
        check_output(out)
        if not found.approved:
            raise ReviewError(f"Nothing is approved in {shown(place)} yet: there is nothing to export.")
        columns = {
            "item_id": [one.item_id for one in found.approved],
            "title": [one.title for one in found.approved],
            "proposed_title": pa.array([one.proposed for one in found.approved], pa.string()),
            "edited": [one.edited for one in found.approved],
            "reviewer": [one.reviewer for one in found.approved],
            "reviewed_at": [one.at for one in found.approved],
        }
        write_table(pa.table(columns), out)
    if banned is not None:
        atomic_write(banned, "".join(f"{phrase}\n" for phrase in found.phrases))
    return ExportResult(
        None if out is None else str(out),
        len(found.approved),
        len({one.item_id for one in found.approved}),
        sum(one.edited for one in found.approved),
        None if banned is None else str(banned),
        len(found.phrases),
    )


def _load(engine: "Engine", rows: int, pieces: Iterator[list[Proposal]], config: ReviewConfig) -> int:
    """Add the proposals; how many were not there."""
    new = 0
    with track("review", rows) as bar:
        for piece in pieces:
            new += add(engine, piece, seed=config.seed, second_opinions=config.second_opinions)
            bar.update(len(piece))
    return new


def _token(host: str) -> tuple[str | None, bool]:
    """Secret for visitors, and True if it was made here; none where only this machine can connect."""
    given = os.environ.get(TOKEN)
    if given is not None and len(given) < FEWEST_CHARACTERS:
        raise ReviewError(f"{TOKEN} must have {FEWEST_CHARACTERS} characters or more. Got {len(given)}.")
    if given is None and is_loopback(host):
        return None, False
    return given or new_token(), given is None


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens, before models are loaded for nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:
        listener.close()
        told = getattr(error, "strerror", None) or error
        raise ReviewError(f"Cannot listen on {host}:{port}: {told}. Give another --port (0: a free one).") from error
    return listener


def _hosts(host: str) -> frozenset[str]:
    """Names that requests may come for."""
    here = {*LOOPBACK} if is_loopback(host) else {"localhost", socket.gethostname(), socket.getfqdn()}
    return frozenset(name.lower() for name in {*here, host})


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _server(engine: "Engine", checks: RunChecks, config: ReviewConfig, token: str | None) -> "uvicorn.Server":
    import uvicorn

    from rlopt.reviewing.app import application

    app = application(engine, checks, config, _hosts(config.host), token)
    settings = uvicorn.Config(
        app, log_level="warning", limit_concurrency=CONNECTIONS, timeout_keep_alive=15, server_header=False,
        timeout_graceful_shutdown=5, proxy_headers=False, lifespan="off",
    )  # fmt: skip
    return uvicorn.Server(settings)
