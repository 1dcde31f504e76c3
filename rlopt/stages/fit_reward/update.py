"""``rlopt fit-reward --update``: learn from new logs on top of the old ones, and keep the better model.

The contract: the new log holds new rows only. A click counts with the conversions that had come by the end of its own
log, and is weighted by the chance that they had (`Arms.matured_clicks`), so conversions that come later are not missed
on average; but a row that is given twice counts twice, which fingerprints, counts and times are there to notice.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from reward.arms import Arms
from reward.assignment import Assignment
from reward.doctor.examine import LogReport
from reward.doctor.findings import succession
from reward.logs.log_levels import log_levels
from reward.logs.periods import OFTEN_ALONE, alone_share
from reward.logs.sources.local import LocalSource, Source, local
from reward.logs.splits import Splits
from reward.logs.update import extend_splits, merge_arms
from reward.plain import JsonObject
from rlopt.config import RewardConfig
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.common.belonging import fit_belonging
from rlopt.stages.common.columns import column_mapping
from rlopt.stages.common.evidence import measure
from rlopt.stages.fit_reward.encoder import run_encoder
from rlopt.stages.fit_reward.engine import check_engine, engine_of
from rlopt.stages.fit_reward.fitting import aggregate, fit_judge, joined_arms, keep, learn
from rlopt.stages.fit_reward.history import (
    PENDING,
    Entry,
    UpdateOutcome,
    log_fingerprints,
    logs_fingerprint,
    plan_fingerprints,
)
from rlopt.stages.fit_reward.result import UpdateResult
from rlopt.stages.fit_reward.saving import Fitted, save
from rlopt.stages.fit_reward.update_base import Base, check_rows, check_settings, pending, seen, set_aside
from rlopt.stages.fit_reward.update_decision import compare
from rlopt.wording import counted

_LEVEL_CHANGE = 0.02  # below that, nobody needs to be told


def update_reward(
    run: Run,
    logs: Source,
    config: RewardConfig | None = None,
    *,
    columns: str | None = None,
    tmp_dir: str | Path | None = None,
    scheduler: str | None = None,
    force: bool = False,
    query: str | None = None,
) -> UpdateResult:
    """Refit on the arms of the run and those of ``logs``, and keep the new model unless it is clearly worse.

    Items keep their side of the split and new items are drawn by the same rule. Both models are compared on the items
    of the judge side in the newest log (offline-eval reports on the test side, which must not choose): the old one is
    kept only where the new one is worse beyond chance in pair accuracy or in log-likelihood. Otherwise the new one is
    kept, since it stands on more and newer clicks; so it is where there are too few such items to tell. Where the old
    one is kept, the run stays as it is, and the new arms wait for the next update.

    Parameters
    ----------
    run
        A run with a finished fit-reward.
    logs
        With new rows only; sources and ``query`` as in `fit_reward`.
    config
        Settings; by default those of the run (`run_settings`). Splits and seed stay as they are.
    columns
        Column names of this file, where they differ from the run's.
    tmp_dir
        Folder for the log engine's spill files.
    scheduler
        As in `fit_reward`.
    force
        Take in a log that begins before the earlier ones end, or one whose update was not kept before.

    Raises
    ------
    LogError
        If the logs cannot be read, or hold rows that were learned before.
    StageOrderError, RunError, ConfigError
        If the run is not fitted, cannot be written, or a setting cannot be changed by an update.
    """
    with local(logs, query=query, tmp_dir=tmp_dir) as here:
        return _update(run, here, config, columns, tmp_dir, scheduler, force=force)


def _update(
    run: Run,
    logs: LocalSource,
    config: RewardConfig | None,
    columns: str | None,
    tmp_dir: str | Path | None,
    scheduler: str | None,
    *,
    force: bool,
) -> UpdateResult:
    base = Base.of(run)
    config = config or base.config
    check_engine(config, scheduler)
    check_settings(config, base.config)
    files = log_fingerprints(logs)
    digest = logs_fingerprint(files)
    if known := seen(base, logs, list(files.values()), digest, force):
        return UpdateResult.known(run, logs, known)
    inputs = {**base.inputs, f"update {digest}": digest, **plan_fingerprints(config.plan)}
    kept = {**base.preset(), "columns": column_mapping(columns, base.preset()).to_dict()}
    settings = {**base.settings, **config.model_dump(mode="json", exclude={"memory_limit"})}
    with run.stage("fit-reward", settings, inputs) as record, engine_of(config, scheduler) as engine:
        new, report = aggregate(logs, config, kept, tmp_dir, record.checkpoints, engine.client, base.ignored())
        check_rows(base, logs, new, force)
        parts, splits = _with_new(base, [*pending(run, digest, base.history()), new], config)
        _say_differences(base, report)
        keep(new, report, record.checkpoints)
        arms = joined_arms(parts)
        effective = arms if config.half_life_days is None else joined_arms(parts, config.half_life_days)
        _say_changes(parts, arms, report)
        encoder = run_encoder(run, config)
        learned = learn(effective, splits, config, encoder, record.checkpoints, engine.trees)
        decision = compare(base.model(run), learned.model, parts, splits, config.seed)
        outcome = UpdateOutcome(decision.kept, decision.why, decision.contest)
        line = Entry.of(decision.event, logs, list(files.values()), new, outcome)
        if decision.kept == "old":
            set_aside(run, new, digest, [*base.history(), line])
            record.unchanged = True
        else:
            judge = fit_judge(effective, splits, config, encoder)
            belonging = fit_belonging(arms, splits, encoder, config.seed)
            merged = _merged_report(base.report(), report, arms)
            evidence = measure(learned.model, arms, splits, config.seed, learned.curve, merged.assignment)
            fitted = Fitted(learned, judge, belonging, evidence, arms, parts, splits, merged, [*_learned(base), line])
            base.keep_copy(run, record.checkpoints, logs)
            save(run, fitted, settings, base.preset(), base.market)
            record.notes.update(logs=str(logs), arms=len(arms), items=len(arms.items), update=outcome.why)
    if decision.kept == "new":
        shutil.rmtree(run / PENDING, ignore_errors=True)
    return UpdateResult.of(run, logs, line, outcome)


def run_settings(run: Run) -> JsonObject:
    """The settings the run's reward model was fitted with, for the YAML file and the flags to go over.

    Raises
    ------
    StageOrderError
        If the run is not fitted.
    """
    settings = Base.of(run).config
    return settings.model_dump(mode="json", exclude={"memory_limit"})


def _with_new(base: Base, news: Sequence[Arms], config: RewardConfig) -> tuple[list[Arms], Splits]:
    """Arms of every log and the sides of their items."""
    parts, splits = base.parts(), base.splits()
    for new in news:
        extended = extend_splits(
            splits,
            merge_arms(parts),
            new,
            judge_share=config.judge_share,
            test_share=config.test_share,
            seed=config.seed,
            time_split=config.time_split,
        )
        if extended.left_out:
            note(
                f"Warning: {counted(extended.left_out, 'title is', 'titles are')} left out "
                f"({counted(extended.impressions_left_out, 'impression')}): the same text "
                "belongs to items on another side of the split."
            )
        splits = extended.splits
        parts.append(extended.arms)
    return parts, splits


def _say_differences(base: Base, report: LogReport) -> None:
    """Context and outcomes that only one of the logs has."""
    old = base.report()
    before, now = set(old.context_columns), set(report.context_columns)
    if missing := sorted(before - now):
        note(f"Warning: the new log lacks {', '.join(missing)}: known items keep their values, new ones have none.")
    if fresh := sorted(now - before):
        note(f"Warning: only the new log has {', '.join(fresh)}: other items have no such values.")
    if (old.conversions is None) != (report.conversions is None):
        which = "the new log counts" if report.conversions is None else "the logs so far count"
        note(f"Warning: {which} no conversions: rlopt learns conversion rates from the others alone.")


def _say_changes(parts: Sequence[Arms], arms: Arms, report: LogReport) -> None:
    """Note the changes from the earlier logs to the new one: the level of clicks, and which titles are shown."""
    levels = log_levels(parts)
    told = bool(np.isin(levels.group[-1], levels.group[:-1]))
    before = float(np.average(levels.level[:-1], weights=[part.exposure.sum() for part in parts[:-1]]))
    if told and abs(change := levels.level[-1] / before - 1) > _LEVEL_CHANGE:
        word = "more" if change > 0 else "less"
        note(
            f"In the new log all titles are clicked about {abs(change):.0%} {word} than before: rlopt corrects for it."
        )
    if (report.alone_share or 0.0) <= OFTEN_ALONE:  # else the new log's findings say so
        for _, message, *_ in succession(alone_share(arms), corrected=told):
            note(f"Warning: {message}")


def _learned(base: Base) -> list[Entry]:
    """The history, with updates that were tried and not kept before now among those that were learned."""
    return [replace(line, event="update") if line.event == "trial" else line for line in base.history()]


_WEAKEST: tuple[Assignment, ...] = ("unknown", "randomized", "logged")


def _merged_report(old: LogReport, new: LogReport, arms: Arms) -> LogReport:
    """The doctor's words on the new log, with totals over all logs; a column once taken for context stays one.

    Doubts of an earlier log remain: its clicks are among those that were learned from.
    """
    said = {finding.message for finding in new.findings}
    doubts = [f for f in old.findings if f.consequence == "doubt" and f.message not in said]
    context = tuple(dict.fromkeys([*old.context_columns, *new.context_columns]))
    dropped = {**new.dropped_columns, **old.dropped_columns}
    return replace(
        new,
        rows=old.rows + new.rows,
        items=len(arms.items),
        arms=len(arms),
        impressions=int(arms.impressions.sum()),
        clicks=int(arms.clicks.sum()),
        conversions=None if arms.conversions is None else int(arms.conversions.sum()),
        context_columns=context,
        dropped_columns={name: why for name, why in dropped.items() if name not in context},
        findings=(*new.findings, *doubts),
        assignment=_WEAKEST[min(_WEAKEST.index(old.assignment), _WEAKEST.index(new.assignment))],
    )
