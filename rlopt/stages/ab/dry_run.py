"""A dry run of a planned test: past logs are split as planned, over and over, where no title differs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reward.arrays import FloatArray, IntArray
from reward.logs.keys import respelled_file
from reward.logs.source import open_source, quote
from reward.logs.typed_rows import TypedRows
from reward.plain import Plain
from rlopt.config import AbPlanConfig
from rlopt.errors import EvaluationError
from rlopt.ope.abtest import TestOutcome, analyze
from rlopt.ope.comparison import Counts
from rlopt.ope.rounds import RoundsError
from rlopt.ope.serial import after_a_switch
from rlopt.run import Run
from rlopt.stages.ab.assignment import shared_out, stratified
from rlopt.stages.ab.covariates import shrunken_rates
from rlopt.stages.ab.results import names_of_results
from rlopt.stages.common.ab_sizing import arm_shares
from rlopt.stages.common.columns import mapping_for

SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class DryRun(Plain):
    """Results of splitting past logs without any treatment (A/A tests).

    Parameters
    ----------
    repetitions
        Splits.
    days, pre_days
        Days of the logs that stand for the test, and those before, which predict the items (0: none).
    false_decisions, false_decisions_any
        Share of the splits whose fixed-horizon and whose always-valid interval (at the end) excludes zero.
    half_width, half_width_any
        Median half-width of either interval, as a lift.
    split_alarms
        Share of the splits whose checks ring.
    """

    repetitions: int
    days: int
    pre_days: int
    false_decisions: float
    false_decisions_any: float
    half_width: float
    half_width_any: float
    split_alarms: float


@dataclass(frozen=True)
class Logged:
    """Logs by item, day and (where there is such a column) visitor; arrays of shape (n,).

    Parameters
    ----------
    item, day, visitor
        Numbers from 0; ``visitor`` None without the column.
    impressions, events
        Counts.
    dated
        True if there are timestamps.
    """

    item: IntArray
    day: IntArray
    visitor: IntArray | None
    impressions: FloatArray
    events: FloatArray
    dated: bool

    def take(self, rows: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "Logged":
        """These rows."""
        visitor = None if self.visitor is None else self.visitor[rows]
        return Logged(self.item[rows], self.day[rows], visitor, self.impressions[rows], self.events[rows], self.dated)


def rehearse(
    run: Run, logs: str | Path, config: AbPlanConfig, planned_lift: float, columns: str | None = None
) -> DryRun:
    """Split past logs as planned, many times.

    The last days stand for the test, as many as are planned but no more than half; the days before predict the items,
    for the strata and the adjustment. Without visitors in the logs, single impressions are split.

    Parameters
    ----------
    run
        Run whose column names hold where ``columns`` name none.
    logs
        File of logs.
    config
        The plan.
    planned_lift
        Shapes the always-valid interval.
    columns
        The user's column names, timestamp and visitor among them.

    Raises
    ------
    LogError, EvaluationError
        The logs cannot be read, or hold too little to be split as planned.
    """
    if config.metric == "revenue":
        raise EvaluationError("--dry-run splits clicks or conversions: give --metric conversions.")
    if planned_lift == 0 or planned_lift <= -1:
        raise EvaluationError(f"--dry-run needs a lift to plan for. Got {planned_lift:g}. Name one: --lift 0.03")
    logged = read_logs(run, logs, config.metric, columns)
    test, before = _periods(logged, config)
    rng = np.random.default_rng(config.seed)
    shares = arm_shares(config)
    pair = shares[1] / (shares[0] + shares[1])
    found: list[TestOutcome] = []
    for counts in _splits(test, before, config, rng):
        try:
            found.append(
                analyze(
                    counts,
                    planned_lift=planned_lift,
                    treated_share=pair,
                    confidence=1 - config.alpha,
                    final=True,
                    design=config.design,
                )
            )
        except RoundsError as error:
            raise EvaluationError(f"{logs} cannot be split as planned: {error}") from error
    return DryRun(
        len(found),
        len(np.unique(test.day)),
        0 if before is None else len(np.unique(before.day)),
        float(np.mean([t.low > 0 or t.high < 0 for t in found])),
        float(np.mean([t.always_low > 0 or t.always_high < 0 for t in found])),
        float(np.median([(t.high - t.low) / 2 for t in found])),
        float(np.median([(t.always_high - t.always_low) / 2 for t in found])),
        float(np.mean([t.decision == "invalid" for t in found])),
    )


def read_logs(run: Run, logs: str | Path, metric: str, columns: str | None) -> Logged:
    """Logs added up by item, day and visitor.

    Raises
    ------
    LogError, EvaluationError
        They cannot be read, or have no rows.
    """
    own, names = names_of_results(columns)
    mapping = mapping_for(run, logs, names)
    with open_source(logs) as source:
        rows = respelled_file(TypedRows.of(source, mapping, None, ("item_id", metric)))
        visitor = own.get("visitor", "visitor" if "visitor" in source.columns else None)
        if visitor is not None and visitor not in source.columns:
            raise EvaluationError(f"{source.where} has no column '{visitor}' (mapped to 'visitor').")
        time = rows.expression("timestamp") if rows.has("timestamp") else "0"
        who = f"CAST({quote(visitor)} AS VARCHAR)" if visitor is not None else "''"
        table = source.table(
            f"SELECT {rows.expression('item_id')} AS item, CAST(floor(({time}) / {SECONDS_A_DAY}) AS BIGINT) AS day, "  # noqa: S608
            f"{who} AS visitor, sum({rows.expression('impressions')}) AS impressions, "
            f"sum({rows.expression(metric)}) AS events FROM {source.relation} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            source.parameters,
        )
    data = {name: table[name].to_pylist() for name in ("item", "day", "visitor")}
    good = [all(row) for row in zip(*([v is not None for v in data[name]] for name in data), strict=True)]
    shown, events = (np.nan_to_num(table[name].to_numpy().astype(np.float64)) for name in ("impressions", "events"))
    keep = np.array(good, dtype=bool) & (shown > 0) & (events >= 0) & (events <= shown)
    if not keep.any():
        raise EvaluationError(f"{logs} holds no rows to split.")
    number = {
        name: np.unique(np.asarray(values, dtype=object)[keep], return_inverse=True)[1].astype(np.int64)
        for name, values in data.items()
        if name != "day"
    }
    day = np.asarray(data["day"], dtype=object)[keep].astype(np.int64)
    who_number = number["visitor"] if visitor is not None else None
    return Logged(number["item"], day - day.min(), who_number, shown[keep], events[keep], rows.has("timestamp"))


def _periods(logged: Logged, config: AbPlanConfig) -> tuple[Logged, Logged | None]:
    """The days that stand for the test, and those before; without times all of the logs and none.

    Raises
    ------
    EvaluationError
        A serial test without times, or of too few days.
    """
    days = int(logged.day.max()) + 1
    if not logged.dated or days < 2:
        if config.design == "serial":
            raise EvaluationError("A serial test is rehearsed on logs with timestamps over several periods.")
        return logged, None
    length = min(7 * config.weeks, days // 2 if config.design == "items" else days)
    if config.design == "serial" and length < 2 * config.period:
        raise EvaluationError(
            f"The logs span {days} days, and a serial test needs two periods of {config.period}. Name shorter ones: "
            "--period 1"
        )
    first = days - length
    test = logged.take(logged.day >= first)
    before = logged.take(logged.day < first)
    return replace(test, day=test.day - first), before if len(before.item) else None


def _splits(test: Logged, before: Logged | None, config: AbPlanConfig, rng: np.random.Generator) -> Iterator[Counts]:
    """Results of each split: the control and the first variant."""
    shares = arm_shares(config)
    n = int(max(test.item.max(), before.item.max() if before is not None else 0)) + 1
    expected, predicts = _expected(test, before, n)
    for _ in range(config.repetitions):
        block = None
        if config.design == "visitors" and test.visitor is None:
            yield _impressions_split(test, shares, rng)
            continue
        if config.design == "visitors" and test.visitor is not None:
            arm = rng.choice(len(shares), int(test.visitor.max()) + 1, p=shares)[test.visitor]
        elif config.design == "items":
            present = np.unique(test.item)
            of_item, of_block = np.zeros((2, n), dtype=np.int64)
            of_item[present], of_block[present] = stratified(predicts[present], shares, rng)
            arm, block = of_item[test.item], of_block[test.item]
        else:
            period = test.day // config.period
            n_periods = int(period.max()) + 1
            plan = np.stack([rng.permutation(shared_out(n_periods, shares)) for _ in range(n)])
            arm = plan[test.item, period]
        kept = arm <= 1
        if config.design == "serial":
            kept &= ~after_a_switch(arm, test.item, test.day, config.carry_over)
        whole = Counts(
            arm > 0,
            test.item,
            test.impressions,
            test.events,
            test.day if test.dated else None,
            test.visitor if config.design == "visitors" else None,
            expected if config.design == "items" else None,
            block,
        )
        yield whole.take(kept)


def _impressions_split(test: Logged, shares: tuple[float, ...], rng: np.random.Generator) -> Counts:
    """Every impression on its own: what an item and day had is dealt out, its clicks with it."""
    shown, events = test.impressions.astype(np.int64), test.events.astype(np.int64)
    if shares[0] + shares[1] < 1:
        fewer = rng.binomial(shown, shares[0] + shares[1])
        events = rng.hypergeometric(events, shown - events, fewer)
        shown = fewer
    new = rng.binomial(shown, shares[1] / (shares[0] + shares[1]))
    clicked = rng.hypergeometric(events, shown - events, new)
    return Counts(
        np.repeat([False, True], len(shown)),
        np.tile(test.item, 2),
        np.concatenate([shown - new, new]).astype(np.float64),
        np.concatenate([events - clicked, clicked]).astype(np.float64),
        np.tile(test.day, 2) if test.dated else None,
    )


def _expected(test: Logged, before: Logged | None, n: int) -> tuple[FloatArray | None, FloatArray]:
    """Events expected of each row by the days before, and each item's surplus over the average item's."""
    if before is None:
        return None, np.zeros(n)
    total = np.bincount(before.item, before.events, minlength=n).astype(np.float64)
    shown = np.bincount(before.item, before.impressions, minlength=n).astype(np.float64)
    if not total.sum() > 0:
        return None, np.zeros(n)
    mean = float(total.sum() / shown.sum())
    rate = shrunken_rates(total, shown)
    return np.asarray(rate[test.item] * test.impressions), np.asarray(total - mean * shown)
