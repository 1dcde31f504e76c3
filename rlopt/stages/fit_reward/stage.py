"""``rlopt fit-reward``: from logs to the reward model, the judge and the splits every later stage keeps to."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reward.arms import Arms
from reward.doctor.examine import LogReport
from reward.errors import LogError
from reward.logs.sources.local import LocalSource, Source, local
from reward.logs.splits import Splits, split_items
from rlopt.config import RewardConfig
from rlopt.errors import RunError
from rlopt.files import atomic_write, to_json
from rlopt.progress import note
from rlopt.run import CATALOGUE, DATA, Run
from rlopt.stages.common.belonging import fit_belonging
from rlopt.stages.common.columns import column_mapping
from rlopt.stages.common.evidence import measure
from rlopt.stages.fit_reward.encoder import run_encoder
from rlopt.stages.fit_reward.engine import check_engine, engine_of
from rlopt.stages.fit_reward.fitting import aggregate, fit_judge, joined_arms, keep, learn
from rlopt.stages.fit_reward.history import (
    PENDING,
    Entry,
    log_fingerprints,
    logs_fingerprint,
    plan_fingerprints,
    read_history,
)
from rlopt.stages.fit_reward.result import FitRewardResult
from rlopt.stages.fit_reward.saving import Fitted, market_beside, save


def fit_reward(
    run: Run,
    logs: Source,
    config: RewardConfig | None = None,
    *,
    columns: str | None = None,
    preset: Mapping[str, Any] | None = None,
    tmp_dir: str | Path | None = None,
    scheduler: str | None = None,
    force: bool = False,
    query: str | None = None,
) -> FitRewardResult:
    """Learn from logs what a title earns; writes ``data/``, ``reward/``, ``monitor/``, ``judge/`` and
    ``belonging/`` of the run.

    Parameters
    ----------
    run
        A run directory, new or not.
    logs
        File, folder or glob of parquet, CSV or JSONL; a table in memory, a database or whatever else
        `reward.logs.sources.local` takes.
    config
        Settings of the stage.
    columns
        The user's column names, as in ``--columns``.
    preset
        Content of a YAML preset: its ``columns`` and ``exclude`` apply here, its other sections are kept in the
        run for the stages to come.
    tmp_dir
        Folder for the log engine's spill files; the system's temporary folder by default.
    scheduler
        Address of the Dask cluster that adds up the logs and trains the trees with ``engine`` "dask"; None starts one
        on this machine.
    force
        Fit again although settings and logs are those of the last time.
    query
        SQL, or a file that holds it, where the logs are in a database.

    Raises
    ------
    LogError
        If the logs cannot be read, hold forbidden values, or the log doctor says that they teach nothing.
    SplitError, ModelError
        If the items cannot be split, or no model can be fitted on them.
    RunError
        If the run cannot be written.
    """
    config = config or RewardConfig()
    check_engine(config, scheduler)
    with local(logs, query=query, tmp_dir=tmp_dir) as here:
        return _fit(run, here, config, columns, preset, tmp_dir, scheduler, force=force)


def _fit(
    run: Run,
    logs: LocalSource,
    config: RewardConfig,
    columns: str | None,
    preset: Mapping[str, Any] | None,
    tmp_dir: str | Path | None,
    scheduler: str | None,
    *,
    force: bool,
) -> FitRewardResult:
    kept = {**(preset or {}), "columns": column_mapping(columns, preset).to_dict()}
    settings = {
        **config.model_dump(mode="json", exclude={"memory_limit"}),
        **{name: kept.get(name) or {} for name in ("columns", "exclude")},
    }
    files = log_fingerprints(logs)
    inputs = {"logs": logs_fingerprint(files), **plan_fingerprints(config.plan)}
    if not force and run.current("fit-reward", settings, inputs):
        note("Same logs and settings as the last time: nothing to do (--force fits again).")
        atomic_write(run / DATA / "preset.json", to_json(kept, indent=2))
        return FitRewardResult.of(run)
    if not force:
        _check_updates(run)
    _say_what_is_replaced(run, logs, inputs)
    with run.stage("fit-reward", settings, inputs) as record, engine_of(config, scheduler) as engine:
        encoder = run_encoder(run, config)
        arms, report = aggregate(logs, config, kept, tmp_dir, record.checkpoints, engine.client)
        _check_report(logs, report)
        splits = _split(arms, config)
        keep(arms, report, record.checkpoints)
        effective = joined_arms([arms], config.half_life_days)
        learned = learn(effective, splits, config, encoder, record.checkpoints, engine.trees)
        judge = fit_judge(effective, splits, config, encoder)
        belonging = fit_belonging(arms, splits, encoder, config.seed)
        evidence = measure(learned.model, arms, splits, config.seed, learned.curve, report.assignment)
        history = [Entry.of("fit", logs, list(files.values()), arms)]
        fitted = Fitted(learned, judge, belonging, evidence, arms, [arms], splits, report, history)
        save(run, fitted, settings, kept, market_beside(logs))
        record.notes.update(logs=str(logs), arms=len(arms), items=len(arms.items))
    shutil.rmtree(run / PENDING, ignore_errors=True)
    return FitRewardResult.of(run)


def _split(arms: Arms, config: RewardConfig) -> Splits:
    return split_items(
        arms,
        judge_share=config.judge_share,
        test_share=config.test_share,
        seed=config.seed,
        time_split=config.time_split,
    )


def _say_what_is_replaced(run: Run, logs: LocalSource, inputs: dict[str, str]) -> None:
    stages = run.manifest["stages"]
    if CATALOGUE in stages:
        note(
            f"{run.path} has learned from the titles of {stages[CATALOGUE]['notes'].get('catalogue', 'a catalogue')}: "
            f"those of {logs} take their place, and the policy has to be trained again, on the train items alone "
            "(rlopt sft, with the same options)"
        )
    before = stages.get("fit-reward")
    if before is not None and before["inputs"] != inputs:
        note(
            f"{run.path} was fitted on {before['notes'].get('logs', 'other logs')}: its reward is replaced by that of "
            f"{logs}, and policies and evaluations have to follow. --run DIR begins another run"
        )


def _check_updates(run: Run) -> None:
    """Refuse to refit what ``--update`` has learned more from.

    Raises
    ------
    RunError
        If the run holds updates; ``--force`` refits anyway.
    """
    updates = [line.logs for line in read_history(run / "reward") if line.event == "update"]
    if updates:
        raise RunError(
            f"Run {run.path} has learned from {len(updates)} more logs since its fit (last: {updates[-1]}), which a "
            "fit from these logs alone would forget. Add --update to learn from them too, or choose a new --run, or "
            "--force."
        )


def _check_report(logs: LocalSource, report: LogReport) -> None:
    if stops := report.stops:
        more = f" (and {len(stops) - 1} more: rlopt check-logs)" if len(stops) > 1 else ""
        raise LogError(f"{logs} cannot teach a reward. {stops[0].message}{more}")
