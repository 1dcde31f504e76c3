"""Measures every metric of every variant against the control, with intervals that hold for all variants together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reward.arrays import FloatArray
from reward.plain import Plain
from rlopt.config import AbAnalyzeConfig
from rlopt.errors import EvaluationError
from rlopt.ope.abtest import Looks, TestOutcome, analyze, totals
from rlopt.ope.comparison import Comparison, Counts, Design, compare, design_of
from rlopt.ope.heavy_tails import winsorised
from rlopt.ope.serial import after_a_switch
from rlopt.ope.simultaneous import corrected_best, correlation, holm, max_critical
from rlopt.stages.ab.metrics import Asked, Guardrail, Metric, MetricResult, Role
from rlopt.stages.ab.results import Results

NO_DATES = "A serial test needs the column date, or its name: --columns date=COLUMN."


@dataclass(frozen=True)
class Variant(Plain):
    """One variant of several.

    Parameters
    ----------
    name
        As the results have it.
    outcome
        Of the metric that decides; its limits hold for all variants together.
    p_value
        Of no difference, corrected for the number of variants (Holm); of one look at the planned end.
    """

    name: str
    outcome: TestOutcome
    p_value: float


@dataclass(frozen=True)
class Best(Plain):
    """The best of several variants, corrected for having been picked as the best (Andrews et al. 2024).

    Parameters
    ----------
    variant
        Its name.
    lift, low, high
        Median-unbiased lift and interval, of one look at the planned end.
    """

    variant: str
    lift: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Parameters
    ----------
    variants
        Each variant, in the order of the results' arms.
    chosen
        Number of the variant that the decision is about: the best one.
    best
        The best corrected for selection; None of a single variant.
    metrics
        The metric that decides, those beside it and the guardrails, of each variant.
    comparison, counts
        The chosen variant's main metric, for the figures by day and by segment.
    looks
        Looks, which determine the interval that decides.
    """

    variants: tuple[Variant, ...]
    chosen: int
    best: Best | None
    metrics: tuple[MetricResult, ...]
    comparison: Comparison
    counts: Counts
    looks: Looks


def looks_of(config: AbAnalyzeConfig, comparisons: int = 1) -> Looks:
    """Looks, and so the interval that decides, by the settings.

    Raises
    ------
    EvaluationError
        The settings contradict each other.
    """
    if config.final and config.look:
        raise EvaluationError("--final is a single look at the end, --look several on the way. Give one of them.")
    if config.look:
        return Looks("group-sequential", tuple(config.look), comparisons)
    return Looks("fixed-horizon" if config.final else "always-valid", (), comparisons)


def design_of_results(results: Results, metric: Metric, said: Design | None) -> Design:
    """Unit of the split: the one the user named, or the one most variants' results show.

    Raises
    ------
    EvaluationError
        A serial test without dates.
    """
    seen = design_of(results.counts(metric)) if said is None else said
    if seen == "serial" and results.day is None:
        raise EvaluationError(NO_DATES)
    return seen


def without_carry_over(results: Results, length: int) -> tuple[Results, float]:
    """Results of a serial test less the days after a change of arms, and the share of impressions that is left out.

    Raises
    ------
    EvaluationError
        There are no dates.
    """
    day = results.day_numbers
    if day is None:
        raise EvaluationError(NO_DATES)
    out = after_a_switch(results.arm, results.item, day, length)
    shown = results.values["impressions"]
    return results.without(out), float(shown[out].sum() / max(shown.sum(), 1.0))


def treated_share(split: float, variants: int) -> float:
    """Intended share of one variant among its own impressions and the control's."""
    one = split / variants
    return one / (one + 1 - split)


def measure(
    results: Results,
    asked: Asked,
    config: AbAnalyzeConfig,
    planned_lift: float,
    design: Design,
    expected: FloatArray | None,
) -> Measured:
    """Everything that was asked for.

    Parameters
    ----------
    results
        Those of all arms.
    asked
        Metrics and guardrails.
    config
        Settings.
    planned_lift
        Shapes the confidence sequence.
    design
        Unit of the split.
    expected
        Of each row's main metric, see `Counts`.

    Raises
    ------
    RoundsError
        There is too little to compare.
    """
    numbers = range(1, len(results.arms))
    values, _ = _values(results, asked.main, config.winsorize)
    counts = [results.counts(asked.main, n, values, expected) for n in numbers]
    for one in counts:
        totals(one, asked.main.counted)
    looks = looks_of(config, len(counts))
    compared = [compare(one, design) for one in counts]
    looks, best, p_values = _together(compared, looks, results.arms[1:], config.confidence)
    rows = _metric_rows(results, asked, config, planned_lift, design, expected, looks)
    mains = [row.outcome for row in rows if row.role == "main"]
    chosen = int(np.argmax([outcome.lift for outcome in mains]))
    variants = tuple(Variant(n, o, float(p)) for n, o, p in zip(results.arms[1:], mains, p_values, strict=True))
    return Measured(variants, chosen, best, tuple(rows), compared[chosen], counts[chosen], looks)


def _together(
    compared: Sequence[Comparison], looks: Looks, names: Sequence[str], confidence: float
) -> tuple[Looks, Best | None, FloatArray]:
    """The limits of all variants together, the best one, and corrected p-values."""
    value = np.array([c.ratio.value for c in compared])
    error = np.array([c.std_error for c in compared])
    freedom = max(min(min(c.effective, c.clusters - 1) for c in compared), 1.0)
    p_values = holm(np.asarray(2 * stats.t.sf(np.abs(value) / error, df=freedom)))
    if len(compared) == 1:
        return looks, None, p_values
    correlated = correlation(compared)
    critical = max_critical(correlated, confidence, freedom)
    picked = corrected_best(value, error, correlated, confidence, freedom)
    low, high = float(np.expm1(picked.low)), float(np.expm1(picked.high))
    best = Best(names[int(np.argmax(value))], float(np.expm1(picked.value)), low, high)
    return Looks(looks.decided_by, looks.shares, looks.comparisons, critical), best, p_values


def _metric_rows(
    results: Results,
    asked: Asked,
    config: AbAnalyzeConfig,
    planned_lift: float,
    design: Design,
    expected: FloatArray | None,
    looks: Looks,
) -> list[MetricResult]:
    wanted: list[tuple[Metric, Role, Guardrail | None]] = [(asked.main, "main", None)]
    wanted += [(metric, "beside", None) for metric in asked.metrics[1:]]
    wanted += [(rail.metric, "guardrail", rail) for rail in asked.guardrails]
    share = treated_share(config.split, len(results.arms) - 1)
    out = []
    for metric, role, rail in wanted:
        values, cut = _values(results, metric, config.winsorize)
        for number, name in enumerate(results.arms[1:], 1):
            outcome = analyze(
                results.counts(metric, number, values, expected if role == "main" else None),
                planned_lift=planned_lift,
                treated_share=share,
                confidence=config.confidence,
                looks=looks if role == "main" else Looks(looks.decided_by, looks.shares, looks.comparisons),
                design=design,
                counted=metric.counted,
            )
            limit, status = (rail.limit, rail.status(*outcome.deciding)) if rail else (None, None)
            out.append(MetricResult(metric.name, name, role, outcome, cut, limit, status))
    return out


def _values(results: Results, metric: Metric, level: float) -> tuple[FloatArray, float | None]:
    """The numerator with heavy tails cut, and the share cut off; None where rows add up several visitors."""
    raw = results.values[metric.numerator]
    if metric.counted:
        return raw, 0.0
    if results.visitor is not None:
        return winsorised(raw, results.visitor, level)
    if (results.values["impressions"] <= 1).all():
        return winsorised(raw, np.arange(len(raw)), level)
    return raw, None
