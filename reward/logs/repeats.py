"""Repeats in a log: copied files, repeated rows and events, and rows that are the sum of the others."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import LogError
from .schema import WHERE_SHOWN
from .source import FILE, ROW, quote
from .sums import CARRIES_COUNTS
from .text_files import is_nested
from .typed_rows import TypedRows
from .validate import LogTotals

EVENT_NAMES = frozenset({"eventid", "impressionid"})
"""Names of columns that name an impression, without case, blanks and underscores."""
SAMPLE_ROWS = 5_000_000
"""Rows among which repeated ones are looked for about: of longer logs, those of every k-th item."""
_MOST_REPEATED = 0.5
_FEWEST = 3
_MOST_COLUMNS = 40
_MOST_FILES = 400
_HIDDEN_SHARE = 0.05
_EACH_ROW = 0.9  # different values, about, of a column that numbers the rows
_FEWEST_CLICKS = 10  # of a total: fewer agree by chance
_TOTALS = re.compile(
    r"\s*(((grand|sub|report|overall)[ -]?)?totals?( général| general| geral| generale)?|totales|totaux|totale|totaal|"
    r"gesamt|gesamt(summe|ergebnis|wert)|insgesamt|summe|suma( końcowa)?|razem|soma|ukupno|celkem|összesen|toplam|"
    r"итого.*|всего|合计|总计|总和|汇总|合計|総計|總計|합계|총계)\s*(:.*)?$",
    re.IGNORECASE,
)
"""Names of totals."""
WAY_OUT = "Remove what is there twice; to count it anyway, --copies keep"
_BLOCK = 1 << 20


def without_repeated_events(rows: TypedRows, named: str | None = None) -> tuple[TypedRows, int]:
    """The rows with one of those that share an event id, item and title, the one with most clicks; how many are gone.

    An id that several titles share is that of a page: all of them stay.

    Parameters
    ----------
    rows
        Rows of the logs.
    named
        The column of event ids that the user names; None: one of `EVENT_NAMES`, unless most of its ids repeat.

    Raises
    ------
    LogError
        If there is no such column.
    """
    if named is not None and named not in rows.source.columns:
        listed = ", ".join(rows.source.columns)
        raise LogError(f"{rows.source.where} has no column '{named}' of event ids. Its columns: {listed:.400}.")
    likely = (c for c in rows.source.columns if _folded(c) in EVENT_NAMES and c not in rows.ignore)
    event = named or next(likely, None)
    if event is None or not rows.has("item_id", "title"):
        return rows, 0
    parts = [rows.expression(name) for name in ("item_id", "title", *WHERE_SHOWN, "position") if rows.has(name)]
    key = f"hash({quote(event)}, {', '.join(parts)})"
    query, source = rows.source.query, rows.source
    found = query(
        f"SELECT count({quote(event)}), count(DISTINCT CASE WHEN {quote(event)} IS NOT NULL THEN {key} END) "
        f"FROM {source.relation}",
        source.parameters,
    )
    given, different = found.fetchall()[0]
    repeated = given - different
    if not repeated or (named is None and repeated > _MOST_REPEATED * given):
        return rows, 0
    ranks = [f"{rows.expression(name)} DESC NULLS LAST" for name in ("clicks", "conversions") if rows.has(name)]
    order = ", ".join([*ranks, FILE, ROW])
    target = source.folder / "events.parquet"
    query(
        f"COPY (SELECT * EXCLUDE ({FILE}, {ROW}) FROM {source.relation} QUALIFY {quote(event)} IS NULL "
        f"OR row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1) TO '{target}' (FORMAT parquet)",
        source.parameters,
    )
    once = replace(source, files={str(target): Path(source.where)}, partitioned=False)
    return replace(rows, source=once), int(repeated)


def refuse_copied_files(rows: TypedRows) -> None:
    """Stop if two files hold the same bytes.

    Raises
    ------
    LogError
        Naming the copy, the original, and what the copy would add.
    """
    files = {user: parquet for parquet, user in rows.source.files.items() if user.is_file()}
    originals: dict[bytes, Path] = {}
    copies = []
    for path in _of_one_size(files):
        first = originals.setdefault(_digest(path), path)
        if first != path:
            copies.append((path, first))
    if not copies:
        return
    own = replace(rows, source=rows.source.only(files[path] for path, _ in copies))
    totals = f"SELECT sum(impressions), sum(clicks) FROM {own.select('impressions', 'clicks')}"
    impressions, clicks = own.source.query(totals, own.parameters).fetchall()[0]
    more = f" ({len(copies):,} files are copies)" if len(copies) > 1 else ""
    raise LogError(
        f"{copies[0][0]} is a copy of {copies[0][1]}{more}, which would add {impressions or 0:,.0f} impressions and "
        f"{clicks or 0:,.0f} clicks a second time. {WAY_OUT}"
    )


def refuse_repeated_rows(rows: TypedRows, totals: LogTotals, n_arms: int) -> None:
    """Stop if rows that carry counts are there twice, column by column, more often than chance repeats counts.

    Rows that are single impressions may repeat, and so may aggregated ones whose clicks happen to agree: of two rows
    with mean L, P(equal) is about 1 / sqrt(1 + 4 pi L).

    Raises
    ------
    LogError
        Naming a repeated row, how many there are and what they would add.
    """
    shown = totals.rows - totals.empty_rows
    if not rows.has("impressions") or totals.impressions < CARRIES_COUNTS * shown or shown <= n_arms:
        return
    _refuse_repeats(rows, totals.rows, frozenset())
    if beside := _numberings(rows):
        _refuse_repeats(rows, totals.rows, beside)


def _refuse_repeats(rows: TypedRows, n_rows: int, beside: frozenset[str]) -> None:
    """As `refuse_repeated_rows`, of rows that agree in all columns but those ``beside``."""
    step = -(-n_rows // SAMPLE_ROWS)
    counts = {rows.location(name) for name in ("clicks", "conversions", "revenue") if rows.has(name)}
    columns = [column for column in rows.source.columns if column not in counts and column not in beside]
    alike = f"hash({', '.join(map(quote, columns))})"
    same = f"hash({alike}, {', '.join(map(quote, sorted(counts)))})"
    extra = {"alike": alike, "same": same, "file": FILE, "row": ROW, "kept": every(rows, step)}
    table = rows.select("impressions", "clicks", extra=extra, where="impressions > 0 AND kept")
    by_row = (
        f"SELECT same, any_value(alike) AS alike, count(*) AS n, any_value(impressions) AS i, any_value(clicks) AS c, "
        f"min({{'file': file, 'row': row}}) AS first, max({{'file': file, 'row': row}}) AS last "
        f"FROM {table} GROUP BY same"
    )
    query = rows.source.query
    query(f"CREATE OR REPLACE TEMP TABLE repeats AS {by_row}", rows.parameters)
    pairs, n, impressions, clicks, first, last = query(
        "SELECT sum(n * (n - 1) / 2), sum(n - 1), sum((n - 1) * i), sum((n - 1) * c), min(first), "
        "arg_min(last, first) FROM repeats WHERE n > 1"
    ).fetchall()[0]
    # A column that seems to number rows may be a measurement of them: then it takes more to tell.
    fewest = max(_FEWEST, _HIDDEN_SHARE * n_rows / step) if beside else _FEWEST
    if n and n >= fewest:
        by_chance = query(
            "SELECT sum(n * (n - 1) / 2 / sqrt(1 + 4 * pi() * c / n)) FROM "
            "(SELECT sum(n) AS n, sum(n * c) AS c FROM repeats GROUP BY alike HAVING sum(n) > 1)"
        ).fetchall()[0][0]
        if pairs > 2 * by_chance + 5 * by_chance**0.5:
            about = "about " if step > 1 else ""
            but = f" but {', '.join(map(repr, sorted(beside)))}" if beside else ""
            raise LogError(
                f"{place(rows, last)} repeats {place(rows, first)} in every column{but}, and {about}{n * step:,.0f} "
                f"such rows would add {impressions * step:,.0f} impressions and {clicks * step:,.0f} clicks a second "
                f"time. {WAY_OUT}"
            )
    query("DROP TABLE repeats")


def _numberings(rows: TypedRows) -> frozenset[str]:
    """Columns that number the rows of each file, or have one value a file, such as the day of its export.

    They hide what is there twice, and tell nothing of a row.
    """
    source = rows.source
    own = {c for name, columns in rows.sources.items() if name != "timestamp" for c in columns}
    columns = [c for c in source.columns if c not in own and not is_nested(source.columns[c])][:_MOST_COLUMNS]
    if not columns or len(source.files) > _MOST_FILES:
        return frozenset()
    counts = ", ".join(f"approx_count_distinct({quote(column)})" for column in columns)
    found = source.query(f"SELECT count(*), {counts} FROM {source.relation} GROUP BY {FILE}", source.parameters)
    n_rows, *distinct = zip(*found.fetchall(), strict=True)
    times = {rows.location("timestamp")} if rows.has("timestamp") else set()
    out = set()
    for column, n_values in zip(columns, distinct, strict=True):
        one_a_file = len(n_rows) > 1 and all(n <= 1 for n in n_values)
        numbers = column not in times and all(n >= _EACH_ROW * rows for n, rows in zip(n_values, n_rows, strict=True))
        if one_a_file or (numbers and max(n_rows) >= _FEWEST_CLICKS):
            out.add(column)
    return frozenset(out)


def refuse_totals(
    source: str, item: np.ndarray, ids: np.ndarray, titles: np.ndarray, sums: Iterable[np.ndarray]
) -> None:
    """Stop if one item, one title, or one title of most items is the sum of all others.

    Parameters
    ----------
    source
        For messages.
    item
        Rank of each arm's item, shape (n_arms,).
    ids, titles
        Item id and title of each arm, shape (n_arms,).
    sums
        Impressions and clicks of each arm, shape (n_arms,) each.

    Raises
    ------
    LogError
        Naming the total and what it would add.
    """
    impressions, clicks = (np.asarray(values, dtype=np.float64) for values in sums)
    shown, clicked = np.bincount(item, impressions), np.bincount(item, clicks)
    top = int(np.argmax(shown))
    if len(shown) > 2 and _is_sum(shown[top], shown.sum(), clicked[top], clicked.sum()):
        name = ids[np.flatnonzero(item == top)[0]]
        raise LogError(_total(source, f"The item {name!r:.60}", "items", shown[top], clicked[top]))
    if not len(item):
        return
    row = int(np.argmax(impressions))
    if len(item) > 2 and _is_sum(impressions[row], impressions.sum(), clicks[row], clicks.sum()):
        raise LogError(_total(source, f"The title {titles[row]!r:.60}", "titles", impressions[row], clicks[row]))
    largest = np.lexsort((impressions, item))[np.cumsum(np.bincount(item)) - 1]  # of each item
    several = np.flatnonzero(np.bincount(item) > 2)
    rest = (impressions[largest], shown, clicks[largest], clicked)
    total = [i for i in several if _is_sum(*(float(values[i]) for values in rest))]
    if len(total) >= _FEWEST and len(total) > _MOST_REPEATED * len(several):
        rows = largest[total]
        what = f"In {len(total):,} items the title with most impressions (first: {titles[rows[0]]!r:.60})"
        raise LogError(_total(source, what, "titles of its item", impressions[rows].sum(), clicks[rows].sum()))


def refuse_total_row(rows: TypedRows) -> None:
    """Stop if a row of counts is the sum of all other rows of its file; for logs that other checks refuse.

    Raises
    ------
    LogError
        Naming the row and what it would add.
    """
    if not rows.has("impressions", "clicks"):
        return
    table = rows.select("impressions", "clicks", extra={"file": FILE, "row": ROW})
    found = rows.source.query(
        "SELECT file, arg_max(row, impressions), max(impressions), sum(impressions), max(clicks), sum(clicks) "
        f"FROM {table} GROUP BY file HAVING count(*) > 3 ORDER BY file",
        rows.parameters,
    )
    for file, row, impressions, all_impressions, clicks, all_clicks in found.fetchall():
        if impressions and _is_sum(impressions, all_impressions, clicks or 0, all_clicks or 0):
            name = rows.source.file_name(file)
            what = f"Row {row + 1:,}" if len(rows.source.files) == 1 else f"Row {row + 1:,} of {name}"
            raise LogError(_total(rows.source.where, what, "rows", impressions, clicks or 0))


def _is_sum(part: float, total: float, clicks: float, all_clicks: float) -> bool:
    return clicks >= _FEWEST_CLICKS and 2 * part == total and 2 * clicks == all_clicks


def refuse_named_totals(
    source: str, item: np.ndarray, ids: np.ndarray, titles: np.ndarray, sums: Iterable[np.ndarray]
) -> None:
    """Stop if an item or a title is called a total, and is as large as half of all others: one that is no exact sum.

    Parameters and errors are those of `refuse_totals`.
    """
    impressions, clicks = (np.asarray(values, dtype=np.float64) for values in sums)
    shown = np.bincount(item, impressions)
    large = [*ids[3 * shown[item] >= shown.sum()], *titles[3 * impressions >= shown.sum()]]  # half of all others
    named = next((name for name in large if _TOTALS.match(name)), None)
    if named is not None and len(shown) > 2:
        of_it = (ids == named) | (titles == named)
        own, own_clicks, rest = impressions[of_it].sum(), clicks[of_it].sum(), impressions[~of_it].sum()
        raise LogError(
            f"{source} has {own:,.0f} impressions and {own_clicks:,.0f} clicks of {named!r:.60} beside {rest:,.0f} "
            "impressions of all others: a total, by its name and size. Remove it, or leave it out with the preset's "
            "exclude; to count it anyway, --copies keep"
        )


def _total(source: str, what: str, others: str, impressions: float, clicks: float) -> str:
    return (
        f"{what} of {source} has as many impressions and clicks as all other {others} together: a total, which would "
        f"add {impressions:,.0f} impressions and {clicks:,.0f} clicks a second time. Remove it, or leave it out with "
        "the preset's exclude; to count it anyway, --copies keep"
    )


def every(rows: TypedRows, step: int) -> str:
    """SQL that is true for the rows of every ``step``-th item."""
    return "true" if step <= 1 else f"hash({rows.expression('item_id')}) % {step} = 0"


def place(rows: TypedRows, where: dict[str, object]) -> str:
    """A row's place, ``file`` and ``row``, in words."""
    return f"row {int(str(where['row'])) + 1:,} of {rows.source.file_name(str(where['file']))}"


def _of_one_size(paths: Iterable[Path]) -> list[Path]:
    """The files that are as large as another one."""
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        by_size.setdefault(path.stat().st_size, []).append(path)
    several = (path for same in by_size.values() if len(same) > 1 for path in same)
    return sorted(several, key=lambda path: (len(path.name), path))  # the copy has the longer name


def _digest(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.digest()


def _folded(name: str) -> str:
    return name.strip().casefold().replace("_", "").replace(" ", "").replace("-", "")
