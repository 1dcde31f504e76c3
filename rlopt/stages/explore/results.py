"""Results of a plan so far: the file of ``--continue``."""

import numpy as np
import pyarrow as pa

from reward.arrays import FloatArray
from reward.errors import LogError
from reward.logs.sources.local import LocalSource, Source, local
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.common.columns import mapping_for, titles_of
from rlopt.stages.explore.candidates import Candidates
from rlopt.wording import counted

BATCH = "batch"


def read_results(run: Run, file: Source, candidates: Candidates, columns: str | None) -> tuple[FloatArray, FloatArray]:
    """Clicks and impressions of each batch and candidate, shape (n_batches, n, k) each, oldest batch first.

    Parameters
    ----------
    run
        The run.
    file
        item_id, title, impressions, clicks, and ``batch`` (a number or a day) where there was more than one: whatever
        was shown by one plan.
    candidates
        Titles that were shown; items of the file that are not among theirs are left out, with a word.
    columns
        As in ``--columns``.

    Raises
    ------
    LogError
        If the file cannot be read, its counts are none, or a title of an item is not a candidate.
    """
    with local(file) as here:
        items, titles, table = titles_of(run, here, columns)
        names = mapping_for(run, here, columns).columns
        impressions, clicks = (_counts(here, table, names.get(name, name)) for name in ("impressions", "clicks"))
        where = str(here)
    too_many = np.flatnonzero(clicks > impressions)
    if len(too_many):
        first = int(too_many[0])
        raise LogError(
            f"{where}, row {first + 1}: {clicks[first]:g} clicks of {impressions[first]:g} impressions. Give the "
            "impressions that the clicks are part of."
        )
    names_of_batches = [str(value) for value in table[BATCH].to_pylist()] if BATCH in table.column_names else []
    order = {name: i for i, name in enumerate(sorted(set(names_of_batches), key=_in_order))} or {"": 0}
    shape = (len(order), *candidates.layout.shape)
    seen, shown = np.zeros(shape), np.zeros(shape)
    rows, known = candidates.rows_of(), {item.item_id for item in candidates.items}
    strangers: set[str] = set()
    for i, (item, title) in enumerate(zip(items, titles, strict=True)):
        row = rows.get((item.item_id, title))
        if row is None and item.item_id in known:
            raise LogError(
                f"{where}, row {i + 1}: {title!r:.80} of item {item.item_id!r:.60} is none of the titles to show. Give "
                "the file of titles that the plan was made from."
            )
        if row is None:
            strangers.add(item.item_id)
            continue
        at = (order[names_of_batches[i] if names_of_batches else ""],
              candidates.layout.item[row], candidates.layout.place[row])  # fmt: skip
        seen[at] += clicks[i]
        shown[at] += impressions[i]
    if strangers:
        note(f"Left out of {where}, since they have no titles to show: {counted(len(strangers), 'item')}")
    return seen, shown


def _counts(file: LocalSource, table: pa.Table, name: str) -> FloatArray:
    if name not in table.column_names:
        raise LogError(f"{file} has no column {name!r:.60}. Map yours with --columns.")
    values = np.zeros(len(table))
    for row, value in enumerate(table[name].to_pylist()):
        try:
            values[row] = float(value)
        except (TypeError, ValueError):
            values[row] = -1.0
        if not 0 <= values[row] < np.inf:
            raise LogError(f"{file}, row {row + 1}: {name} must be a number of 0 or more. Got {value!r:.40}.")
    return values


def _in_order(name: str) -> tuple[float, str]:
    """Numbers by their value, all else (days) as text after them."""
    try:
        return float(name), ""
    except ValueError:
        return np.inf, name
