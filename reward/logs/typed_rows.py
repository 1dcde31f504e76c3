"""Rows of a log under their canonical names, with typed values: the SQL that every pass over the logs starts from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from ..errors import LogError
from ..items import MISSING, missing_marks
from .schema import ALIASES, CANONICAL, KEY_SEPARATOR, ColumnMapping
from .source import FILE, ROW, FileSource, quote
from .spelt_numbers import Decimal, Spelling, other_texts, spelling
from .text_files import NESTED, NULL, NUMBER, Parameters, is_nested
from .times import ISO, TimeForm, number_form, refuse_rounded, refuse_short_floats, text_form
from .trim_sql import trimmed

WHOLE_TYPES = frozenset(u + kind for u in ("", "U") for kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"))
_NUMBERS = ("count", "amount", "share", "place", "hours")
_EXACT_BELOW = {"DOUBLE": 2**53, "FLOAT": 2**24}  # whole numbers from here on may have lost digits
PLANNED = "__rlopt_planned"
"""Temporary table of what the rows' plans show, and the beginning of its columns' names (`reward.logs.plans`)."""
PROBABILITY = "probability of the plan"
"""Column of the chances that rows have by their plans."""
Exclude = Mapping[str, Any]
"""Column -> value or list of values; rows that hold one of them are left out (None matches missing values)."""


@dataclass(frozen=True)
class TypedRows:
    """The rows of a source with typed canonical columns.

    Parameters
    ----------
    source
        Opened logs.
    sources
        Canonical name -> the source columns it comes from (see `ColumnMapping.resolve`).
    exclude
        Rows to leave out, see `Exclude`.
    ignore
        Columns that are no context of the item although nothing else uses them.
    trim
        True if blanks at the ends of titles are taken off. It costs time in every pass: logs are read with it only
        where an arm shows that some title has them.
    time
        Form of the times.
    trim_ids, whole_ids
        True if blanks at the ends of item ids are taken off; and the columns of which fractions of zeros are
        (`reward.logs.keys`).
    numbers
        Columns of texts whose numbers have separators, and which.
    missing
        Texts, in lower case, that say of a field that it has no value.
    plan
        SQL of the number of a row's plan, see `reward.logs.plans`; None: rows have no plans.
    """

    source: FileSource
    sources: Mapping[str, tuple[str, ...]]
    exclude: Exclude
    ignore: frozenset[str] = frozenset()
    trim: bool = False
    time: TimeForm = ISO
    trim_ids: bool = False
    whole_ids: frozenset[str] = frozenset()
    numbers: Mapping[str, Spelling] = field(default_factory=dict)
    missing: frozenset[str] = MISSING
    plan: str | None = None

    @classmethod
    def of(
        cls,
        source: FileSource,
        mapping: ColumnMapping | None,
        exclude: Exclude | None,
        required: Sequence[str],
        used: Sequence[str] = tuple(CANONICAL),
        ignore: Iterable[str] = (),
        decimal: Decimal | None = None,
        missing: Iterable[str] = (),
    ) -> "TypedRows":
        """Resolve the mapping, check the filter's columns and the types of the ``used`` canonical columns.

        Raises
        ------
        LogError
            If a column is missing, ambiguous, or of a type that cannot hold its values.
        """
        mapping = mapping or ColumnMapping()
        sources = mapping.resolve(list(source.columns), source.where, required)
        named = {name: columns[0] for name, columns in sources.items() if len(columns) == 1}
        filters: dict[str, Any] = {}
        for name, value in (exclude or {}).items():
            column = name if name in source.columns else named.get(name)
            if column is None:
                raise LogError(
                    f"exclude names the column '{name}', which {source.where} does not have. "
                    f"Its columns: {', '.join(source.columns)}."
                )
            filters[column] = value
        rows = cls(
            source,
            sources,
            filters,
            frozenset(ignore) | mapping.switched_off(source.columns),
            missing=missing_marks(missing),
        )
        for name in sources:
            if name in used:
                rows._check_type(name)
        if "timestamp" in sources and "timestamp" in used:
            rows = replace(rows, time=rows._time_form(sources["timestamp"][0]))
        numbers = {
            name: columns[0] for name, columns in sources.items() if name in used and CANONICAL[name].kind in _NUMBERS
        }
        return replace(rows, numbers=rows._spellings(numbers, decimal))

    @property
    def context_columns(self) -> list[str]:
        """Source columns that are context of the item: all that are not mapped or filtered on, surface and locale."""
        used = {c for name, columns in self.sources.items() if CANONICAL[name].kind != "context" for c in columns}
        used |= self.ignore | set(self.exclude)
        return [c for c in self.source.columns if c not in used and c.strip().casefold() not in ALIASES]

    def has(self, *names: str) -> bool:
        """True if the logs have all these canonical columns."""
        return all(name in self.sources for name in names)

    def location(self, name: str) -> str:
        """The user's name of a canonical column, for messages."""
        return KEY_SEPARATOR.join(self.sources[name])

    @cached_property
    def parameters(self) -> Parameters:
        """Parameters of `select`."""
        return {**self.source.parameters, **{f"x{i}": value for i, (_, _, value) in enumerate(self._conditions)}}

    def select(self, *names: str, where: str = "true", extra: Mapping[str, str] | None = None) -> str:
        """SQL of the kept rows with these canonical columns; takes `parameters`.

        Columns the logs lack are left out, except impressions, which are 1. ``extra`` adds expressions over
        canonical names; ``where`` may use them too.
        """
        columns = [
            f"{self.expression(name)} AS {name}" for name in names if name in self.sources or name == "impressions"
        ]
        columns += [f"{sql} AS {alias}" for alias, sql in (extra or {}).items()]
        keep = " AND ".join(["true", *(f"NOT coalesce({sql}, false)" for sql, _, _ in self._conditions)])
        inner = f"SELECT {', '.join(columns)} FROM {self._relation} WHERE {keep}"
        return f"(SELECT * FROM ({inner}) WHERE {where})"

    @property
    def _relation(self) -> str:
        """SQL of all rows; of rows with plans those that count, with their chances."""
        if self.plan is None:
            return self.source.relation
        keys = {"plan": self.plan, **{name: self.expression(name) for name in ("item_id", "title")}}
        same = " AND ".join(f"({sql}) = {PLANNED}_{name}" for name, sql in keys.items())
        return (
            f"(SELECT logs.*, {quote(PROBABILITY)} FROM {self.source.relation} AS logs LEFT JOIN {PLANNED} ON {same} "
            f"WHERE coalesce({PLANNED}_counts, true))"
        )

    def expression(self, name: str) -> str:
        """SQL expression of a canonical column's typed value; NULL where a text does not spell such a value."""
        if name == "impressions" and name not in self.sources:
            return "CAST(1 AS DOUBLE)"
        columns = self.sources[name]
        kind = CANONICAL[name].kind
        if kind == "text" and self.trim:
            return trimmed(self._text(columns[0]))
        if kind == "key":
            return self.key(columns[0]) if len(columns) == 1 else self._joined(columns)
        if kind in ("text", "context"):
            return self._text(columns[0])
        if kind == "time":
            return self._epoch_seconds(columns[0])
        return self._number(columns[0])

    def given(self, name: str) -> str:
        """SQL condition: the row has a value in this column, right or wrong."""
        return " OR ".join(f"{quote(column)} IS NOT NULL" for column in self.sources[name])

    def raw(self, name: str) -> str:
        """SQL expression of a canonical column's value as it stands in the file, as text."""
        return self._text(self.sources[name][0])

    @cached_property
    def _conditions(self) -> list[tuple[str, str, Any]]:
        out: list[tuple[str, str, Any]] = []
        for column, wanted in self.exclude.items():
            for value in wanted if isinstance(wanted, (list, tuple, set)) else (wanted,):
                parameter = f"$x{len(out)}"
                if value is None:
                    sql = f"({quote(column)} IS NULL) = {parameter}"
                    value = True
                elif isinstance(value, bool):
                    sql = f"TRY_CAST({quote(column)} AS BOOLEAN) = {parameter}"
                elif isinstance(value, (int, float)):
                    sql = f"TRY_CAST({quote(column)} AS DOUBLE) = {parameter}"
                else:
                    sql, value = f"CAST({quote(column)} AS VARCHAR) = {parameter}", str(value)
                out.append((sql, column, value))
        return out

    def _check_type(self, name: str) -> None:
        kind = CANONICAL[name].kind
        for column in self.sources[name]:
            found = self.source.columns[column]
            # A column without any value has the type "NULL".
            number = found in WHOLE_TYPES | {"FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR", NULL, NUMBER}
            number = number or (found.startswith(("DECIMAL", "ENUM")) and not is_nested(found))
            if kind in ("key", "text"):
                fits = not is_nested(found) and found != NESTED
            elif kind == "time":
                fits = (number and found != "BOOLEAN") or found == "DATE" or found.startswith("TIMESTAMP")
            else:
                fits = kind == "context" or number
            if fits:
                continue
            wanted = {"key": "text or numbers", "text": "text", "time": "dates, or seconds since 1970"}
            raise LogError(
                f"Column '{column}' of {self.source.where} ({name}) must hold {wanted.get(kind, 'numbers')}. "
                f"Got type {found} instead. Map another column with --columns {name}=COLUMN."
            )

    def _joined(self, columns: Sequence[str]) -> str:
        """Key of several columns: a missing part counts as empty, the key is missing where all parts are."""
        parts = [self.key(column) for column in columns]
        key = f" || '{KEY_SEPARATOR}' || ".join(f"coalesce({part}, '')" for part in parts)
        return f"CASE WHEN coalesce({', '.join(parts)}) IS NOT NULL THEN {key} END"

    def key(self, column: str) -> str:
        """SQL of the text of an id: whole numbers have no fraction; floats that may have lost digits are NULL."""
        name, kind = quote(column), self.source.columns[column]
        if kind in _EXACT_BELOW:
            number = f"CAST({name} AS DOUBLE)"
            text = f"CASE WHEN {number} = floor({number}) THEN CAST(CAST({number} AS BIGINT) AS VARCHAR) "
            text += f"ELSE CAST({name} AS VARCHAR) END"
            return f"CASE WHEN isnan({number}) THEN '' WHEN abs({number}) < {_EXACT_BELOW[kind]} THEN {text} END"
        if kind.startswith("DECIMAL") and not is_nested(kind):
            whole = f"CAST(CAST({name} AS HUGEINT) AS VARCHAR)"
            return f"CASE WHEN {name} = floor({name}) THEN {whole} ELSE CAST({name} AS VARCHAR) END"
        text = self._text(column)
        if column in self.whole_ids:
            text = rf"regexp_replace({text}, '\.0+(\s*)$', '\1')"
        return trimmed(text) if self.trim_ids else text

    def _text(self, column: str) -> str:
        if self.source.columns[column] == "BLOB":
            return f"TRY(decode({quote(column)}))"
        return f"CAST({quote(column)} AS VARCHAR)"

    def _number(self, column: str) -> str:
        name, kind = quote(column), self.source.columns[column]
        if column in self.numbers:
            return self.numbers[column].sql(f"CAST({name} AS VARCHAR)")
        if kind == "VARCHAR" or kind.startswith("ENUM"):
            return f"coalesce(TRY_CAST({name} AS DOUBLE), TRY_CAST(TRY_CAST({name} AS BOOLEAN) AS DOUBLE))"
        return f"CAST({name} AS DOUBLE)"

    def _epoch_seconds(self, column: str) -> str:
        name, kind = quote(column), self.source.columns[column]
        if kind.startswith(("TIMESTAMP", "DATE")):
            # Without a time zone it is UTC; the plain type is ten times as fast.
            zoned = "TIME ZONE" in kind or "TZ" in kind
            return f"epoch(CAST({name} AS {'TIMESTAMPTZ' if zoned else 'TIMESTAMP'}))"
        return self.time.sql(name, f"TRY_CAST({name} AS DOUBLE)")

    def _spellings(self, columns: Mapping[str, str], said: Decimal | None) -> dict[str, Spelling]:
        out = {}
        for name, column in columns.items():
            kind = self.source.columns[column]
            if kind != "VARCHAR" and not kind.startswith("ENUM"):
                continue
            texts = other_texts(self.source.columns, [column])
            found = spelling(
                partial(self._ask, f"CAST({quote(column)} AS VARCHAR)"),
                column,
                self.source.where,
                whole=CANONICAL[name].kind == "count",
                others=partial(self._ask, texts) if texts else None,
                said=said,
            )
            if found is not None:
                out[column] = found
        return out

    def _time_form(self, column: str) -> TimeForm:
        kind, where = self.source.columns[column], self.source.where
        if kind.startswith(("TIMESTAMP", "DATE")) or kind == NULL:
            return ISO
        text = f"CAST({quote(column)} AS VARCHAR)"
        if kind == "VARCHAR" or kind.startswith("ENUM"):
            found = text_form(partial(self._ask, text), column, where)
            if found is not None:
                return found
        if kind == "FLOAT":
            refuse_short_floats(partial(self._ask, f"CAST({quote(column)} AS DOUBLE)"), column, where)
        form = number_form(partial(self._ask, f"TRY_CAST({quote(column)} AS DOUBLE)"), column, where)
        if kind == "VARCHAR":
            refuse_rounded(partial(self._ask, text), form, column, where)
        return form

    def _ask(self, value: str, outputs: str, *, limit: int | None = None) -> list[tuple[Any, ...]]:
        """Query over the kept rows with ``x`` the value of the SQL ``value``."""
        table = self.select(extra={"x": value})
        some = f"(SELECT x FROM {table} WHERE x IS NOT NULL LIMIT {limit})" if limit else table
        return self.source.query(f"SELECT {outputs} FROM {some}", self.parameters).fetchall()


PLACE = {"file": FILE, "row": ROW}
"""Extra columns for `TypedRows.select` that say where a row stands."""
