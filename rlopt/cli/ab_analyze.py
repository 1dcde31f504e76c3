"""``rlopt ab-analyze``."""

from typing import TYPE_CHECKING, Any

import click

from rlopt.cli import options
from rlopt.cli.show import percent, show, table

if TYPE_CHECKING:
    from rlopt.stages.ab.analyze import Analysis

RATE = click.FloatRange(0, 1, min_open=True, max_open=True)
DECISIONS = {
    "better": "the new titles are better",
    "worse": "the new titles are worse: stop",
    "undecided": "undecided: go on, or end as planned",
    "invalid": "invalid: the split is not the intended one, so that no comparison holds; find out why",
}


@click.command("ab-analyze")
@click.argument("results", metavar="RESULTS")
@click.option(
    "--metric", type=click.Choice(["clicks", "conversions"]), default="clicks", show_default=True,
    help="What is counted per impression.",
)  # fmt: skip
@click.option(
    "--baseline", type=click.Choice(["logged", "sft"]), default="logged", show_default=True,
    help="What the control showed.",
)  # fmt: skip
@click.option("--control", default="control", show_default=True, help="Name of the control in the column arm.")
@click.option("--split", type=RATE, default=0.5, show_default=True, help="Intended share of the new titles.")
@click.option(
    "--planned-lift", type=float, help="Lift the test was planned for.  [default: the predicted one, else 0.05]"
)
@click.option("--confidence", type=RATE, default=0.95, show_default=True, help="Of the intervals.")
@click.option("--final", is_flag=True, help="The planned end, looked at once: the fixed-horizon interval decides.")
@click.option(
    "--policy", metavar="POLICY", default="ppo", show_default=True,
    help="Whose titles the test shows, as offline-eval --policy was told it.",
)  # fmt: skip
@click.option(
    "--columns", metavar="NAME=COLUMN,...",
    help="Your names for the columns, arm=variant,item_id=sku; by default those that fit-reward was told.",
)  # fmt: skip
@click.option("--decimal", type=click.Choice([".", ","]), help="What stands before a fraction in numbers as texts.")
@options.in_run
@options.common
def command(results: str, run_path: str, **settings: Any) -> None:
    """Analyse an A/B test, at any time, and compare it with what offline-eval had said.

    RESULTS is a parquet, CSV or JSONL file with arm (control and one other), item_id, impressions, clicks, and
    optional conversions, date and visitor. Arms are compared within each day and item, so that a ramp-up or items
    with splits of their own bias nothing; where whole items were split, what the logs know of them narrows the
    interval. With the column visitor (whoever was randomised) errors are by visitor; without it impressions count as
    independent. The run's column names apply where the file lacks rlopt's. Prediction and outcome are kept in the run
    (metrics/calibration.jsonl) for later reports.

    \b
    Example:
      rlopt ab-analyze results.csv --split 0.2
      rlopt ab-analyze results.csv --columns arm=variant,date=day
    """
    run = options.fitted_run(run_path)

    from rlopt.stages.ab.analyze import analyze_test

    analysis = analyze_test(run, results, **settings)
    show(analysis, analysis_text(analysis))


def analysis_text(analysis: "Analysis") -> str:
    """The analysis for a person."""
    found, prediction = analysis.outcome, analysis.prediction
    entries = [
        ("fixed horizon (one look, at the end)", found.lift, found.low, found.high),
        ("always valid (any number of looks)", found.lift, found.always_low, found.always_high),
    ]
    if prediction:
        entries.append(("offline-eval had said", prediction.lift, prediction.low, prediction.high))
    rows = [(name, percent(lift), f"{percent(low)} to {percent(high)}") for name, lift, low, high in entries]
    lines = [
        table((f"lift in {analysis.metric}", "", f"{found.confidence:.0%} interval"), rows),
        f"Control    {found.events_control:,.0f} of {found.impressions_control:,.0f} ({found.rate_control:.4%})",
        f"Treatment  {found.events_treated:,.0f} of {found.impressions_treated:,.0f} ({found.rate_treated:.4%})",
        f"Items      {found.n_items:,} ({found.effective_items:.0f} effective)",
        *split_lines(analysis),
        f"Decision   {DECISIONS[found.decision]}"
        + ("" if found.decision == "invalid" else f" ({found.decided_by} interval)"),
    ]
    if analysis.agrees is not None:
        word = "contradicts" if not analysis.agrees else "agrees with" if analysis.told_apart else "cannot be told from"
        lines.append(f"Offline    {word} the test (z = {analysis.difference_z:+.1f}); kept in the run")
    return "\n".join(lines)


def split_lines(analysis: "Analysis") -> list[str]:
    """What the split checks found, and how arms were compared."""
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
    if found.design == "items":
        lines.append("Design     whole items were split: compared between items")
    if found.removed_variance is not None and found.unadjusted_lift is not None:
        lines.append(
            f"Adjusted   by the items' logged rates, which removes {found.removed_variance:.0%} of the variance "
            f"(without: {found.unadjusted_lift:+.1%})"
        )
    return lines
