"""Ways in which a table, its bytes or the words of a command may be other than they should, drawn from a seed."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

Rng = np.random.Generator
NASTY: tuple[Any, ...] = (
    None, "", " ", "NaN", "nan", "null", "-", "(not set)", -1, 0, 1.5, 1e308, float("inf"), float("nan"), 10**18,
    "9" * 400, "\0", "\u202etxt", "\U0001f600", "=1+1", "<script>alert(1)</script>",
    "a\nb", "a\tb", '"', '""', "'", ";", True, False, "true", "1,5", "1.000", "1.234,5", "5%", "< 10", "2026-13-45",
    "0000-00-00", "2026-03-01T00:00:00+99:00", "x" * 6_000, "商" * 3_000, "[]", "{}",
    '{"a": [1, {"b": null}]}', "../../etc", "\\N", "1e5", "0x1F", "１２", "٣", "-0", "+7", "1_000", "1042.0", "0012 ",
)  # fmt: skip


def table(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    """The table with one thing changed."""
    change = rng.choice(list(TABLES))
    return TABLES[change](log.copy(), rng)


def _cells(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    column = rng.choice(log.columns)
    values = log[column].astype(object).tolist()
    for row in rng.choice(len(values), min(len(values), int(rng.integers(1, 4))), replace=False) if values else ():
        values[row] = NASTY[int(rng.integers(len(NASTY)))]
    log[column] = pd.Series(values, dtype=object, index=log.index)
    return log


def _column(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    log[rng.choice(log.columns)] = [NASTY[int(rng.integers(len(NASTY)))]] * len(log)
    return log


def _dropped(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return log.drop(columns=[rng.choice(log.columns)])


def _renamed(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    names = (
        "",
        " ",
        "Title",
        "TITLE ",
        "a'b",
        'a"b',
        "a`b",
        "file_row_number",
        "__rlopt_file",
        "x" * 300,
        "标题",
        "a\nb",
        "+",
        ";",
    )
    return log.rename(columns={rng.choice(log.columns): str(rng.choice(names))})


def _retyped(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    column = rng.choice(log.columns)
    ways: tuple[Callable[[Any], Any], ...] = (
        str, lambda v: f" {v} ", lambda v: [v], lambda v: {"v": v}, lambda v: str(v).encode(), lambda _: True,
        lambda v: f"{v}.0", lambda v: pd.Timestamp("2026-03-01"), lambda v: float(len(str(v))),
    )  # fmt: skip
    log[column] = pd.Series([ways[int(rng.integers(len(ways)))](v) for v in log[column][:1]] * len(log), dtype=object)
    return log


def _swapped(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    one, other = rng.choice(log.columns, 2)
    return log.rename(columns={one: other, other: one})


def _rows(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return log.iloc[: int(rng.choice([0, 1, 2, 5]))]


def _copied(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return pd.concat(
        [log, log.sample(frac=rng.uniform(0.1, 1), random_state=int(rng.integers(2**31)))], ignore_index=True
    )


def _total(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    sums = {c: log[c].sum() if pd.api.types.is_numeric_dtype(log[c]) else "Total" for c in log.columns}
    return pd.concat([log, pd.DataFrame([sums])], ignore_index=True)


def _wide(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    more = pd.DataFrame({f"c{i}": rng.integers(0, 9, len(log)) for i in range(300)}, index=log.index)
    return pd.concat([log, more], axis=1)


def _copy_of_a_column(log: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    log[f"own {rng.integers(100)}"] = log[rng.choice(log.columns)]
    return log


TABLES: dict[str, Callable[[pd.DataFrame, Rng], pd.DataFrame]] = {
    "cells": _cells,
    "cells again": _cells,
    "a column": _column,
    "dropped": _dropped,
    "renamed": _renamed,
    "retyped": _retyped,
    "swapped": _swapped,
    "few rows": _rows,
    "copies": _copied,
    "total": _total,
    "wide": _wide,
    "copied column": _copy_of_a_column,
    "none": lambda log, rng: log,
}


def content(data: bytes, rng: Rng) -> bytes:
    """The bytes of a file with one thing changed."""
    place = int(rng.integers(0, len(data) + 1))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: data[:place],
        lambda: data[:place] + rng.bytes(int(rng.integers(1, 40))) + data[place:],
        lambda: data[:place] + b"\0" + data[place:],
        lambda: data[:place] + b'"' + data[place:],
        lambda: data[place:],
        lambda: data + data[-200:],
        lambda: b"",
        lambda: gzip.compress(data),
        lambda: data.replace(b"\n", b"\r\n", 5),
        lambda: data.replace(b",", b";", 7),
        lambda: data.decode("utf-8", "replace").encode("utf-16"),
        lambda: data.decode("utf-8", "replace").encode("latin-1", "replace"),
        lambda: b"\xef\xbb\xbf" + data,
        lambda: b"Report\n\n" + data,
        lambda: bytes(b ^ (0xFF if rng.random() < 0.002 else 0) for b in data),
    )
    return ways[int(rng.integers(len(ways)))]()


def write(log: pd.DataFrame, path: Path) -> bool:
    """Write the table as the ending says; False where that format cannot hold it."""
    try:
        if path.suffix == ".parquet":
            columns = {str(name): _array(log.iloc[:, i].tolist()) for i, name in enumerate(log.columns)}
            pq.write_table(pa.table(columns), path)
        elif path.suffix in (".csv", ".tsv"):
            log.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
        else:
            rows = [dict(zip(map(str, log.columns), row, strict=True)) for row in log.itertuples(index=False)]
            path.write_text("\n".join(json.dumps(row, default=str) for row in rows), encoding="utf-8")
    except (pa.ArrowException, UnicodeError, ValueError, TypeError, OverflowError):
        return False
    return True


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
