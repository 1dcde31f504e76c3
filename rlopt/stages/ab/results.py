"""Reads the results of an A/B test: arm, item, impressions, clicks, optional conversions, date and visitor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from reward.arrays import IntArray
from reward.logs.keys import respelled_file
from reward.logs.schema import ColumnMapping
from reward.logs.source import FileSource, open_source, quote
from reward.logs.spelt_numbers import Decimal
from reward.logs.typed_rows import TypedRows
from rlopt.errors import EvaluationError
from rlopt.ope.abtest import Counts
from rlopt.wording import counted

OF_RESULTS = ("arm", "date", "visitor")  # columns that logs do not have
OTHER_ITEM_NAME = "item"  # taken for item_id where there is none


@dataclass(frozen=True)
class Results:
    """Results as read.

    Parameters
    ----------
    counts
        The rows, ready to be analysed.
    items
        Item ids.
    first_date, last_date
        As the file has them; None without a date column.
    """

    counts: Counts
    items: tuple[str, ...]
    first_date: str | None
    last_date: str | None


def names_of_results(columns: str | None) -> tuple[dict[str, str], str]:
    """``--columns`` in two: the user's names of arm, date and visitor, which no log has, and the rest as it stands.

    Raises
    ------
    EvaluationError
        When one of them is named twice.
    """
    own: dict[str, str] = {}
    rest = []
    for part in (columns or "").split(","):
        name, _, column = (piece.strip() for piece in part.partition("="))
        if name not in OF_RESULTS or not column:
            rest.append(part)
        elif name in own:
            raise EvaluationError(f"--columns names '{name}' twice: {own[name]} and {column}. Keep one.")
        else:
            own[name] = column
    return own, ",".join(rest)


def read_results(
    file: str | Path,
    *,
    metric: str = "clicks",
    control: str = "control",
    mapping: ColumnMapping | None = None,
    own: Mapping[str, str] | None = None,
    decimal: Decimal | None = None,
) -> Results:
    """Read and check the results of an A/B test.

    Parameters
    ----------
    file
        Parquet, CSV or JSONL with arm, item_id, impressions, clicks, optional conversions, date and visitor; several
        rows of an arm, item and day add up.
    metric
        "clicks" or "conversions".
    control
        Name of the control among the two values of ``arm``.
    mapping
        The user's names of item_id, impressions and the metric; names of other columns have no effect.
    own
        The user's names of arm, date and visitor.
    decimal
        What stands before a fraction in numbers written as texts; None: what the column tells.

    Raises
    ------
    LogError
        The file cannot be read, or item_id, impressions or the metric is missing.
    EvaluationError
        Another column is missing, a value is wrong, or there are not two arms.
    """
    with open_source(file) as source:
        named = _columns_of_results(source, metric, own or {})
        wanted = ("item_id", "impressions", metric)
        rows = TypedRows.of(source, _mapping_of(source, mapping, wanted), None, wanted, wanted, decimal=decimal)
        rows = respelled_file(rows)
        texts = {name: f"CAST({quote(column)} AS VARCHAR)" for name, column in named.items()}
        texts["item_id"] = rows.expression("item_id")
        for name in wanted[1:]:
            texts |= {name: rows.expression(name), _as_written(name): rows.raw(name)}
        chosen = ", ".join(f"{sql} AS {quote(name)}" for name, sql in texts.items())
        table = source.table(f"SELECT {chosen} FROM {source.relation}", source.parameters)  # noqa: S608
        shown = {**named, **{name: rows.location(name) for name in wanted}}
    if not table.num_rows:
        raise EvaluationError(f"{file} holds no rows.")
    for name in ("arm", "item_id"):
        if table[name].null_count:
            raise EvaluationError(
                f"{file}: {shown[name]} must not be empty ({counted(table[name].null_count, 'row is', 'rows are')})."
            )
    impressions, events = (_counts(file, table, name, shown[name]) for name in ("impressions", metric))
    if (events > impressions).any():
        row = int(np.argmax(events > impressions))
        raise EvaluationError(
            f"{file}: {shown[metric]} must not exceed {shown['impressions']}. Got {events[row]:g} of "
            f"{impressions[row]:g} in row {row + 1}."
        )
    arms = np.asarray(table["arm"].to_pylist(), dtype=object)
    names = sorted(set(arms))
    if len(names) != 2 or control not in names:
        found = ", ".join(repr(name)[:40] for name in names[:5])
        raise EvaluationError(
            f"{file}: {shown['arm']} must name two arms, '{control}' (--control) and one other. "
            f"Got {len(names)}: {found}."
        )
    items, item = _numbered(table["item_id"].to_pylist())
    dates = _dates(file, table, shown["date"]) if "date" in shown else []
    days, day = _numbered(dates)
    visitor = _visitors(file, table, shown["visitor"]) if "visitor" in shown else None
    return Results(
        Counts(arms != control, item, impressions, events, day if len(dates) == len(item) else None, visitor),
        tuple(map(str, items)),
        min(days, default=None),
        max(days, default=None),
    )


def _numbered(values: Sequence[str]) -> tuple[list[str], IntArray]:
    """The distinct values in order, and the number of each value."""
    distinct, number = np.unique(np.asarray(values, dtype=object), return_inverse=True)
    return list(map(str, distinct)), number.astype(np.int64)


def _visitors(file: str | Path, table: pa.Table, column: str) -> IntArray:
    """Number of each row's visitor."""
    if table["visitor"].null_count:
        raise EvaluationError(
            f"{file}: {column} must not be empty ({counted(table['visitor'].null_count, 'row is', 'rows are')})."
        )
    return _numbered(table["visitor"].to_pylist())[1]


def _columns_of_results(source: FileSource, metric: str, own: Mapping[str, str]) -> dict[str, str]:
    """Arm and, where there are such, date and visitor -> the file's columns."""
    named = {name: own.get(name, name) for name in OF_RESULTS if name in own or name in source.columns}
    has = f"It has {', '.join(source.columns)}."
    if "arm" not in named:
        raise EvaluationError(
            f"{source.where} has no column 'arm'. Results need arm, item_id, impressions and {metric}, or other names "
            f"for them: --columns arm=COLUMN. {has}"
        )
    for name, column in named.items():
        if column not in source.columns:
            raise EvaluationError(f"{source.where} has no column '{column}' (mapped to '{name}'). {has}")
    return named


def _mapping_of(source: FileSource, mapping: ColumnMapping | None, wanted: Sequence[str]) -> ColumnMapping:
    """The mapping of the ``wanted`` columns; item is taken for item_id in a file that names no other."""
    kept = {name: column for name, column in (mapping.columns if mapping else {}).items() if name in wanted}
    folded = {column.strip().casefold() for column in source.columns}
    if "item_id" not in kept and "item_id" not in folded and OTHER_ITEM_NAME in source.columns:
        kept["item_id"] = OTHER_ITEM_NAME
    return ColumnMapping(kept)


def _as_written(name: str) -> str:
    """The column of the table that holds the values of ``name`` as the file has them."""
    return f"{name} as written"


def _dates(file: str | Path, table: pa.Table, column: str) -> list[str]:
    """The days that are given, as YYYY-MM-DD."""
    for row, text in enumerate(table["date"].to_pylist()):
        try:
            datetime.fromisoformat(text or "2000-01-01")
        except ValueError as error:
            raise EvaluationError(
                f"{file}: {column} must be a day such as 2026-03-01. Got {text!r:.40} in row {row + 1}."
            ) from error
    return [datetime.fromisoformat(text).date().isoformat() for text in table["date"].to_pylist() if text]


def _counts(file: str | Path, table: pa.Table, name: str, column: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column of counts, whole and not negative, shape (n_rows,)."""
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = table[name].to_numpy().astype(np.float64)  # NaN: no number
    wrong = ~((values >= 0) & (values % 1 == 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise EvaluationError(
            f"{file}: {column} must be whole numbers, 0 or more. Got {table[_as_written(name)][row].as_py()!r:.40} "
            f"in row {row + 1}."
        )
    return values
