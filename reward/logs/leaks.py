"""Columns that give away what is to be learned: copies of the title, and what follows from the clicks.

A copy of the title supports every word of it, and what follows from a click (a CTR, the time on the page) is not there
before titles are shown. Neither is context of the item, nor a circumstance that could be taken off.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from ..arrays import FloatArray
from .source import FILE, ROW, quote
from .text_files import NUMBER, is_nested
from .typed_rows import WHOLE_TYPES, TypedRows

TITLE_COPY = "a copy of the title, which would bear out every word of it"
FROM_CLICKS = "follows from the clicks, so it is not known before a title is shown"
LEAKS = (TITLE_COPY, FROM_CLICKS)
"""Reasons for leaving such columns out."""
SAMPLE_ROWS = 50_000
READ_ROWS = 500_000
"""Rows at the beginning of longer logs that are read, evenly thinned to about `SAMPLE_ROWS`."""
_COPIED = 0.9  # share of the rows with a value
_ALIKE = 0.8  # of the letters
_CERTAIN = 0.995
_SURE_IMPRESSIONS = 20
_MAX_CTR = 0.5
_MAX_LEVELS = 50
_RANKS_AGREE = 0.99
_SHARES_AGREE = 0.8
_BY_COUNT = 0.5
_FEWEST = 20
_DISTINCT = 10
_FEWEST_COPIES = 3
_MOST_ARMS = 20_000
_AT_ONCE = 16
_NUMBERS = WHOLE_TYPES | {"FLOAT", "DOUBLE", "BOOLEAN", NUMBER}


def leaking(rows: TypedRows, columns: Sequence[str]) -> dict[str, str]:
    """Find those of ``columns`` that give the title or the clicks away, with the reason (`LEAKS`).

    Parameters
    ----------
    rows
        Valid rows with titles and clicks, added up (the table ``arms`` of `reward.logs.aggregate`).
    columns
        Columns that might be context of the item.
    """
    plain = [column for column in columns if not is_nested(rows.source.columns[column])]
    if not plain:
        return {}
    some = _sample(rows)
    found: dict[str, str] = {}
    for block in _blocks(plain):
        found |= dict.fromkeys(_copies(some, block), TITLE_COPY)
    rest = [column for column in plain if column not in found]
    for block in _blocks(rest):
        found |= dict.fromkeys(_told_by_row(some, block), FROM_CLICKS)
    for block in _blocks([column for column in _numbers(some, rest) if column not in found]):
        found |= dict.fromkeys(_told_by_sums(rows, block), FROM_CLICKS)
    return {column: found[column] for column in columns if column in found}


def _blocks(columns: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(columns), _AT_ONCE):
        yield columns[start : start + _AT_ONCE]


def _sample(rows: TypedRows) -> TypedRows:
    """These rows, or a copy of some of them."""
    source = rows.source
    n = int(source.query(f"SELECT count(*) FROM {source.relation}", source.parameters).fetchall()[0][0])
    if n <= 2 * SAMPLE_ROWS:
        return rows
    step = min(n, READ_ROWS) // SAMPLE_ROWS
    target = source.folder / "some.parquet"
    source.query("SET preserve_insertion_order = true")  # the first rows, not those that a thread reads first
    source.query(
        f"COPY (SELECT * EXCLUDE ({FILE}, {ROW}) FROM (SELECT * FROM {source.relation} LIMIT {READ_ROWS}) "
        f"WHERE hash({FILE}, {ROW}) % {step} = 0) TO '{target}' (FORMAT parquet)",
        source.parameters,
    )
    source.query("SET preserve_insertion_order = false")
    return replace(rows, source=replace(source, files={str(target): Path(source.where)}, partitioned=False))


def _copies(rows: TypedRows, columns: Sequence[str]) -> list[str]:
    """Columns that hold the title in most rows, up to spelling and a few letters more or less."""
    texts = [c for c in columns if rows.source.columns[c] == "VARCHAR" or rows.source.columns[c].startswith("ENUM")]
    if not texts:
        return []
    values = {f"v{i}": _letters(f"CAST({quote(column)} AS VARCHAR)") for i, column in enumerate(texts)}
    table = rows.select("title", "impressions", extra=values, where="impressions > 0")
    alike = {
        key: f"{key} <> '' AND (contains({key}, t) OR contains(t, {key})) "
        f"AND least(length({key}), length(t)) >= {_ALIKE} * greatest(length({key}), length(t))"
        for key in values
    }
    counts = ", ".join(f"count({key}), count(*) FILTER ({sql})" for key, sql in alike.items())
    inner = f"SELECT {_letters('title')} AS t, * FROM {table}"
    found = rows.source.query(f"SELECT {counts} FROM ({inner}) WHERE t <> ''", rows.parameters).fetchall()[0]
    pairs = zip(texts, found[::2], found[1::2], strict=True)
    return [column for column, filled, same in pairs if same >= max(_FEWEST_COPIES, _COPIED * filled)]


def _letters(text: str) -> str:
    return rf"regexp_replace(lower({text}), '[^\p{{L}}\p{{N}}]+', '', 'g')"


def _told_by_row(rows: TypedRows, columns: Sequence[str]) -> list[str]:
    """Columns that tell a row's clicks, or have a value after which a click is certain."""
    numbers = {f"n{i}": _number(rows, column) for i, column in enumerate(columns)}
    texts = {f"t{i}": _known(f"CAST({quote(column)} AS VARCHAR)") for i, column in enumerate(columns)}
    table = rows.select("impressions", "clicks", extra={**numbers, **texts}, where="impressions > 0")
    parameters = {**rows.parameters, "marks": sorted(rows.missing)}
    rows.source.query(f"CREATE OR REPLACE TEMP TABLE looked_at AS SELECT * FROM {table}", parameters)
    shown, clicked, *values = _floats(rows, f"SELECT impressions, clicks, {', '.join(numbers)} FROM looked_at")
    certain = _certain(rows, list(texts)) if 0 < clicked.sum() < _MAX_CTR * shown.sum() else set()
    rows.source.query("DROP TABLE looked_at")
    return [
        column
        for i, (column, value) in enumerate(zip(columns, values, strict=True))
        if f"t{i}" in certain or _told(value, shown, clicked) or _grows_with_clicks(value, shown, clicked)
    ]


def _known(text: str) -> str:
    """SQL of a text, NULL where it is a mark of a missing value."""
    return f"CASE WHEN NOT list_contains($marks, lower(trim({text}))) THEN {text} END"


def _certain(rows: TypedRows, texts: Sequence[str]) -> set[str]:
    """Keys of columns with a value, or a sign, or any value at all, that is nowhere without a click."""
    out = set()
    for key in texts:
        number = f"n{key[1:]}"
        for level in (key, f"sign({number})", f"{key} IS NOT NULL"):
            found = rows.source.query(
                f"SELECT count(*), coalesce(max(rate), 0) FROM (SELECT {level} AS level, sum(impressions) AS n, "
                f"sum(clicks) / sum(impressions) AS rate FROM looked_at WHERE {level} IS NOT NULL GROUP BY level) "
                f"WHERE n >= {_SURE_IMPRESSIONS}"
            )
            levels, rate = found.fetchall()[0]
            if levels <= _MAX_LEVELS and rate >= _CERTAIN:
                out.add(key)
    return out


def _told_by_sums(rows: TypedRows, columns: Sequence[str]) -> list[str]:
    """Columns whose mean by title, or by item, follows the clicks there."""
    step = -(-int(rows.source.query("SELECT count(*) FROM arms").fetchall()[0][0]) // _MOST_ARMS)
    kept = "true" if step <= 1 else f"hash({rows.expression('item_id')}) % {step} = 0"
    values = {f"v{i}": _number(rows, column) for i, column in enumerate(columns)}
    table = rows.select("item_id", "title", "impressions", extra={**values, "kept": kept}, where="impressions > 0")
    # Sums of floats depend on the order of threads in the last digits: 12 digits tell as well.
    means = ", ".join(f"round(avg({key}), 12) AS {key}" for key in values)
    by_arm = f"SELECT item_id, title, {means} FROM {table} WHERE kept GROUP BY item_id, title"
    item, shown, clicked, *found = _floats(
        rows,
        f"SELECT item, impressions, clicks, {', '.join(values)} FROM ({by_arm}) JOIN arms USING (item_id, title) "
        "ORDER BY arm",
    )
    index = np.unique(item, return_inverse=True)[1]
    n_arms = np.bincount(index)
    out = []
    for column, value in zip(columns, found, strict=True):
        by_item = np.bincount(index, value) / n_arms if len(index) else value
        shown_items, clicked_items = (np.asarray(np.bincount(index, sums), np.float64) for sums in (shown, clicked))
        of_items = _told(np.asarray(by_item, np.float64), shown_items, clicked_items)
        if of_items or _told(value, shown, clicked):
            out.append(column)
    return out


def _told(value: FloatArray, shown: FloatArray, clicked: FloatArray) -> bool:
    """True if the values match the clicks, the click rate, or the impressions without a click, up to rounding."""
    known = np.isfinite(value)
    value, shown, clicked = value[known], shown[known], clicked[known]
    if len(value) < _FEWEST or not clicked.any():
        return False
    distinct = np.unique(value)
    rate = clicked / shown
    if len(distinct) >= _FEWEST_COPIES and any(_rounded(value, scale * rate) for scale in (1.0, 100.0)):
        return True
    if len(distinct) < _DISTINCT:
        return False
    return any(_ranks_agree(value, told) for told in (rate, clicked, shown - clicked * _varied(shown)))


def _grows_with_clicks(value: FloatArray, shown: FloatArray, clicked: FloatArray) -> bool:
    """True if the values are about so much a click, as costs are: an impression's share of them goes with the rate.

    If the rate goes with 1 / impressions, as in reports of rows with a click, so does a share of anything.
    """
    known = np.isfinite(value)
    value, shown, clicked = value[known], shown[known], clicked[known]
    if len(value) < _FEWEST or not _varied(shown) or value.min() < 0 or len(np.unique(value)) < _DISTINCT:
        return False
    rate = clicked / shown
    if len(np.unique(rate)) < _DISTINCT or abs(stats.spearmanr(1 / shown, rate).statistic) >= _BY_COUNT:
        return False
    return bool(stats.spearmanr(value / shown, rate).statistic >= _SHARES_AGREE)


def _varied(shown: FloatArray) -> float:
    """0 where all rows have as many impressions: those without a click then say what the clicks do."""
    return float(np.ptp(shown) > 0)


def _rounded(value: FloatArray, told: FloatArray) -> bool:
    """True if ``value`` is ``told`` with as many decimals as it has."""
    for decimals in range(7):
        if np.allclose(value, np.round(value, decimals), rtol=0, atol=1e-9):
            half = 0.5 * 10.0**-decimals + 1e-9
            return bool(np.all(np.abs(value - told) <= half))
    return bool(np.allclose(value, told, rtol=1e-6, atol=0))


def _ranks_agree(value: FloatArray, told: FloatArray) -> bool:
    if len(np.unique(told)) < _DISTINCT:
        return False
    return bool(abs(stats.spearmanr(value, told).statistic) >= _RANKS_AGREE)


def _numbers(rows: TypedRows, columns: Sequence[str]) -> list[str]:
    """Columns whose values are numbers, in one spelling or another."""
    out = [column for column in columns if _of_numbers(rows.source.columns[column])]
    texts = [column for column in columns if rows.source.columns[column] == "VARCHAR"]
    if texts:
        table = rows.select("impressions", extra={f"v{i}": _number(rows, c) for i, c in enumerate(texts)})
        counts = ", ".join(f"count(v{i})" for i in range(len(texts)))
        found = rows.source.query(f"SELECT {counts} FROM {table}", rows.parameters).fetchall()[0]
        out += [column for column, n in zip(texts, found, strict=True) if n >= _FEWEST]
    return out


def _of_numbers(kind: str) -> bool:
    return kind in _NUMBERS or kind.startswith("DECIMAL")


def _number(rows: TypedRows, column: str) -> str:
    """SQL of a column's value as a number, NULL where it is none; percent signs are taken off."""
    name, kind = quote(column), rows.source.columns[column]
    if _of_numbers(kind):
        return f"CAST({name} AS DOUBLE)"
    text = f"rtrim(CAST({name} AS VARCHAR), '% ')"
    return f"coalesce(TRY_CAST({text} AS DOUBLE), TRY_CAST(replace({text}, ',', '.') AS DOUBLE))"


def _floats(rows: TypedRows, sql: str) -> list[FloatArray]:
    """Columns of a result as floats, NaN where there is no value."""
    table = rows.source.table(sql, rows.parameters if "$files" in sql else None)
    return [np.asarray(table.column(i).to_numpy(), dtype=np.float64) for i in range(table.num_columns)]
