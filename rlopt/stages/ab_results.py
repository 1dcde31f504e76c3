"""Reads the results of an A/B test: arm, item, impressions, clicks, optional conversions and date."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from reward.logs.source import open_source, quote
from rlopt.errors import EvaluationError
from rlopt.ope.abtest import Counts

ITEM_NAMES = ("item_id", "item")


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


def read_results(file: str | Path, *, metric: str = "clicks", control: str = "control") -> Results:
    """Read and check the results of an A/B test.

    Parameters
    ----------
    file
        Parquet, CSV or JSONL with arm, item_id, impressions, clicks, optional conversions and date; several rows of an
        arm and item add up.
    metric
        "clicks" or "conversions".
    control
        Name of the control among the two values of ``arm``.

    Raises
    ------
    LogError
        The file cannot be read.
    EvaluationError
        A column is missing, a value is wrong, or there are not two arms.
    """
    with open_source(file) as source:
        item_name = next((name for name in ITEM_NAMES if name in source.columns), ITEM_NAMES[0])
        needed = ["arm", item_name, "impressions", metric]
        missing = [name for name in needed if name not in source.columns]
        if missing:
            raise EvaluationError(
                f"{file} has no column '{missing[0]}'. Results need arm, item_id, impressions and {metric}; "
                f"it has {', '.join(source.columns)}."
            )
        chosen = [*needed, *(["date"] if "date" in source.columns else [])]
        texts = ", ".join(f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" for name in chosen)
        table = source.table(f"SELECT {texts} FROM {source.relation}", source.parameters)  # noqa: S608
    if not table.num_rows:
        raise EvaluationError(f"{file} holds no rows.")
    for name in ("arm", item_name):
        if table[name].null_count:
            raise EvaluationError(f"{file}: {name} must not be empty ({table[name].null_count} rows are).")
    impressions, events = (_counts(file, table, name) for name in ("impressions", metric))
    if (events > impressions).any():
        row = int(np.argmax(events > impressions))
        raise EvaluationError(
            f"{file}: {metric} must not exceed impressions. Got {events[row]:g} of {impressions[row]:g} "
            f"in row {row + 1}."
        )
    arms = np.asarray(table["arm"].to_pylist(), dtype=object)
    names = sorted(set(arms))
    if len(names) != 2 or control not in names:
        shown = ", ".join(repr(name)[:40] for name in names[:5])
        raise EvaluationError(
            f"{file}: arm must name two arms, '{control}' (--control) and one other. Got {len(names)}: {shown}."
        )
    items, codes = np.unique(np.asarray(table[item_name].to_pylist(), dtype=object), return_inverse=True)
    dates = _dates(file, table) if "date" in chosen else []
    return Results(
        Counts(arms != control, codes.astype(np.int64), impressions, events),
        tuple(map(str, items)),
        min(dates, default=None),
        max(dates, default=None),
    )


def _dates(file: str | Path, table: pa.Table) -> list[str]:
    """The days that are given."""
    for row, text in enumerate(table["date"].to_pylist()):
        try:
            datetime.fromisoformat(text or "2000-01-01")
        except ValueError as error:
            raise EvaluationError(
                f"{file}: date must be a day such as 2026-03-01. Got {text!r:.40} in row {row + 1}."
            ) from error
    return [text for text in table["date"].to_pylist() if text]


def _counts(file: str | Path, table: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column of counts, whole and not negative."""
    values = np.zeros(table.num_rows)
    for row, text in enumerate(table[name].to_pylist()):
        try:
            values[row] = float(text)
        except (TypeError, ValueError):
            values[row] = np.nan
        if not values[row] >= 0 or values[row] % 1 or values[row] == np.inf:
            raise EvaluationError(
                f"{file}: {name} must be whole numbers, 0 or more. Got {text!r:.40} in row {row + 1}."
            )
    return values
