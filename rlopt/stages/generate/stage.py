"""``rlopt generate``: titles for a catalogue, each with its probability, its predicted reward and the rules it met."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reward.evidence.explain import SUPPORTED
from reward.items import Item
from reward.logs.catalogue import open_catalogue
from reward.model.reward_model import RewardModel
from reward.plain import Plain
from rlopt import processes, threads
from rlopt.config import GenerateConfig
from rlopt.errors import PolicyError
from rlopt.files import fingerprint, fingerprints, to_json
from rlopt.policy.constraints import Constraints
from rlopt.policy.ensemble import ensemble
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.title_policy import TitleWriter
from rlopt.policy.vllm_engine import VllmWriter
from rlopt.progress import note, track
from rlopt.run import ENCODINGS, Run, package_versions
from rlopt.stages.common.columns import ignored_columns, mapping_for
from rlopt.stages.common.policies import load_policy, policy_folder
from rlopt.stages.common.rules import constraints_for
from rlopt.stages.generate.choice import BY_RULES, Shop, choose_titles, settle, title_hash
from rlopt.stages.generate.shards import Shards, fingerprint_metadata, open_shards
from rlopt.stages.generate.table import TableTotals, from_table, stopped_in, to_table
from rlopt.stages.score import check_output, completed

MEMORY_LIMIT = "256MB"  # of the engine that sorts the catalogue


@dataclass(frozen=True)
class GenerateResult(Plain):
    """What `generate` wrote.

    Parameters
    ----------
    titles, items
        Rows and items of the output.
    kept_current
        Items whose current title stays.
    promises
        Titles of the output that promise what nothing of their item bears out: current ones, for want of others.
    without_title
        Rows for which no title keeps the rules.
    stopped
        Rule -> titles it stopped, while they were written ("decoding: ...") or afterwards.
    titles_per_second
        Of this call, reading and prediction included.
    """

    output: str
    titles: int
    items: int
    mean_reward: float | None
    finished_share: float | None
    kept_current: int
    promises: int
    without_title: int
    stopped: dict[str, int]
    titles_per_second: float


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
    by the same one. One row a title, in the input's order: item_id, title, log_prob (nats), finished, reward,
    reward_std, support, kept, reason, report, current_title, item_version. The parquet metadata (``rlopt.*``) name the
    run, the fingerprints of policy and reward model, the settings and the versions.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``, and the policy.
    items_file
        Parquet, CSV or JSONL with item_id and the item's fields; an item of the logs needs no fields.
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
    _say_what_has_no_effect(config)
    run.require("fit-reward")
    source = policy_folder(run, config.policy)
    check_output(out, items_file)
    mapping = mapping_for(run, items_file, columns)
    began = time.monotonic()
    processes.join()
    with open_catalogue(items_file, mapping, ignored_columns(run, items_file), MEMORY_LIMIT) as catalogue:
        quiet_loading()
        policy = _policy(source, config)
        model = RewardModel.load(run / "reward", encodings=run / ENCODINGS)
        arms = run.arms()
        known = {item.item_id: item for item in arms.items}
        rules = constraints_for(arms.of_items(run.splits().train), config)
        metadata = _metadata(run, source, config)
        with open_shards(Path(out), _key(metadata, fingerprints(config.files()), catalogue.path)) as shards:
            writer = _Writer(policy, model, rules, config, shards)
            writer.resume()
            done = shards.done()
            start = min(done * config.shard_items, catalogue.n_items)
            with track("generate", catalogue.n_items * config.n, start=start * config.n) as bar:
                for number, piece in enumerate(catalogue.chunks(config.shard_items, start), start=done):
                    rows = writer.write(number, [completed(item, known) for item in piece])
                    bar.update(rows, titles_per_second=writer.written / (time.monotonic() - began))
            if processes.is_first():
                shards.finish(metadata)
    writer.say_what_stood_out()
    return writer.result(str(out), time.monotonic() - began)


def _say_what_has_no_effect(config: GenerateConfig) -> None:
    given = config.model_fields_set
    if "best_of" in given and config.best_of <= config.n and config.best_of > 1:
        note(f"--best-of {config.best_of} has no effect with --n {config.n}: give more than that")
    if "keep_current" in given and config.keep_current and config.n > 1:
        note("--keep-current has no effect with several titles an item")


class _Writer:
    """Writes shards: every process drafts its share of them, the first keeps a shop's titles apart."""

    def __init__(
        self, policy: TitleWriter, model: RewardModel, rules: Constraints, config: GenerateConfig, shards: Shards
    ) -> None:
        self._who = policy, model, rules, config
        self._seed, self._shards = config.seed, shards
        self._shop, self._totals = Shop(), TableTotals()
        self.written = 0

    def resume(self) -> None:
        """Count in the shards that an interrupted call has left."""
        done = self._shards.done() if processes.is_first() else 0
        for number in range(done):
            table = self._shards.read(number)
            self._totals.add(table)
            for title in table["title"].drop_null().to_pylist():
                self._shop.add(title_hash(title))
        if done:
            note(f"Going on after {self._totals.rows:,} titles that are already written")

    def write(self, number: int, items: Sequence[Item]) -> int:
        """The shard ``number`` with the titles of ``items``, or this process's part in it; its rows."""
        if number % processes.count() == processes.rank() and self._shards.missing(number):
            # Each shard is drafted without a look at the others, so that it is the same whoever drafts it.
            alone = Shop()
            chosen = choose_titles(items, *self._who, alone, self._seed_of(number, 0))
            self._shards.write_draft(number, to_table(chosen, alone.stopped))
        if not processes.is_first():
            return 0
        draft = self._shards.take_draft(number)
        self._shop.stopped = Counter(stopped_in(draft))
        chosen = settle(from_table(draft, items), items, *self._who, self._shop, self._seed_of(number, 1))
        table = to_table(chosen, self._shop.stopped)
        self._shards.write(number, table)
        self._totals.add(table)
        self.written += len(table)
        return len(table)

    def say_what_stood_out(self) -> None:
        """What a user would have to search the output for."""
        totals = self._totals
        none = totals.kept + totals.missing
        if processes.is_first() and 2 * none > totals.rows:
            why = "; ".join(f"{reason}: {count:,}" for reason, count in totals.reasons.most_common())
            often = ", ".join(f"{rule} {count:,}" for rule, count in totals.stopped.most_common(3))
            rules = f" Titles that rules stopped: {often}" if often and BY_RULES in why else ""
            note(f"{none:,} of {totals.rows:,} rows have no new title ({why}).{rules}")
        if totals.broken:
            note(f"{totals.broken:,} current titles that stay break a rule (the column report says which)")
        if totals.strange:
            note(f"{totals.strange:,} new titles are unlike anything logged (support below {SUPPORTED:g})")

    def result(self, output: str, seconds: float) -> GenerateResult:
        """What was written, in all, and the speed of this call."""
        totals = self._totals
        titled = totals.rows - totals.missing
        return GenerateResult(
            output,
            totals.rows,
            totals.items,
            totals.reward / titled if titled else None,
            totals.finished / totals.rows if totals.rows else None,
            totals.kept,
            totals.promises,
            totals.missing,
            dict(sorted(totals.stopped.items())),
            self.written / seconds,
        )

    def _seed_of(self, number: int, step: int) -> int:
        return int(np.random.SeedSequence([self._seed, number, step]).generate_state(1)[0])


def _policy(source: Path, config: GenerateConfig) -> TitleWriter:
    """The policy in ``source``, alone or with the ensemble's members, on the engine asked for."""
    if config.engine == "vllm":
        if config.ensemble or processes.count() > 1:
            raise PolicyError("--engine vllm runs one policy in one process. Leave --engine out.")
        return VllmWriter(source)
    folders = [source, *map(Path, config.ensemble)]
    policies = [load_policy(folder) for folder in folders]
    policy = ensemble(policies, folders, config.ensemble_by) if config.ensemble else policies[0]
    torch.set_num_threads(threads.for_model(policy.model.num_parameters()))
    return policy


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


def _key(metadata: dict[str, str], word_lists: dict[str, str], catalogue: Path) -> str:
    """Shards with another key belong to other items, models, rules or settings."""
    text = json.dumps([metadata, word_lists], sort_keys=True) + fingerprint(catalogue)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
