"""``rlopt score``: what titles would earn, by the run's reward model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reward.logs.sources.local import Source, local
from reward.plain import Plain
from rlopt.progress import note, track
from rlopt.run import Run
from rlopt.stages.common.columns import titles_of
from rlopt.stages.common.known_ids import check_known
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.outputs import check_output, write_table
from rlopt.stages.common.scorer import Reach, Scorer

CHUNK = 20_000


@dataclass(frozen=True)
class ScoreResult(Plain):
    """Result of `score`.

    Parameters
    ----------
    output
        The file.
    titles, items
        Rows and items of the file.
    mean_reward, mean_reward_std
        Means over the titles.
    out_of_distribution
        Titles whose wording is unlike anything logged.
    new_items, far_items
        Items that the logs do not have, and those among them whose words the logs hardly know.
    effect_slope
        Factor for lifts: the slope of the title effect on held-out items where it is below 1, else 1.
    observational
        True if the reward compares titles of different items, and may take correlations with clicks for causes.
    """

    output: str
    titles: int
    items: int
    mean_reward: float
    mean_reward_std: float
    out_of_distribution: int
    new_items: int
    far_items: int
    effect_slope: float
    observational: bool


def score(
    run: Run, titles_file: Source, out: str | Path, *, columns: str | None = None, query: str | None = None
) -> ScoreResult:
    """Add ``p_click``, ``p_conversion``, ``reward``, ``reward_std``, ``support`` and comparisons to a file of titles.

    ``p_conversion`` is empty where the logs held no conversions. ``support`` is 1 for a title similar to logged
    ones and falls outside their range; below 0.5 it is unlike anything logged (`reward.evidence.explain.SUPPORTED`).
    ``lift`` and ``lift_std`` are those of its clicks over the item's titles in the file in the mean, multiplied by the
    slope that the title effect had on held-out items where that is below 1 (`reward.evidence.slope`), with its error;
    empty for an item's only title. ``far`` is "wording", "item" or "item wording" where that is far from the logs.

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
        If the run has no reward model.
    LogError, ModelError
        If the file or the model cannot be read.
    RunError
        If ``out`` cannot be written.
    """
    opened = OpenedRun(run)
    check_output(out)
    with local(titles_file, query=query) as here:
        items, titles, table = titles_of(run, here, columns)
        described = opened.describes(items)
        check_known((item.item_id for item in items), opened.arms.items, here, described=described)
    items = opened.with_known_fields(items)
    scorer = Scorer.of(opened)
    parts = []
    with track("score", len(titles)) as bar:
        for start in range(0, max(len(titles), 1), CHUNK):
            rows = slice(start, start + CHUNK)
            parts.append(scorer.predict(items[rows], titles[rows]))
            bar.update(len(titles[rows]))
    predicted = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    values = scorer.compare(items, titles, predicted)
    table = with_columns(table, values)
    if opened.observational:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"rlopt.observational": b"true"})
    write_table(table, Path(out))
    reach = Reach.of(items, values["far"], scorer.familiar)
    for warning in reach.warnings():
        note(warning)
    return ScoreResult(
        output=str(out),
        titles=len(titles),
        items=reach.items,
        mean_reward=float(values["reward"].mean()) if titles else 0.0,
        mean_reward_std=float(values["reward_std"].mean()) if titles else 0.0,
        out_of_distribution=reach.out_of_distribution,
        new_items=reach.new_items,
        far_items=reach.far_items,
        effect_slope=scorer.slope[0],
        observational=opened.observational,
    )


def with_columns(table: pa.Table, values: dict[str, np.ndarray[Any, np.dtype[Any]]]) -> pa.Table:
    """``table`` with these columns at its end; columns of the same name are replaced."""
    table = table.drop_columns([name for name in values if name in table.column_names])
    for name, column in values.items():
        table = table.append_column(name, pa.array(column, from_pandas=True))
    return table
