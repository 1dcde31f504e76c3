"""``rlopt generate``: titles for a catalogue, each with its probability, its predicted reward and the rules it met."""

import hashlib
import json
import time
from pathlib import Path

from reward.logs.catalogue import open_catalogue
from reward.logs.sources.local import LocalSource, Source, local
from rlopt import processes
from rlopt.config import GenerateConfig
from rlopt.errors import PolicyError
from rlopt.files import fingerprint, fingerprints, to_json
from rlopt.policy.ensemble import ensemble
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.title_policy import TitleWriter
from rlopt.policy.vllm_engine import VllmWriter
from rlopt.progress import note, track
from rlopt.reviewing.decided import Reviews
from rlopt.run import Run, package_versions
from rlopt.stages.common.columns import ignored_columns, mapping_for, missing_marks
from rlopt.stages.common.known_ids import check_known
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.outputs import check_output
from rlopt.stages.common.policies import compute_with, load_policy, policy_folder, writing_policy
from rlopt.stages.common.shards import fingerprint_metadata, open_shards
from rlopt.stages.generate.proposals import Means, NoReward
from rlopt.stages.generate.result import GenerateResult
from rlopt.stages.generate.writer import Writer

MEMORY_LIMIT = "256MB"  # of the engine that sorts the catalogue


def generate(
    run: Run,
    items_file: Source,
    out: str | Path,
    config: GenerateConfig | None = None,
    *,
    columns: str | None = None,
    query: str | None = None,
    reviews: str | None = None,
) -> GenerateResult:
    """Write ``config.n`` titles per item with ``config.policy``.

    It reads the catalogue and writes the output shard by shard, in constant memory; after an interruption the same call
    resumes. One row a title, in the input's order: item_id, title, log_prob (nats), finished, reward,
    reward_std, support, relevance, fluency, kept, reason, report, current_title, item_version, and with
    ``config.diverse`` expected_best, diversity, angle (`with_portfolio`). The parquet metadata
    (``rlopt.*``) name the run, the fingerprints of policy and reward model, the settings and the versions.

    Parameters
    ----------
    run
        A run with a policy, and a finished ``fit-reward``; without a reward (``rlopt sft CATALOGUE``) titles are
        proposals in the order in which they were written.
    items_file
        Parquet, CSV or JSONL with item_id and the item's fields, a table in memory, or what else
        `reward.logs.sources.local` takes; an item of the logs needs no fields.
    out
        ``.parquet``, or ``.csv`` for CSV.
    columns
        The user's column names, as in ``--columns``.
    query
        SQL, or a file that holds it, where the items are in a database.
    reviews
        Database of ``rlopt review``: titles that people approved or wrote stand, and what they refused for an item is
        never proposed for it again.

    Raises
    ------
    StageOrderError
        If the run has no such policy.
    LogError, PolicyError
        If the items or the policy cannot be read.
    RunError
        If ``out`` cannot be written, or another process is writing it.
    ReviewError
        If the reviews cannot be read.
    """
    config = config or GenerateConfig()
    _say_what_has_no_effect(config)
    decided = Reviews() if reviews is None else Reviews.read(reviews)
    with local(items_file, query=query) as here:
        return _generate(run, here, out, config, columns, decided)


def _generate(
    run: Run, items_file: LocalSource, out: str | Path, config: GenerateConfig, columns: str | None, reviews: Reviews
) -> GenerateResult:
    opened = OpenedRun(run, rewarded=False)
    if not run.rewarded:
        config = _without_reward(run, config)
    source = policy_folder(run, config.policy)
    check_output(out, items_file)
    mapping = mapping_for(run, items_file, columns)
    began = time.monotonic()
    processes.join()
    ignored, missing = ignored_columns(run, items_file), missing_marks(run)
    with open_catalogue(items_file, mapping, ignored, MEMORY_LIMIT, missing) as catalogue:
        described = opened.describes(next(catalogue.chunks(config.shard_items), []))
        check_known(catalogue.item_ids(), opened.arms.items, items_file, described=described)
        policy = title_writer(source, config)
        model, rules = opened.reward if run.rewarded else NoReward(), opened.constraints_of(config)
        kind = "observational" if opened.observational else "within items" if run.rewarded else "none"
        metadata = _metadata(run, source, config, kind)
        if reviews.decided:
            metadata["rlopt.reviews"] = reviews.digest
        key = _key(metadata, fingerprints(config.files()), catalogue.path)
        with open_shards(Path(out), key) as shards:
            means = Means(policy, model, rules, config, opened.belonging, reviews, opened.trust[0], kind)
            writer = Writer(means, shards)
            writer.resume()
            done = shards.done()
            start = min(done * config.shard_items, catalogue.n_items)
            with track("generate", catalogue.n_items * config.n, start=start * config.n) as bar:
                for number, piece in enumerate(catalogue.chunks(config.shard_items, start), start=done):
                    rows = writer.write(number, opened.with_known_fields(piece))
                    bar.update(rows, titles_per_second=writer.written / (time.monotonic() - began))
            if processes.is_first():
                shards.finish(metadata)
    writer.say_what_stood_out()
    return writer.result(str(out), time.monotonic() - began)


def _say_what_has_no_effect(config: GenerateConfig) -> None:
    given = config.model_fields_set
    if "best_of" in given and config.best_of <= config.n and config.best_of > 1:
        note(f"--best-of {config.best_of} has no effect with --n {config.n}: give more than that")
    if config.diverse and config.n == 1:
        note("--diverse has no effect with one title per item: give --n 2 or more")
    if "keep_current" in given and config.keep_current and config.n > 1:
        note("--keep-current has no effect with several titles per item")


def _without_reward(run: Run, config: GenerateConfig) -> GenerateConfig:
    """The settings that have an effect without a reward; notes the others."""
    if config.best_of > config.n:
        note("--best-of has no effect without a reward")
    if config.diverse:
        note("--diverse has no effect without a reward")
    note(
        "No reward yet: these are proposals, not compared with current titles; the columns reward, reward_std and "
        "support are empty. Show some, log clicks, then: rlopt fit-reward LOGS"
    )
    policy = writing_policy(run, config.policy)
    return config.model_copy(update={"best_of": 1, "diverse": False, "keep_current": False, "policy": policy})


def title_writer(source: Path, config: GenerateConfig) -> TitleWriter:
    """The policy in ``source``, alone or with the ensemble's members, on the engine asked for.

    Raises
    ------
    PolicyError
        If one cannot be loaded, or the engine cannot do it.
    """
    if config.engine == "vllm":
        if config.ensemble or processes.count() > 1:
            raise PolicyError("--engine vllm runs one policy in one process. Leave --engine out.")
        quiet_loading()
        return VllmWriter(source)
    folders = [source, *map(Path, config.ensemble)]
    policies = [load_policy(folder) for folder in folders]
    policy = ensemble(policies, folders, config.ensemble_by) if config.ensemble else policies[0]
    compute_with(policy.model)
    return policy


def _metadata(run: Run, source: Path, config: GenerateConfig, reward: str) -> dict[str, str]:
    """Metadata that every title can be traced to."""
    values = {
        "run": str(run.path.resolve()),
        "policy": config.policy,
        "policy_fingerprint": fingerprint(source),
        "ensemble_fingerprints": to_json([fingerprint(Path(folder)) for folder in config.ensemble]),
        "reward": reward,
        "reward_fingerprint": fingerprint(run / "reward", without=("README.md",)) if run.rewarded else "none",
        "seed": config.seed,
        "config": to_json(config.model_dump(mode="json")),
        "versions": to_json(package_versions()),
    }
    return fingerprint_metadata(values)


def _key(metadata: dict[str, str], word_lists: dict[str, str], catalogue: Path) -> str:
    """Shards with another key belong to other items, models, rules or settings."""
    text = json.dumps([metadata, word_lists], sort_keys=True) + fingerprint(catalogue)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
