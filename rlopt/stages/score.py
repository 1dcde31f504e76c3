"""``rlopt score``: what titles would earn, by the run's reward model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reward.arrays import FloatArray
from reward.evidence.explain import SUPPORTED
from reward.evidence.slope import trust
from reward.logs.sources.local import Source, local
from reward.plain import Plain
from rlopt.progress import note, track
from rlopt.run import Run
from rlopt.stages.common.columns import SCORED, titles_of
from rlopt.stages.common.evidence import EVIDENCE, read_evidence
from rlopt.stages.common.familiar import Familiar
from rlopt.stages.common.known_ids import check_known
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.outputs import check_output, write_table
from rlopt.wording import counted

CHUNK = 20_000


@dataclass(frozen=True)
class ScoreResult(Plain):
    """What `score` wrote.

    Parameters
    ----------
    output
        The file.
    titles, items
        What it holds.
    mean_reward, mean_reward_std
        Means over the titles.
    out_of_distribution
        Titles whose wording is unlike anything logged.
    new_items, far_items
        Items that the logs do not have, and those among them whose words the logs hardly know.
    effect_slope
        What lifts are multiplied by: the slope of the title effect on held-out items where it is below 1, else 1.
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


def score(
    run: Run, titles_file: Source, out: str | Path, *, columns: str | None = None, query: str | None = None
) -> ScoreResult:
    """Add ``p_click``, ``p_conversion``, ``reward``, ``reward_std``, ``support`` and comparisons to a file of titles.

    ``p_conversion`` is empty where the logs held no conversions. ``support`` is 1 where a title is like the logged
    ones and falls outside of them; below 0.5 it is unlike anything logged (`reward.evidence.explain.SUPPORTED`).
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
    values = {name: np.full(len(titles), np.nan) for name in (*SCORED, "effect", "effect_std")}
    with track("score", len(titles)) as bar:
        for start in range(0, len(titles), CHUNK):
            rows = slice(start, start + CHUNK)
            predicted = model.predict(items[rows], titles[rows])
            for name in values:
                if (column := getattr(predicted, name)) is not None:  # logs without conversions predict none
                    values[name][rows] = column
            bar.update(len(titles[rows]))
    evidence = read_evidence(run / "reward" / EVIDENCE)
    slope = trust(evidence.effect_slope if evidence else None)
    lift, lift_std = lifts([item.item_id for item in items], values.pop("effect"), values.pop("effect_std"), slope)
    familiar = Familiar.of(opened.arms)
    strange = familiar.strange(items, titles)
    wording = values["support"] < SUPPORTED
    far = np.array(["", "wording", "item", "item wording"], dtype=object)[wording + 2 * strange]
    write_table(with_columns(table, {**values, "lift": lift, "lift_std": lift_std, "far": far}), Path(out))
    result = ScoreResult(
        output=str(out),
        titles=len(titles),
        items=len({item.item_id for item in items}),
        mean_reward=float(values["reward"].mean()) if titles else 0.0,
        mean_reward_std=float(values["reward_std"].mean()) if titles else 0.0,
        out_of_distribution=int(np.sum(wording)),
        new_items=len({item.item_id for item in items} - familiar.items),
        far_items=len({item.item_id for item, one in zip(items, strange, strict=True) if one}),
        effect_slope=slope[0],
    )
    _say_what_is_far(result)
    return result


def _say_what_is_far(result: ScoreResult) -> None:
    if result.out_of_distribution:
        note(
            f"{counted(result.out_of_distribution, 'title is', 'titles are')} worded unlike anything logged (column "
            "far: wording): their rewards are guesses."
        )
    if result.far_items:
        note(
            f"{counted(result.far_items, 'item is', 'items are')} far from those of the logs, which hardly know their "
            "words (column far: item): what was learned need not hold there. Test a few titles before you trust it."
        )
    elif result.new_items == result.items:
        note("None of these items is in the logs: nothing says that shoppers there like what shoppers liked here.")


def lifts(
    item_ids: Sequence[str], effect: FloatArray, effect_std: FloatArray, slope: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Lift of each title's clicks over the mean of its item's titles, and its standard deviation, shape (n,) each.

    Parameters
    ----------
    item_ids
        Items of the titles, n of them.
    effect, effect_std
        Effect on the log-odds of a click, shape (n,); NaN only where all are.
    slope
        What differences are multiplied by, and its standard error.

    Returns
    -------
    NaN for an item's only title.
    """
    place: dict[str, int] = {}
    item = np.array([place.setdefault(item_id, len(place)) for item_id in item_ids], dtype=np.int64)
    n_titles = np.bincount(item)[item]
    beyond = np.where(n_titles > 1, effect - np.bincount(item, effect)[item] / n_titles, np.nan)
    lift = np.expm1(slope[0] * beyond)
    return lift, (1 + lift) * np.hypot(slope[0] * effect_std, slope[1] * beyond)


def with_columns(table: pa.Table, values: dict[str, np.ndarray[Any, np.dtype[Any]]]) -> pa.Table:
    """``table`` with these columns at its end; columns of the same name are replaced."""
    table = table.drop_columns([name for name in values if name in table.column_names])
    for name, column in values.items():
        table = table.append_column(name, pa.array(column, from_pandas=True))
    return table
