"""An analysis of an A/B test for a person."""

from typing import TYPE_CHECKING

from rlopt.cli.show import percent, table

if TYPE_CHECKING:
    from rlopt.stages.ab.analysis import Analysis

DECISIONS = {
    "better": "the new titles are better",
    "worse": "the new titles are worse: stop",
    "undecided": "undecided: continue, or end as planned",
    "invalid": "invalid: the split is not the intended one, so no comparison holds; find out why",
}
STATUS = {"held": "held", "broken": "BROKEN", "open": "not ruled out yet"}


def analysis_text(analysis: "Analysis") -> str:
    """The analysis for a person."""
    found = analysis.outcome
    lines = [
        _intervals(analysis),
        *_variants(analysis),
        f"Control    {found.events_control:,.0f} of {found.impressions_control:,.0f} ({found.rate_control:.4%})",
        f"Treatment  {found.events_treated:,.0f} of {found.impressions_treated:,.0f} ({found.rate_treated:.4%})",
        f"Items      {found.n_items:,} ({found.effective_items:.0f} effective)",
        *split_lines(analysis),
        *_metrics(analysis),
        *_trend(analysis),
        *_segments(analysis),
        *_gains(analysis),
        f"Decision   {_decision(analysis)}",
        *_prediction(analysis),
    ]
    return "\n".join(lines)


def _decision(analysis: "Analysis") -> str:
    which = f"{analysis.variant}: " if len(analysis.variants) > 1 else ""
    broken = [row.metric for row in analysis.metrics if row.variant == analysis.variant and row.status == "broken"]
    still = [row.metric for row in analysis.metrics if row.variant == analysis.variant and row.status == "open"]
    if analysis.decision == "worse" and analysis.outcome.decision != "worse":
        return f"{which}stop: guardrail broken ({', '.join(broken)})"
    if analysis.decision == "undecided" and analysis.outcome.decision == "better":
        return f"{which}better, but a guardrail is not shown to hold yet: {', '.join(still)}"
    if analysis.decision == "invalid":
        return DECISIONS["invalid"]
    return f"{which}{DECISIONS[analysis.decision]} ({analysis.outcome.decided_by} interval)"


def _intervals(analysis: "Analysis") -> str:
    found, prediction = analysis.outcome, analysis.prediction
    entries: list[tuple[str, float, float, float]] = [
        ("fixed horizon (one look, at the end)", found.lift, found.low, found.high),
        ("always valid (any number of looks)", found.lift, found.always_low, found.always_high),
    ]
    if found.group_low is not None and found.group_high is not None:
        entries.append(("group-sequential (the planned looks)", found.lift, found.group_low, found.group_high))
    if analysis.best is not None:
        best = analysis.best
        entries.append((f"{best.variant}, corrected for selection", best.lift, best.low, best.high))
    if prediction:
        entries.append(("offline-eval had said", prediction.lift, prediction.low, prediction.high))
    if analysis.rescaled:
        entries.append(("  re-scaled by earlier tests", *analysis.rescaled))
    rows = [(name, percent(lift), f"{percent(low)} to {percent(high)}") for name, lift, low, high in entries]
    header = (f"lift in {analysis.metric}", "", f"{found.confidence:.0%} interval")
    return table(header, rows, title=f"{analysis.variant} against the control" if len(analysis.variants) > 1 else "")


def _variants(analysis: "Analysis") -> list[str]:
    if len(analysis.variants) < 2:
        return []
    rows = [
        (one.name, percent(one.outcome.lift), _span(one.outcome.deciding), f"{one.p_value:.3g}", one.outcome.decision)
        for one in analysis.variants
    ]
    header = ("variant", f"lift in {analysis.metric}", "interval, all together", "p (Holm)", "")
    return [table(header, rows)]


def _metrics(analysis: "Analysis") -> list[str]:
    rows = [
        (
            row.metric,
            percent(row.outcome.lift),
            _span(row.outcome.deciding),
            "-" if row.limit is None else percent(row.limit),
            "" if row.status is None else STATUS[row.status],
            "-" if row.winsorised is None else f"{row.winsorised:.2%}",
        )
        for row in analysis.metrics
        if row.variant == analysis.variant
    ]
    amounts = [row for row in analysis.metrics if row.winsorised is None]
    lines = []
    if len(rows) > 1 or amounts:
        lines.append(table(("metric", "lift", "interval", "limit", "guardrail", "cut off"), rows))
    if amounts:
        lines.append(
            "Tails      not cut: rows add up visitors, which hides single huge orders (add the column visitor)"
        )
    return lines


def _trend(analysis: "Analysis") -> list[str]:
    trend = analysis.trend
    if trend is None:
        return []
    told = "no trend" if trend.p_value >= 0.05 else "wears off" if trend.slope < 0 else "grows"
    return [
        f"By day     {told}: {100 * trend.slope:+.2f} points a day over {len(trend.days)} days "
        f"(p = {trend.p_value:.2g})"
    ]


def _segments(analysis: "Analysis") -> list[str]:
    rows = [
        (f"{s.column}: {s.value}", f"{s.n_items:,}", percent(s.lift), _span((s.low, s.high)), f"{s.q_value:.3f}")
        for s in analysis.segments
    ]
    return [table(("segment", "items", "lift", "interval, all together", "q"), rows)] if rows else []


def _gains(analysis: "Analysis") -> list[str]:
    lines = []
    for gain in analysis.gains:
        if gain.a_month is None or gain.low is None or gain.high is None:
            continue
        lines.append(
            f"A month    {gain.a_month:+,.0f} {gain.metric} at the tested traffic "
            f"({gain.low:+,.0f} to {gain.high:+,.0f})"
        )
    if analysis.gains:
        main = analysis.gains[0]
        lines.append(
            f"Chances    {main.chance_better:.1%} that the new titles are better; expected loss by launching "
            f"{main.expected_loss:.2%}"
        )
    return lines


def _prediction(analysis: "Analysis") -> list[str]:
    lines = []
    if analysis.agrees is not None:
        word = "contradicts" if not analysis.agrees else "agrees with" if analysis.told_apart else "is not refuted by"
        lines.append(f"Offline    {word} the test (z = {analysis.difference_z:+.1f}); kept in the run")
    if (past := analysis.past) is not None:
        lines.append(
            f"Earlier    {past.right} of {past.n_tests} tests went in the predicted direction; observed over predicted "
            f"{past.slope:.2f} +- {past.slope_std_error:.2f} (1 is calibrated)"
        )
    return lines


def split_lines(analysis: "Analysis") -> list[str]:
    """Describe the results of the split checks, and the way arms were compared."""
    found, split = analysis.outcome, analysis.outcome.split
    lines = []
    if found.sample_ratio_p_value is not None:
        p_value = found.sample_ratio_p_value
        lines.append(f"Split      p = {p_value:.3g} against the intended one (below 0.001 is a mismatch)")
    if split is not None and split.changed:
        lines.append(
            f"Split      changed in time, from {split.first_share:.0%} to {split.last_share:.0%}: compared within days"
        )
    if split is not None and split.by_item:
        lines.append("Split      differs from item to item: compared within items")
    if analysis.mismatched_items:
        some = ", ".join(analysis.mismatched_items[:5])
        lines.append(f"Split      off in {len(analysis.mismatched_items)} items, bots or missing rows: {some}")
    if analysis.mismatched_segments:
        lines.append(f"Split      off in the segments {', '.join(analysis.mismatched_segments[:5])}")
    if found.design == "items":
        lines.append("Design     whole items were split: compared between items")
    if found.design == "serial":
        lines.append(
            "Design     one title after the other: compared within items, days' levels taken off; "
            f"{analysis.left_out:.0%} of the impressions left out after changes"
        )
    if found.design == "visitors" and not analysis.by_visitor:
        lines.append("Errors     impressions are assumed independent: add the column visitor where people see many")
    if found.removed_variance is not None and found.unadjusted_lift is not None:
        known = (
            "the column of --covariate"
            if analysis.by_column
            else "the items' logged rates and the reward's predictions"
        )
        lines.append(
            f"Adjusted   by {known}, which removes {found.removed_variance:.0%} of the variance "
            f"(without: {percent(found.unadjusted_lift)}, {percent(found.unadjusted_low or 0.0)} to "
            f"{percent(found.unadjusted_high or 0.0)})"
        )
    return lines


def _span(limits: tuple[float, float]) -> str:
    return f"{percent(limits[0])} to {percent(limits[1])}"
