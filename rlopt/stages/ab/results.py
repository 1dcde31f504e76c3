"""Reads the results of an A/B test: arm, item, impressions, the metrics' columns, optional date and visitor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.logs.keys import respelled_file
from reward.logs.read import Copies
from reward.logs.schema import CANONICAL, ColumnMapping
from reward.logs.source import FileSource, open_source, quote
from reward.logs.sources.local import LocalSource
from reward.logs.spelt_numbers import Decimal
from reward.logs.typed_rows import TypedRows
from rlopt.errors import EvaluationError
from rlopt.ope.comparison import Counts
from rlopt.stages.ab.metrics import COUNTED, IMPRESSIONS, Metric
from rlopt.stages.ab.twice import refuse_repeats_in_results, refuse_total
from rlopt.wording import counted

OF_RESULTS = ("arm", "date", "visitor")  # columns that logs do not have
OTHER_ITEM_NAME = "item"  # taken for item_id where there is none


@dataclass(frozen=True)
class Results:
    """Results as read; arrays of shape (n_rows,).

    Parameters
    ----------
    arm, arms
        Number of each row's arm, and the arms' names, the control first.
    item, items
        Number of each row's item, and the item ids.
    values
        Column -> its numbers, impressions among them.
    day, days
        Number of each row's day, and the days as YYYY-MM-DD; None and none without a date column.
    visitor, visitors
        Number of each row's visitor, and their names; None and none without such a column.
    block
        Number of the block of items, within which they were shared between the arms, of each row's item; None where
        that is not known.
    """

    arm: IntArray
    arms: tuple[str, ...]
    item: IntArray
    items: tuple[str, ...]
    values: Mapping[str, FloatArray]
    day: IntArray | None = None
    days: tuple[str, ...] = ()
    visitor: IntArray | None = None
    visitors: tuple[str, ...] = ()
    block: IntArray | None = None

    @property
    def first_date(self) -> str | None:
        """First day, None without dates."""
        return self.days[0] if self.days else None

    @property
    def last_date(self) -> str | None:
        """Last day, None without dates."""
        return self.days[-1] if self.days else None

    @property
    def day_numbers(self) -> IntArray | None:
        """Days from the first one on, of each row, those without rows counted; None without dates."""
        if self.day is None:
            return None
        start = date.fromisoformat(self.days[0])
        since = np.array([(date.fromisoformat(day) - start).days for day in self.days], dtype=np.int64)
        return np.asarray(since[self.day])

    def counts(
        self, metric: Metric, variant: int = 1, values: FloatArray | None = None, expected: FloatArray | None = None
    ) -> Counts:
        """Rows of the control and one variant, ready to be compared.

        Parameters
        ----------
        metric
            Metric to measure.
        variant
            Number of the arm.
        values
            The numerator where it is not the column as read (winsorised).
        expected
            Expected numerator of each row, see `Counts`.
        """
        rows = (self.arm == 0) | (self.arm == variant)
        whole = Counts(
            self.arm != 0,
            self.item,
            self.values[metric.denominator],
            self.values[metric.numerator] if values is None else values,
            self.day,
            self.visitor,
            expected,
            self.block,
        )
        return whole.take(rows)

    def in_blocks(self, blocks: Mapping[str, str]) -> "Results":
        """The same with the block of each item, by its id."""
        _, number = _numbered([blocks[item] for item in self.items])
        return replace(self, block=number[self.item])

    def without(self, rows: BoolArray) -> "Results":
        """Less these rows."""
        kept = ~rows
        return replace(
            self,
            arm=self.arm[kept],
            item=self.item[kept],
            values={name: values[kept] for name, values in self.values.items()},
            day=None if self.day is None else self.day[kept],
            visitor=None if self.visitor is None else self.visitor[kept],
            block=None if self.block is None else self.block[kept],
        )


def names_of_results(columns: str | None) -> tuple[dict[str, str], str]:
    """``--columns`` in two: the user's names of arm, date and visitor, which no log has, and the rest as it stands.

    Raises
    ------
    EvaluationError
        If one of them is named twice.
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
    file: LocalSource,
    wanted: Sequence[str] = (IMPRESSIONS, "clicks"),
    *,
    control: str = "control",
    mapping: ColumnMapping | None = None,
    own: Mapping[str, str] | None = None,
    decimal: Decimal | None = None,
    copies: Copies = "keep",
) -> Results:
    """Read and check the results of an A/B test.

    Parameters
    ----------
    file
        Parquet, CSV or JSONL with arm, item_id, impressions, the wanted columns, optional date and visitor; several
        rows of an arm, item and day add up.
    wanted
        Columns of numbers, as in `Asked.columns`.
    control
        Name of the control among the values of ``arm``.
    mapping
        The user's names of item_id and the wanted columns; names of other columns have no effect.
    own
        The user's names of arm, date and visitor.
    decimal
        Decimal mark of numbers written as texts; None: inferred from the column.
    copies
        "stop" where rows, sums or totals are there twice (`rlopt.stages.ab.twice`), or "keep" and count them.

    Raises
    ------
    LogError
        The file cannot be read, a column of logs is missing, or something is there twice.
    EvaluationError
        Another column is missing, a value is wrong, or there are not two arms.
    """
    with open_source(file) as source:
        named = _columns_of_results(source, wanted, own or {})
        canonical = ("item_id", *(name for name in wanted if name in CANONICAL))
        rows = TypedRows.of(
            source, _mapping_of(source, mapping, canonical), None, canonical, canonical, decimal=decimal
        )
        rows = respelled_file(rows)
        texts = {name: f"CAST({quote(column)} AS VARCHAR)" for name, column in named.items()}
        texts["item_id"] = rows.expression("item_id")
        for name in wanted:
            if name in CANONICAL:
                texts |= {name: rows.expression(name), _as_written(name): rows.raw(name)}
            else:
                text = f"CAST({quote(name)} AS VARCHAR)"
                texts |= {name: f"TRY_CAST({text} AS DOUBLE)", _as_written(name): text}
        chosen = ", ".join(f"{sql} AS {quote(name)}" for name, sql in texts.items())
        table = source.table(f"SELECT {chosen} FROM {source.relation}", source.parameters)  # noqa: S608
        shown = {**named, **{n: rows.location(n) if n in CANONICAL else n for n in ("item_id", *wanted)}}
        found = _results(file, table, wanted, shown, control)
        if copies == "stop" and "clicks" in wanted and "+" not in shown["item_id"]:
            for name, number, names in (("item_id", found.item, found.items), ("arm", found.arm, found.arms)):
                refuse_total(f"{file}: {shown[name]}", number, names, found.values)
            refuse_repeats_in_results(source, shown, decimal)
    return found


def _results(
    file: LocalSource, table: pa.Table, wanted: Sequence[str], shown: Mapping[str, str], control: str
) -> Results:
    """The results of a table with the columns that are ``shown`` to the user under the file's names."""
    if not table.num_rows:
        raise EvaluationError(f"{file} holds no rows.")
    dated = "date" in shown and table["date"].null_count < table.num_rows
    for name in ("arm", "item_id", *(["date"] if dated else [])):
        if table[name].null_count:
            raise EvaluationError(
                f"{file}: {shown[name]} must not be empty ({counted(table[name].null_count, 'row is', 'rows are')})."
            )
    arm, arms = _arms(file, table, control, shown["arm"])
    items, item = _numbered(table["item_id"].to_pylist())
    days, day = _numbered(_dates(file, table, shown["date"]) if dated else [])
    visitors, visitor = _visitors(file, table, shown["visitor"]) if "visitor" in shown else ([], None)
    return Results(
        arm,
        arms,
        item,
        tuple(items),
        _values(file, table, wanted, shown),
        day if dated else None,
        tuple(days),
        visitor,
        tuple(visitors),
    )


def _arms(file: LocalSource, table: pa.Table, control: str, column: str) -> tuple[IntArray, tuple[str, ...]]:
    """Number of each row's arm, and the arms' names, the control first."""
    names, number = _numbered([name.strip() for name in table["arm"].to_pylist()])
    spelt: dict[str, str] = {}
    for name in names:
        if (other := spelt.setdefault(name.casefold(), name)) != name:
            raise EvaluationError(
                f"{file}: {column} has {other!r:.40} and {name!r:.40}, which differ in spelling only: write one arm "
                "one way."
            )
    if len(names) < 2 or control not in names:
        found = ", ".join(repr(name)[:40] for name in names[:5])
        raise EvaluationError(
            f"{file}: {column} must name the arm '{control}' (--control) and one other or several. "
            f"Got {len(names)}: {found}."
        )
    ordered = [control, *(name for name in names if name != control)]
    place = np.array([ordered.index(name) for name in names], dtype=np.int64)
    return place[number], tuple(ordered)


def _values(
    file: LocalSource, table: pa.Table, wanted: Sequence[str], shown: Mapping[str, str]
) -> dict[str, FloatArray]:
    """The columns of numbers, checked."""
    out: dict[str, FloatArray] = {}
    for name in wanted:
        whole = name in (IMPRESSIONS, *COUNTED)
        out[name] = _numbers(file, table, name, shown[name], whole=whole)
        above = out[name] > out[IMPRESSIONS]
        if name in COUNTED and above.any():
            row = int(np.argmax(above))
            raise EvaluationError(
                f"{file}: {shown[name]} must not exceed {shown[IMPRESSIONS]}. Got {out[name][row]:g} of "
                f"{out[IMPRESSIONS][row]:g} in row {row + 1}."
            )
    return out


def _numbered(values: Sequence[str]) -> tuple[list[str], IntArray]:
    """The distinct values in order, and the number of each value."""
    distinct, number = np.unique(np.asarray(values, dtype=object), return_inverse=True)
    return list(map(str, distinct)), number.astype(np.int64)


def _visitors(file: LocalSource, table: pa.Table, column: str) -> tuple[list[str], IntArray]:
    """The visitors, and the number of each row's."""
    if table["visitor"].null_count:
        raise EvaluationError(
            f"{file}: {column} must not be empty ({counted(table['visitor'].null_count, 'row is', 'rows are')})."
        )
    return _numbered(table["visitor"].to_pylist())


def _columns_of_results(source: FileSource, wanted: Sequence[str], own: Mapping[str, str]) -> dict[str, str]:
    """Arm and, where there are such, date and visitor -> the file's columns."""
    folded = {column.strip().casefold(): column for column in reversed(list(source.columns))}
    named = {name: own.get(name, folded.get(name, name)) for name in OF_RESULTS if name in own or name in folded}
    has = f"It has {', '.join(source.columns)}."
    if "arm" not in named:
        raise EvaluationError(
            f"{source.where} has no column 'arm'. Results need arm, item_id, {', '.join(wanted[:-1])} and "
            f"{wanted[-1]}, or other names for them: --columns arm=COLUMN. {has}"
        )
    for name in wanted:
        if name not in CANONICAL and name not in source.columns:
            raise EvaluationError(f"{source.where} has no column '{name}' (--metric, --guardrail). {has}")
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


def _dates(file: LocalSource, table: pa.Table, column: str) -> list[str]:
    """The days that are given, as YYYY-MM-DD."""
    for row, text in enumerate(table["date"].to_pylist()):
        try:
            datetime.fromisoformat(text or "2000-01-01")
        except ValueError as error:
            raise EvaluationError(
                f"{file}: {column} must be a day such as 2026-03-01. Got {text!r:.40} in row {row + 1}."
            ) from error
    return [datetime.fromisoformat(text).date().isoformat() for text in table["date"].to_pylist() if text]


def _numbers(file: LocalSource, table: pa.Table, name: str, column: str, *, whole: bool) -> FloatArray:
    """A column of numbers, shape (n_rows,); counts are whole and not negative."""
    values: FloatArray = table[name].to_numpy().astype(np.float64)  # NaN: no number
    wrong = ~((values >= 0) & (values % 1 == 0)) if whole else ~np.isfinite(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise EvaluationError(
            f"{file}: {column} must be {'whole numbers, 0 or more' if whole else 'numbers'}. "
            f"Got {table[_as_written(name)][row].as_py()!r:.40} in row {row + 1}."
        )
    return values
