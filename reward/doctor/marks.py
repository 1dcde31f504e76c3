"""Values that may mean "no value" and are none of the marks that count as such (`reward.items.MISSING`)."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from ..arms import Arms
from ..items import MISSING, Item

LIKE_MISSING = frozenset(
    {
        *("na", "n/v", "nv", "n.v.", "k.a", "ka", "tbd", "tba", "tbc", "t.b.d.", "todo", "xx", "xxx", "xxxx"),
        *("missing", "no data", "no value", "no info", "no information", "no entry", "none given", "not given"),
        *("not known", "not assigned", "not defined", "not found", "not provided", "not filled", "no brand"),
        *("to be defined", "to be determined", "placeholder", "dummy", "empty", "blank", "void", "default"),
        *(
            "keine angabe",
            "keine angaben",
            "nicht angegeben",
            "ohne angabe",
            "keine daten",
            "unbekannt",
            "nicht bekannt",
            "fehlt",
        ),
        *("nicht verf\u00fcgbar", "nicht gesetzt", "nicht zugeordnet", "ohne"),
        *("inconnu", "desconocido", "desconhecido", "sconosciuto", "onbekend", "ukendt", "ukjent", "ok\u00e4nd"),
        *(
            "nieznany",
            "brak",
            "brak danych",
            "nezn\u00e1m\u00fd",
            "nezn\u00e1m\u00e9",
            "belirtilmemi\u015f",
            "bilinmiyor",
            "yok",
        ),
        *("tidak diketahui", "kh\u00f4ng r\u00f5", "geen", "n.d.", "nd", "s/n", "n. v.", "n.n.", "nil", "unset"),
        *("unassigned", "unclassified", "uncategorized", "uncategorised", "null null", "\u672a\u5206\u7c7b"),
        *(
            "\u043d\u0435\u0442",
            "\u043d\u0435\u0438\u0437\u0432\u0435\u0441\u0442\u043d\u043e",
            "\uc54c \uc218 \uc5c6\uc74c",
        ),
        *(
            "\u0e44\u0e21\u0e48\u0e23\u0e30\u0e1a\u0e38",
            "\u063a\u064a\u0631 \u0645\u0639\u0631\u0648\u0641",
            "\u8be5\u5c5e\u6027\u4e3a\u7a7a",
        ),
        *("\u672a\u586b\u5199", "\u672a\u586b", "\u7a7a", "\u7f3a\u5931", "\u4e0d\u660e", "\u6ca1\u6709"),
        *("\u6682\u672a", "\u5f85\u5b9a", "\u672a\u77e5\u54c1\u724c", "\u4e0d\u8be6\u7ec6", "\u65e0\u54c1\u724c"),
        *("0000-00-00", "0000-00-00 00:00:00", "1900-01-01", "1970-01-01", "01.01.1970", "9999-12-31"),
    }
)
"""Texts, in lower case, that may mean that a field has no value, or be one."""
_REST = ("(other)", "(direct)", "(all)")
"""Names in analytics of all that is not listed by itself."""
_BRACKETED = re.compile(r"[(\[<{][^()\[\]<>{}]{1,20}[)\]>}]")
_NO_LETTER = re.compile(r"[\W_]+")
_SENTINEL = re.compile(r"-(1|9{2,})|9{4,}")
_FEWEST = 2
_SHARED = 5
_MOST = 6


def like_missing(items: Sequence[Item]) -> list[tuple[str, str, int]]:
    """Value, field and number of items, of values that may mean "no value", those of most items first."""
    counts = Counter((name, text) for item in items for name, values in item.fields.items() for text in values)
    found = [(text, name, n) for (name, text), n in counts.items() if n >= _FEWEST and _looks_so(text)]
    by_field: dict[str, Counter[str]] = {}
    for (name, text), n in counts.items():
        by_field.setdefault(name, Counter())[text] = n
    for name, texts in by_field.items():
        found += [(text, name, texts[text]) for text in _sentinels(texts)]
    return sorted(found, key=lambda one: (-one[2], one))


def say_marks(arms: Arms) -> Iterator[tuple[Literal["warning"], str]]:
    """Severity and sentence of what the doctor says of such values, of ids and of titles."""
    found = like_missing(arms.items)
    if found:
        shown = ", ".join(f"{text!r:.40} ({name} of {n:,} items)" for text, name, n in found[:_MOST])
        more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
        yield (
            "warning",
            f"Values that may stand for missing ones: {shown}{more}. If they do: --missing {found[0][0]!r:.40}",
        )
    for what, texts in (("item id", arms.item_ids), ("title", arms.title)):
        marks = {str(text) for text in texts if str(text).casefold() in MISSING or str(text).casefold() in _REST}
        if marks:
            yield (
                "warning",
                f"The {what} {min(marks)!r} stands for a missing value or for many. Leave such rows out with the "
                "preset's exclude.",
            )


def _looks_so(text: str) -> bool:
    folded = text.strip().casefold()
    return folded in LIKE_MISSING or bool(_BRACKETED.fullmatch(folded) or _NO_LETTER.fullmatch(folded))


def _sentinels(texts: Counter[str]) -> Iterable[str]:
    """Numbers such as -1 and 9999 that lie beyond all others of a field of numbers and belong to several items."""
    numbers = {}
    for text in texts:
        try:
            numbers[text] = float(text)
        except ValueError:
            return
    for text, value in numbers.items():
        others = [other for other in numbers.values() if other != value]
        if _SENTINEL.fullmatch(text) and texts[text] >= _SHARED and len(others) >= _FEWEST:
            beyond = all(other >= 0 for other in others) if value < 0 else all(other < value / 2 for other in others)
            if beyond:
                yield text
