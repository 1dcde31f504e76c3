"""``rlopt score``: what titles would earn, by the run's reward model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reward.evidence.explain import SUPPORTED
from reward.logs.sources.local import Source, local
from reward.plain import Plain
from rlopt.errors import RunError
from rlopt.files import atomic_path
from rlopt.progress import track
from rlopt.run import Run
from rlopt.stages.common.columns import SCORED, titles_of
from rlopt.stages.common.known_ids import check_known
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.outputs import check_output

CHUNK = 20_000


@dataclass(frozen=True)
class ScoreResult(Plain):
    """What `score` wrote."""

    output: str
    titles: int
    items: int
    mean_reward: float
    mean_reward_std: float
    out_of_distribution: int


def score(
    run: Run, titles_file: Source, out: str | Path, *, columns: str | None = None, query: str | None = None
) -> ScoreResult:
    """Add ``p_click``, ``p_conversion``, ``reward``, ``reward_std`` and ``support`` to a file of titles.

    ``p_conversion`` is empty where the logs held no conversions. ``support`` is 1 where a title is like the logged
    ones and falls outside of them; below 0.5 it is unlike anything logged (`reward.evidence.explain.SUPPORTED`).

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``.
    titles_file
        Parquet, CSV or JSONL with item_id, title and the item's fields, a table in memory, or what else
        `reward.logs.sources.local` takes; an item of the logs needs no fields.
    out
        ``.parquet``, or ``.csv`` for CSV. The input's rows in their order, all columns kept.
    columns
        The user's column names, as in ``--columns``; the run's mapping serves where the file lacks rlopt's names.
    query
        SQL, or a file that holds it, where the titles are in a database.

    Raises
    ------
    StageOrderError
        When the run has no reward model.
    LogError, ModelError
        When the file or the model cannot be read.
    RunError
        When ``out`` cannot be written.
    """
    opened = OpenedRun(run)
    check_output(out)
    with local(titles_file, query=query) as here:
        items, titles, table = titles_of(run, here, columns)
        described = opened.describes(items)
        check_known((item.item_id for item in items), opened.arms.items, here, described=described)
    items = opened.with_known_fields(items)
    model = opened.reward
    values = {name: np.full(len(titles), np.nan) for name in SCORED}
    with track("score", len(titles)) as bar:
        for start in range(0, len(titles), CHUNK):
            rows = slice(start, start + CHUNK)
            predicted = model.predict(items[rows], titles[rows])
            for name in SCORED:
                if (column := getattr(predicted, name)) is not None:  # logs without conversions predict none
                    values[name][rows] = column
            bar.update(len(titles[rows]))
    write_table(with_columns(table, values), Path(out))
    return ScoreResult(
        output=str(out),
        titles=len(titles),
        items=len({item.item_id for item in items}),
        mean_reward=float(values["reward"].mean()) if titles else 0.0,
        mean_reward_std=float(values["reward_std"].mean()) if titles else 0.0,
        out_of_distribution=int(np.sum(values["support"] < SUPPORTED)),
    )


def with_columns(table: pa.Table, values: dict[str, np.ndarray[Any, np.dtype[np.float64]]]) -> pa.Table:
    """``table`` with these columns at its end; columns of the same name are replaced."""
    table = table.drop_columns([name for name in values if name in table.column_names])
    for name, column in values.items():
        table = table.append_column(name, pa.array(column, from_pandas=True))
    return table


def write_table(table: pa.Table, out: Path) -> None:
    """Write ``.parquet`` or ``.csv``, whole or not at all.

    Raises
    ------
    RunError
        When it cannot be written, or holds nested columns that CSV cannot.
    """
    with atomic_path(out) as temporary:
        if out.suffix.lower() == ".csv":
            nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
            if nested:
                raise RunError(f"CSV cannot hold the nested column '{nested[0]}'. Name the output {out.stem}.parquet.")
            pa_csv.write_csv(table, temporary)
        else:
            pq.write_table(table, temporary, compression="zstd")
