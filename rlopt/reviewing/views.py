"""Proposals as the templates show them, and the templates."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reward.text import clean
from rlopt.sentences import Sentences
from rlopt.worddiff import diff

from .audit import Opinion, events_of, opinion_of
from .states import DISPUTED, FIRM, OPEN

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

LONGEST = 400
FACTS_SHOWN = 4
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif")


@dataclass(frozen=True)
class Card:
    """One proposal on a page.

    Parameters
    ----------
    row
        The proposal.
    state, after
        Its state, and the title that is approved; not told to one who is yet to give a second opinion.
    mine
        Opinion of this reviewer.
    by
        The last reviewer to decide.
    seen
        Events so far.
    nonce
        Of the forms.
    """

    row: "Row[Any]"
    state: str
    after: str | None
    mine: Opinion
    by: str | None
    seen: int
    nonce: str

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Differences between the current and the new title."""
        return diff(shown(self.row.current_title or ""), shown(self.row.title or ""))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Names and values of the item's fields."""
        fields: dict[str, list[str]] = json.loads(self.row.facts)
        return [(shown(name, 60), shown(", ".join(values))) for name, values in fields.items()]

    @property
    def picture(self) -> str | None:
        """Address of the item's picture, the first among its facts."""
        for values in json.loads(self.row.facts).values():
            for value in values:
                if value.startswith(("http://", "https://")) and value.split("?")[0].lower().endswith(_PICTURES):
                    return str(value)
        return None

    @property
    def wording(self) -> str:
        """Initial text of an edit."""
        return clean(self.after or self.row.title or self.row.current_title or "")

    @property
    def report(self) -> list[str]:
        """Objections to the title, or to those that were refused."""
        return [shown(part) for part in (self.row.report or "").split("; ") if part]


def cards(connection: "Connection", rows: "Sequence[Row[Any]]", reviewer: str) -> list[Card]:
    """The proposals as this reviewer may see them."""
    events = events_of(connection, [row.id for row in rows])
    return [_card(row, events.get(row.id, []), reviewer) for row in rows]


def _card(row: "Row[Any]", history: "Sequence[Row[Any]]", reviewer: str) -> Card:
    last = history[-1] if history else None
    mine = opinion_of(history, reviewer)
    told = last is not None and (last.state in (*FIRM, DISPUTED) or mine.opinion in FIRM)
    return Card(
        row,
        last.state if last is not None and told else OPEN,
        last.after if last is not None else None,
        mine,
        last.reviewer if last is not None and told else None,
        len(history),
        new_nonce(),
    )


def new_nonce() -> str:
    """Random one-time token of a form."""
    return secrets.token_urlsafe(18)


def shown(text: str, longest: int = LONGEST) -> str:
    """Text fit to be read: no control characters, which could reorder the line, and an end."""
    text = clean(text)
    return text if len(text) <= longest else f"{text[:longest]} …"


def percent(value: float | None) -> str:
    """``+12.3%``."""
    return "–" if value is None else f"{value:+.1%}"


def share(value: float | None) -> str:
    """``87%``."""
    return "–" if value is None else f"{value:.0%}"


@dataclass(frozen=True)
class Words(Sentences):
    """The pages' sentences, and what things are called on them."""

    def named(self, group: str, key: str) -> str:
        """The word of ``key`` in a group; its own name where there is none."""
        return str(self.entries[group].get(key, key.replace("_", " ")))

    def titles(self, count: int) -> str:
        """``1 title``, ``2,345 titles``."""
        return self(f"titles.{'one' if count == 1 else 'many'}", n=f"{count:,}")

    def broken(self, part: str) -> str:
        """``kind: detail`` of a report, the kind in this language."""
        kind, colon, detail = part.partition(": ")
        return f"{self.named('rules', kind)}{colon}{detail}"

    def reason(self, text: str) -> str:
        """Translate the reason why a row has no new title; the rules' own words stay as they are."""
        said, bracket, more = text.partition(" (")
        return f"{self.entries['kept_reasons'].get(said, said)}{bracket}{more}"


@cache
def words_of(language: str) -> Words:
    """The words of "en" or "zh"."""
    return Words.read("rlopt.reviewing", language)


class Views:
    """Templates in one language."""

    def __init__(self, language: str) -> None:
        self.words = words_of(language)
        self._environment = Environment(
            loader=PackageLoader("rlopt.reviewing", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"percent": percent, "share": share, "shown": shown, "count": "{:,}".format}
        self._environment.globals |= {"t": self.words}

    def page(self, name: str, **values: Any) -> str:
        """The page of this name."""
        return self._environment.get_template(f"{name}.html.jinja").render(**values)
