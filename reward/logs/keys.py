"""Item ids that mean the same are the same: 1042.0 is 1042, and "0012 " is "0012". Leading zeros stay."""

import re
from collections.abc import Iterable
from dataclasses import replace

from ..errors import LogError
from .source import quote
from .trim_sql import stripped
from .typed_rows import TypedRows

_ROUNDED = re.compile(r"\s*-?\d([.,]\d+)?[eE]\+\d+\s*")
_FLOAT = re.compile(r"\s*-?(\d{16,})\.0\s*")
_EXACT_BELOW = 2**53  # whole floats from here on may have lost digits
_WHOLE = r"\s*-?[0-9]+(\.0+)?\s*"


def respelled(rows: TypedRows, ids: Iterable[str]) -> TypedRows:
    """``rows`` with their ids spelt as the schema has them, where ``ids`` (all that occur) are not so already.

    Raises
    ------
    LogError
        If ids are rounded numbers.
    """
    padded = fraction = False
    for item_id in ids:
        if _ROUNDED.fullmatch(item_id) or ((long := _FLOAT.fullmatch(item_id)) and int(long[1]) >= _EXACT_BELOW):
            raise LogError(
                f"{rows.source.where} has the item_id {item_id.strip()}, a rounded number, as spreadsheets and floats "
                "are: the id's last digits are lost. Export the ids as text."
            )
        padded = padded or item_id != stripped(item_id)
        fraction = fraction or ".0" in item_id
    whole = [column for column in rows.sources["item_id"] if _whole_numbers(rows, column)] if fraction else []
    return replace(rows, trim_ids=padded, whole_ids=frozenset(whole)) if padded or whole else rows


def respelled_file(rows: TypedRows) -> TypedRows:
    """Apply `respelled` to a file whose ids nothing has added up yet."""
    found = rows.source.query(f"SELECT DISTINCT item_id FROM {rows.select('item_id')}", rows.parameters)
    return respelled(rows, (item_id for (item_id,) in found.fetchall() if item_id is not None))


def _whole_numbers(rows: TypedRows, column: str) -> bool:
    """True if all values of a column of texts are whole numbers, some of them with a fraction of zeros."""
    value = f"CAST({quote(column)} AS VARCHAR)"
    table = rows.select(extra={"x": value})
    found = rows.source.query(
        f"SELECT count(*) FILTER (contains(x, '.0')), count(*) FILTER (NOT regexp_full_match(x, '{_WHOLE}')) "
        f"FROM {table}",
        rows.parameters,
    )
    fractions, others = found.fetchall()[0]
    return bool(fractions) and not others
