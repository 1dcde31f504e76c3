"""The log schema: which columns a log may have, and how a user's names map onto them."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from ..errors import LogError
from .trim_sql import stripped

Kind = Literal["key", "text", "count", "amount", "share", "place", "time", "hours", "context"]

KEY_SEPARATOR = "+"


@dataclass(frozen=True)
class Column:
    """One canonical column of a log."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    other_names: tuple[str, ...] = ()
    """Names that users often give it: used for suggestions in messages, never taken silently."""


_ITEM_ID = ("id", "item", "product_id", "article_id", "sku", "listing_id", "test_id", "商品id", "商品编号", "文章id")
_TITLE = ("headline", "name", "product_name", "subject", "text", "item_name", "标题", "商品标题", "商品名称")
_CLICKS = ("n_clicks", "num_clicks", "clicked", "is_click", "点击", "点击量", "点击数")
_IMPRESSIONS = ("views", "impression", "shows", "exposures", "曝光", "曝光量", "展示", "展示量", "展现量")
_CONVERSIONS = ("conversion", "orders", "purchases", "转化", "转化数", "订单", "订单数")
_TIMESTAMP = ("time", "datetime", "event_time", "ts", "date", "day", "时间", "日期")

CANONICAL: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("item_id", "key", "what the title is for", True, _ITEM_ID),
        Column("title", "text", "what was shown", True, _TITLE),
        Column("clicks", "count", "clicks in this row", True, _CLICKS),
        Column("impressions", "count", "impressions in this row", False, _IMPRESSIONS),
        Column("conversions", "count", "conversions after the click", False, _CONVERSIONS),
        Column(
            "revenue", "amount", "revenue after the click", False, ("sales", "gmv", "order_value", "销售额", "金额")
        ),
        Column("conversion_delay_hours", "hours", "hours from click to conversion", False, ("conversion_delay",)),
        Column(
            "propensity", "share", "chance that this title was shown", False, ("pscore", "propensity_score", "prob")
        ),
        Column("position", "place", "display position, counted from the top", False, ("rank", "slot", "位置", "排名")),
        Column("timestamp", "time", "when it was shown", False, _TIMESTAMP),
        Column("surface", "context", "where it was shown", False),
        Column("locale", "context", "language and region", False),
    )
}
"""Canonical columns by name. Every other column of a log is context of the item."""

WHERE_SHOWN: tuple[str, ...] = tuple(name for name, column in CANONICAL.items() if column.kind == "context")
"""Columns that say where a title is shown: context that describes the impression rather than the item."""

ALIASES: Mapping[str, str] = {"click": "clicks"}
"""Names that are taken for a canonical column without being mapped."""


@dataclass(frozen=True)
class ColumnMapping:
    """Canonical column name -> the user's column, where the two differ.

    Parameters
    ----------
    columns
        For example ``{"title": "headline", "item_id": "test_id+image_id"}``. ``a+b`` joins columns into one key
        (item_id only); a column whose own name holds a ``+`` is taken as it is. An empty name switches a column off,
        also one of the user's own: it is neither read nor context of the item.
    """

    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, source in self.columns.items():
            if name not in CANONICAL and source != "":
                raise LogError(
                    f"Unknown column '{name}' in the column mapping{_did_you_mean(_nearest(name, CANONICAL))} "
                    f"Columns that can be mapped: {', '.join(CANONICAL)}."
                )
            off = source == "" and not (name in CANONICAL and CANONICAL[name].required)
            if not off and (not isinstance(source, str) or not source.strip()):
                raise LogError(
                    f"The column mapping must name one of the logs' columns for '{name}'. Got {source!r} instead."
                )

    @classmethod
    def parse(cls, text: str) -> "ColumnMapping":
        """Mapping written as on the command line, ``title=headline,item_id=a+b``.

        Raises
        ------
        LogError
            If a part is not ``canonical=column``, or a canonical column is unknown or named twice.
        """
        columns: dict[str, str] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            name, equals, source = (p.strip() for p in part.partition("="))
            required = name in CANONICAL and CANONICAL[name].required
            if not equals or not name or (not source and required):
                raise LogError(f"--columns takes name=column pairs such as title=headline. Got '{part}' instead.")
            if name in columns:
                raise LogError(f"--columns names '{name}' twice: {columns[name]} and {source}. Keep one.")
            columns[name] = source
        return cls(columns)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ColumnMapping":
        """Mapping from YAML: values are a column name, or for item_id also a list of column names."""
        columns: dict[str, str] = {}
        for name, source in data.items():
            if source is None:
                source = ""
            if isinstance(source, (list, tuple)):
                source = KEY_SEPARATOR.join(str(part) for part in source)
            columns[str(name)] = source
        return cls(columns)

    def to_dict(self) -> dict[str, str]:
        """The mapping as plain JSON data; `from_dict` reads it back."""
        return dict(self.columns)

    def resolve(self, available: Sequence[str], where: str, required: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
        """The source columns of every canonical column that ``available`` offers.

        Parameters
        ----------
        available
            Column names of the file, in its order.
        where
            The file's name, for messages.
        required
            Canonical columns that must be there.

        Raises
        ------
        LogError
            If a required or a mapped column is missing (with the nearest name), or a name is ambiguous.
        """
        given = {name: source for name, source in self.columns.items() if source}
        if "clicks" in required:  # other files than logs may lack a column that is left out
            self._refuse_unknown(available, where)
        available = [column for column in available if column not in self.switched_off(available)]
        out = {name: self._sources(name, source, available, where) for name, source in given.items()}
        used = {column for sources in out.values() for column in sources}
        for name in CANONICAL:
            if name in out or name in self.columns:
                continue
            # One column may be both key and title; counts never share a column unless that is asked for.
            free = available if CANONICAL[name].kind in ("key", "text") else [c for c in available if c not in used]
            found = _same_name(name, free, where)
            if found is not None:
                out[name] = (found,)
        for alias, name in ALIASES.items():
            found = _same_name(alias, [c for c in available if c not in used], where)
            if found is None or self.columns.get(name) == "":
                continue
            if name in out and name not in self.columns:
                raise LogError(
                    f"{where} has both '{name}' and '{found}'. Say which one counts: --columns {name}={found} "
                    f"or --columns {name}={out[name][0]}."
                )
            out.setdefault(name, (found,))
        if missing := [name for name in required if name not in out]:
            raise LogError(_missing(missing, [c for c in available if c not in used], where, self.columns))
        return {name: out[name] for name in CANONICAL if name in out}

    def switched_off(self, available: Iterable[str]) -> frozenset[str]:
        """Columns of the file that ``name=`` leaves out, unless something else is read from them."""
        off = {name.strip().casefold() for name, source in self.columns.items() if not source}
        used = {part for source in self.columns.values() for part in (source, *source.split(KEY_SEPARATOR))}
        return frozenset(c for c in available if c.strip().casefold() in off and c not in used)

    def _refuse_unknown(self, available: Sequence[str], where: str) -> None:
        there = {column.strip().casefold() for column in available}
        for name, source in self.columns.items():
            if not source and name not in CANONICAL and name.strip().casefold() not in there:
                nearest = _nearest(name, [*CANONICAL, *available])
                way_out = f"--columns {nearest}=" if nearest else _listing(available)
                raise LogError(f"{where} has no column '{name}' to leave out{_did_you_mean(nearest)} {way_out}")

    def _sources(self, name: str, source: str, available: Sequence[str], where: str) -> tuple[str, ...]:
        if source in available or KEY_SEPARATOR not in source:
            parts: tuple[str, ...] = (source,)
        else:
            parts = tuple(part.strip() for part in source.split(KEY_SEPARATOR))
            if CANONICAL[name].kind != "key":
                raise LogError(f"Only item_id can join columns. Got {name}={source}: name one column for '{name}'.")
        for part in parts:
            if part not in available:
                nearest = _nearest(part, available)
                corrected = KEY_SEPARATOR.join(nearest if p == part and nearest else p for p in parts)
                way_out = f"--columns {name}={corrected}" if nearest else _listing(available)
                raise LogError(f"{where} has no column '{part}' (mapped to '{name}'){_did_you_mean(nearest)} {way_out}")
        return parts


def looks_like(name: str) -> str | None:
    """The canonical column that ``name`` is a usual other name of, None where there is none."""
    column, _ = _usual().get(_fold(name), (None, 0))
    return column


def usualness(name: str) -> int:
    """Rank of ``name`` among the other names of its column: 0 for the most usual one."""
    return _usual()[_fold(name)][1]


def standing(available: Iterable[str]) -> set[str]:
    """Canonical columns that stand in a file under their own name or one that is taken for it (`ALIASES`)."""
    named = {column.strip().casefold() for column in available}
    return {name for name in CANONICAL if name in named} | {ALIASES[name] for name in named if name in ALIASES}


@cache
def _usual() -> dict[str, tuple[str, int]]:
    """Folded other name -> the canonical column, and which of its other names it is."""
    return {
        _fold(other): (column.name, n) for column in CANONICAL.values() for n, other in enumerate(column.other_names)
    }


def _missing(names: Sequence[str], available: Sequence[str], where: str, given: Mapping[str, str]) -> str:
    """All that is missing at once, with a ``--columns`` that keeps what was given."""
    nearest = {name: _likely(name, available) for name in names}
    nearest = {n: c if c not in [*nearest.values()][: names.index(n)] else None for n, c in nearest.items()}
    asked = " and no ".join(f"'{name}' ({CANONICAL[name].meaning})" for name in names)
    likely = " and ".join(f"'{column}'" for column in nearest.values() if column)
    pairs = [f"{name}={source}" for name, source in given.items()]
    pairs += [f"{name}={column or 'COLUMN'}" for name, column in nearest.items()]
    listed = "" if all(nearest.values()) else f". {_listing(available)}"
    meant = f". Did you mean {likely}?" if likely else "."
    return f"{where} has no column {asked}{meant} Use --columns {','.join(pairs)}{listed}"


def _likely(name: str, available: Sequence[str]) -> str | None:
    usual = [column for column in available if looks_like(column) == name]
    return usual[0] if usual else _nearest(name, available)


def _same_name(name: str, available: Sequence[str], where: str) -> str | None:
    if name in available:
        return name
    same = [column for column in available if stripped(column).casefold() == name]
    if len(same) > 1:
        raise LogError(f"{where} has several columns for '{name}': {', '.join(same)}. Use --columns {name}={same[0]}")
    return same[0] if same else None


def _nearest(name: str, names: Iterable[str]) -> str | None:
    folded = {_fold(candidate): candidate for candidate in reversed(list(names))}
    close = difflib.get_close_matches(_fold(name), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _fold(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _did_you_mean(nearest: str | None) -> str:
    return f". Did you mean '{nearest}'?" if nearest else "."


def _listing(available: Sequence[str], most: int = 20) -> str:
    if len(available) == 1:
        return f"It has one column: {available[0]!r:.60}. Texts separate columns by comma, tab, semicolon or bar."
    more = f" and {len(available) - most} more" if len(available) > most else ""
    return f"Its columns: {', '.join(available[:most])}{more}."
