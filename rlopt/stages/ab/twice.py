"""Results of an A/B test that count something twice: repeated rows, totals, all devices beside each, clicks so far."""

from collections.abc import Mapping

import numpy as np

from reward.arrays import IntArray
from reward.logs.repeated_counts import refuse_repeated_counts
from reward.logs.repeats import refuse_repeated_rows
from reward.logs.running_totals import refuse_running_totals
from reward.logs.schema import ColumnMapping
from reward.logs.source import FileSource
from reward.logs.spelt_numbers import Decimal
from reward.logs.sums import refuse_sums
from reward.logs.typed_rows import TypedRows
from reward.logs.validate import LogTotals
from rlopt.errors import EvaluationError

_FEWEST_CLICKS = 10  # of a total: fewer agree by chance


def refuse_repeats_in_results(source: FileSource, columns: Mapping[str, str], decimal: Decimal | None) -> None:
    """Stop if the results repeat rows, or hold sums of rows or running totals.

    They are checked as logs are: an item's arm is its title.

    Parameters
    ----------
    source
        The results, with valid values.
    columns
        Columns of item_id, impressions, clicks and arm, and of date where there is one.
    decimal
        Decimal mark of numbers written as texts.

    Raises
    ------
    LogError
        Naming what is there twice and what it adds.
    """
    names = {"title": columns["arm"], **{name: columns[name] for name in ("item_id", "impressions", "clicks")}}
    if "date" in columns:
        names["timestamp"] = columns["date"]
    rows = TypedRows.of(source, ColumnMapping(names), None, tuple(names), tuple(names), decimal=decimal)
    table = rows.select("item_id", "title", "impressions", "clicks")
    sums = "count(*), count(*) FILTER (impressions = 0), sum(impressions), sum(clicks)"
    found = source.query(f"SELECT {sums}, count(DISTINCT (item_id, title)) FROM {table}", rows.parameters)  # noqa: S608
    n_rows, empty, impressions, clicks, n_arms = found.fetchall()[0]
    totals = LogTotals(n_rows, empty, int(impressions), int(clicks), 0, 0, 0, 0, None, None)
    refuse_sums(rows, totals)
    refuse_repeated_rows(rows, totals, n_arms)
    refuse_repeated_counts(rows, totals, n_arms)
    refuse_running_totals(rows, rows, totals)


def refuse_total(what: str, number: IntArray, names: tuple[str, ...], sums: Mapping[str, np.ndarray]) -> None:
    """Stop if one of the ``names`` has as many impressions and clicks as all others together.

    Parameters
    ----------
    what
        Column of the names, and the file, for the message.
    number
        Number of each row's name, shape (n_rows,).
    names
        The names.
    sums
        ``impressions`` and ``clicks`` of each row, shape (n_rows,) each.

    Raises
    ------
    EvaluationError
        Naming the total and what it adds.
    """
    shown, clicked = (np.bincount(number, sums[name], minlength=len(names)) for name in ("impressions", "clicks"))
    top = int(np.argmax(shown))
    if len(names) < 3 or clicked[top] < _FEWEST_CLICKS:
        return
    if 2 * shown[top] == shown.sum() and 2 * clicked[top] == clicked.sum():
        raise EvaluationError(
            f"{what} {names[top]!r:.60} has as many impressions and clicks as all others together: a total, which "
            f"would add {shown[top]:,.0f} impressions and {clicked[top]:,.0f} clicks a second time. Remove it; to "
            "count it anyway, --copies keep"
        )
