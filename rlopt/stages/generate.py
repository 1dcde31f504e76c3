"""``rlopt generate``: titles for a catalogue, each with its probability, its predicted reward and the rules it met."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from reward.items import Item
from reward.logs.catalogue import open_catalogue
from reward.model.reward_model import RewardModel
from rlopt import threads
from rlopt.config import GenerateConfig
from rlopt.errors import RunError
from rlopt.files import fingerprint, to_json
from rlopt.policy.ensemble import ensemble
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.run import ENCODINGS, Run, package_versions
from rlopt.stages.columns import ignored_columns, mapping_for
from rlopt.stages.policies import policy_folder
from rlopt.stages.rules import constraints_for
from rlopt.stages.score import check_output
from rlopt.stages.shards import Shards, fingerprint_metadata, open_shards
from rlopt.stages.title_choice import Choice, Shop, choose_titles, title_hash

MEMORY_LIMIT = "256MB"  # of the engine that sorts the catalogue


@dataclass(frozen=True)
class GenerateResult:
    """What `generate` wrote.

    Parameters
    ----------
    titles, items
        Rows and items of the output.
    kept_current
        Items whose current title stays.
    without_title
        Rows for which no title keeps the rules.
    stopped
        Rule -> titles it stopped, while they were written ("decoding: ...") or afterwards; of this call only.
    titles_per_second
        Of this call, reading and prediction included.
    """

    output: str
    titles: int
    items: int
    mean_reward: float | None
    finished_share: float | None
    kept_current: int
    without_title: int
    stopped: dict[str, int]
    titles_per_second: float

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
    """Write ``config.n`` titles an item with ``config.policy``.

    The catalogue is read, and the output written, shard by shard, in constant memory; an interrupted call is continued
    by the same one. One row a title, items in the input's order: item_id, title, log_prob (nats), finished, reward,
    reward_std, kept, reason, report, current_title, item_version. The parquet metadata (``rlopt.*``) name the run, the
    fingerprints of policy and reward model, the settings and the versions.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``, and the policy.
    items_file
        Parquet or CSV with item_id and the item's fields; an item of the logs needs no fields.
    out
        ``.parquet``, or ``.csv`` for CSV.
    columns
        The user's column names, as in ``--columns``.

    Raises
    ------
    StageOrderError
        When the run has no such policy.
    LogError, PolicyError
        When the items or the policy cannot be read.
    RunError
        When ``out`` cannot be written, or another process is writing it.
    """
    config = config or GenerateConfig()
    run.require("fit-reward")
    source = policy_folder(run, config.policy)
    check_output(out)
    _alone()
    mapping = mapping_for(run, items_file, columns)
    began, written, totals, shop = time.monotonic(), 0, _Totals(), Shop()
    with open_catalogue(items_file, mapping, ignored_columns(run), MEMORY_LIMIT) as catalogue:
        quiet_loading()
        policy = _writer(source, config)
        model = RewardModel.load(run / "reward", encodings=run / ENCODINGS)
        torch.set_num_threads(threads.for_model(policy.model.num_parameters()))
        known = {item.item_id: item for item in run.arms().items}
        rules = constraints_for(policy, run.arms().of_items(run.splits().train), config)
        metadata = _metadata(run, source, config)
        with open_shards(Path(out), _key(metadata, catalogue.path)) as shards:
            done = _resume(shards, totals, shop)
            start = done * config.shard_items
            with track("generate", catalogue.n_items * config.n, start=min(start, catalogue.n_items) * config.n) as bar:
                for number, piece in enumerate(catalogue.chunks(config.shard_items, start), start=done):
                    items = [_completed(item, known) for item in piece]
                    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
                    table = _table(choose_titles(items, policy, model, rules, config, shop, seed))
                    shards.write(number, table)
                    totals.add(table)
                    written += len(table)
                    bar.update(len(table), titles_per_second=written / (time.monotonic() - began))
            shards.finish(metadata)
    return totals.result(str(out), shop.stopped, written / (time.monotonic() - began))


def _alone() -> None:
    """Shards are numbered by one process."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError("generate runs in one process. Start it without accelerate launch, or split the items file.")


def _completed(item: Item, known: dict[str, Item]) -> Item:
    """The item with the fields and the current title that the logs had for it, where it comes without."""
    logged = known.get(item.item_id)
    if logged is None:
        return item
    return replace(item, fields=item.fields or logged.fields, current_title=item.current_title or logged.current_title)


def _writer(source: Path, config: GenerateConfig) -> TitlePolicy:
    """The policy in ``source``, alone or with the ensemble's members."""
    folders = [source, *map(Path, config.ensemble)]
    policies = [TitlePolicy.load(folder) for folder in folders]
    return ensemble(policies, folders, config.ensemble_by) if config.ensemble else policies[0]


def _metadata(run: Run, source: Path, config: GenerateConfig) -> dict[str, str]:
    """What every title can be traced to."""
    values = {
        "run": str(run.path.resolve()),
        "policy": config.policy,
        "policy_fingerprint": fingerprint(source),
        "ensemble_fingerprints": to_json([fingerprint(Path(folder)) for folder in config.ensemble]),
        "reward_fingerprint": fingerprint(run / "reward"),
        "seed": config.seed,
        "config": to_json(config.model_dump(mode="json")),
        "versions": to_json(package_versions()),
    }
    return fingerprint_metadata(values)


def _key(metadata: dict[str, str], catalogue: Path) -> str:
    """Shards with another key belong to other items, models or settings."""
    text = json.dumps(metadata, sort_keys=True) + fingerprint(catalogue)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _resume(shards: Shards, totals: "_Totals", shop: Shop) -> int:
    """Shards that an interrupted call has left, counted in."""
    done = shards.done()
    for number in range(done):
        table = shards.read(number)
        totals.add(table)
        shop.titles.update(title_hash(title) for title in table["title"].to_pylist() if title)
    if done:
        note(f"Going on after {totals.rows:,} titles that are already written")
    return done


def _table(chosen: Sequence[Sequence[Choice]]) -> pa.Table:
    """One row a title."""
    rows = [choice for choices in chosen for choice in choices]
    versions = {id(row.item): _version(row.item) for row in rows}
    columns: dict[str, tuple[list[Any], pa.DataType]] = {
        "item_id": ([row.item.item_id for row in rows], pa.string()),
        "title": ([row.title for row in rows], pa.string()),
        "log_prob": ([row.log_prob for row in rows], pa.float64()),
        "finished": ([row.finished for row in rows], pa.bool_()),
        "reward": ([row.reward for row in rows], pa.float64()),
        "reward_std": ([row.reward_std for row in rows], pa.float64()),
        "kept": ([row.kept for row in rows], pa.bool_()),
        "reason": ([row.reason for row in rows], pa.string()),
        "report": (["; ".join(row.report) or None for row in rows], pa.string()),
        "current_title": ([row.item.current_title for row in rows], pa.string()),
        "item_version": ([versions[id(row.item)] for row in rows], pa.string()),
    }
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


def _version(item: Item) -> str:
    """Hash of what the item said when its title was written."""
    return hashlib.blake2b(item.to_json().encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class _Totals:
    """Sums over shards."""

    def __init__(self) -> None:
        self.rows = self.items = self.kept = self.missing = self.finished = 0
        self.reward = 0.0

    def add(self, table: pa.Table) -> None:
        reward = table["reward"].to_pylist()
        self.rows += len(table)
        self.items += len(set(table["item_id"].to_pylist()))
        self.kept += sum(table["kept"].to_pylist())
        self.missing += table["title"].null_count
        self.finished += sum(table["finished"].to_pylist())
        self.reward += sum(value for value in reward if value is not None)

    def result(self, output: str, stopped: Counter[str], speed: float) -> GenerateResult:
        titled = self.rows - self.missing
        return GenerateResult(
            output,
            self.rows,
            self.items,
            self.reward / titled if titled else None,
            self.finished / self.rows if self.rows else None,
            self.kept,
            self.missing,
            dict(sorted(stopped.items())),
            speed,
        )
