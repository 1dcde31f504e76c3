"""``rlopt generate``: titles for a catalogue, each with its probability and its predicted reward."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from reward.items import Item
from reward.logs import read_items
from reward.model import RewardModel
from rlopt import threads
from rlopt.config import GenerateConfig
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.title_policy import GeneratedTitle, TitlePolicy
from rlopt.progress import track
from rlopt.run import Run
from rlopt.stages.columns import ignored_columns, mapping_for
from rlopt.stages.score import check_output, with_known_fields, write_table

ITEMS_AT_ONCE = 2048


@dataclass(frozen=True)
class GenerateResult:
    """What `generate` wrote."""

    output: str
    titles: int
    items: int
    mean_reward: float | None
    finished_share: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def generate(
    run: Run,
    items_file: str | Path,
    out: str | Path,
    config: GenerateConfig | None = None,
    *,
    columns: str | None = None,
) -> GenerateResult:
    """Write ``config.n`` titles an item with the PPO policy.

    The output has item_id, title, log_prob (nats), finished (False where the length limit cut the title off),
    reward and reward_std, one row a title, items in the input's order.

    Parameters
    ----------
    run
        A run with a finished ``ppo``.
    items_file
        Parquet or CSV with item_id and the item's fields; an item of the logs needs no fields.
    out
        ``.parquet``, or ``.csv`` for CSV.
    columns
        The user's column names, as in ``--columns``.

    Raises
    ------
    StageOrderError
        When the run has no PPO policy.
    LogError, PolicyError
        When the items or the policy cannot be read.
    RunError
        When ``out`` cannot be written.
    """
    config = config or GenerateConfig()
    run.require("fit-reward", "sft", "ppo")
    check_output(out)
    quiet_loading()
    mapping = mapping_for(run, items_file, columns)
    items = with_known_fields(run, read_items(items_file, mapping, ignored_columns(run)))
    policy, model = TitlePolicy.load(run / "ppo"), RewardModel.load(run / "reward")
    torch.set_num_threads(threads.for_model(policy.model.num_parameters()))
    tables = []
    with track("generate", len(items) * config.n) as bar:
        for start in range(0, len(items), ITEMS_AT_ONCE):
            part = items[start : start + ITEMS_AT_ONCE]
            written = policy.generate(
                part,
                config.n,
                temperature=config.temperature,
                seed=config.seed + start,
                batch_size=config.batch_size,
                progress=bar.update,
            )
            tables.append(_table(part, written, model))
    table = pa.concat_tables(tables) if tables else _table([], [], model)
    write_table(table, Path(out))
    return GenerateResult(str(out), len(table), len(items), _mean(table, "reward"), _mean(table, "finished"))


def _table(items: Sequence[Item], written: Sequence[Sequence[GeneratedTitle]], model: RewardModel) -> pa.Table:
    """One row a title."""
    rows = [(item, title) for item, titles in zip(items, written, strict=True) for title in titles]
    shop, titles = [item for item, _ in rows], [title for _, title in rows]
    predicted = model.predict(shop, [title.text for title in titles])
    return pa.table(
        {
            "item_id": pa.array([item.item_id for item in shop], pa.string()),
            "title": pa.array([title.text for title in titles], pa.string()),
            "log_prob": pa.array([title.log_prob for title in titles], pa.float64()),
            "finished": pa.array([title.finished for title in titles], pa.bool_()),
            "reward": pa.array(predicted.reward, pa.float64()),
            "reward_std": pa.array(predicted.reward_std, pa.float64()),
        }
    )


def _mean(table: pa.Table, column: str) -> float | None:
    values = table[column].to_numpy(zero_copy_only=False).astype(np.float64)
    return float(values.mean()) if len(values) else None
