"""``rlopt ab-analyze``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show

EXIT_CODES = {"better": 0, "worse": 3, "undecided": 4, "invalid": 5}


@click.command("ab-analyze", cls=Configured)
@click.argument("results", metavar="RESULTS")
@from_config(
    "AbAnalyzeConfig", "metric", "guardrail", "design", "baseline", "control", "split", "planned_lift", "confidence",
    "final", "look", "carry_over", "winsorize", "covariate", "copies", "by", "lang",
    "policy",
)  # fmt: skip
@click.option(
    "--columns", metavar="NAME=COLUMN,...",
    help="If your columns have other names: arm=variant,item_id=sku. By default the names given to "
"fit-reward apply.",
)  # fmt: skip
@options.query
@click.option(
    "--decimal",
    type=click.Choice([".", ","]),
    help="Decimal mark of numbers written as text. [default: found from the column]",
)
@click.option(
    "--gate",
    is_flag=True,
    help="For pipelines: exit with 0 for better, 3 for worse, 4 for undecided, 5 for an invalid split.",
)
@click.option(
    "--export", metavar="FILE", type=click.Path(path_type=Path),
    help="Also write the results as long CSV for other experiment platforms: unit, variation, "
"time, metric, value.",
)  # fmt: skip
@click.option(
    "--plan",
    metavar="FILE",
    help="File that ab-plan --assign wrote: its settings apply, and every row is checked against it.",
)
@preset()
@options.in_run
@options.common
def command(
    results: str,
    columns: str | None,
    query: str | None,
    decimal: Any,
    plan: str | None,
    gate: bool,
    export: Path | None,
    config: Path | None,
    run_path: str,
    **flags: Any,
) -> None:
    """Analyse an A/B test, at any time, and compare it with the prediction of offline-eval.

    RESULTS is a table (parquet, CSV, JSONL, a workbook, or a database with --query) with arm (the control and at least
    one other), item_id, impressions, the metrics' columns, and optionally date and visitor. It writes ab/report.html
    and ab/report.json into the run.

    Arms are compared within each day and item, so a ramp-up or items with their own splits do not bias the result. If
    whole items were split, the logs narrow the interval; if an item showed one arm after the other, the levels of the
    days are removed. With the column visitor (the unit that was randomised), errors are by visitor; without it,
    impressions count as independent. Several variants have simultaneous limits, and the best is corrected for the
    winner's curse. The run keeps prediction and outcome (metrics/calibration.jsonl) for later reports.

    \b
    Example:
      rlopt ab-analyze results.csv --split 0.2
      rlopt ab-analyze results.csv --metric clicks --metric revenue --guardrail revenue:-0.02
      rlopt ab-analyze results.csv --columns arm=variant,date=day
    """
    from rlopt.config import AbAnalyzeConfig

    run = options.fitted_run(run_path)
    settings = options.settings(AbAnalyzeConfig, config, flags, run)
    options.there(results)

    from rlopt.cli.ab_text import analysis_text
    from rlopt.stages.ab.analyze import analyze_test

    analysis = analyze_test(
        run, results, settings, columns=columns, query=query, decimal=decimal, plan=plan, export=export
    )
    show(analysis, analysis_text(analysis))
    if gate:
        click.get_current_context().exit(EXIT_CODES[analysis.decision])
