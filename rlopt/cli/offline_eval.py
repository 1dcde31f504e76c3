"""``rlopt offline-eval``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show

EXIT_CODES = {"launch": 0, "hold": 3, "insufficient-evidence": 4}


@click.command("offline-eval", cls=Configured)
@from_config(
    "EvalConfig",
    "policy",
    "baseline",
    "weight",
    "assignment",
    "samples",
    "draws",
    "min_lift",
    "support_share",
    "max_misleading",
    "by",
    "traffic",
    "lang",
)
@click.option(
    "--gate", is_flag=True, help="For pipelines: exit with 0 for launch, 3 for hold, 4 for insufficient evidence."
)
@click.option(
    "--trained-on", metavar="FILE|run|nothing",
    help="For a policy or titles from elsewhere: the clicks they learned from, which cannot be "
"evaluated. A file with item_id, run (this run's train items) or nothing.",
)  # fmt: skip
@options.reviews("Database of `rlopt review`: people's ratings of this policy's titles go into the report.")
@options.columns
@preset()
@options.in_run
@options.common
def command(
    reviews: str | None,
    columns: str | None,
    config: Path | None,
    run_path: str,
    gate: bool,
    trained_on: str | None,
    **flags: Any,
) -> None:
    """Estimate, before anyone sees the new titles, whether they would win: launch, hold, or insufficient evidence.

    Compares the PPO policy with the SFT policy and with the logged titles, on items that neither the reward nor PPO
    has seen. Writes eval/report.html, eval/report.json and eval/titles.parquet into the run. --policy evaluates other
    policies in the same way, or titles that people or another model wrote for the run's test items, into eval-NAME/.
    If interrupted, the same command keeps the titles written so far; if finished, it always re-evaluates.

    \b
    Example:
      rlopt offline-eval --min-lift 0.02 --by category --gate
      rlopt offline-eval --traffic 50000 --lang zh
      rlopt offline-eval --reviews titles.reviews.db --max-misleading 0.02
      rlopt offline-eval --policy agency.csv --trained-on nothing
    """
    from rlopt.config import EvalConfig

    run = options.fitted_run(run_path)
    settings = options.settings(EvalConfig, config, flags, run)

    from rlopt.stages.common.title_source import TitleSource

    TitleSource.find(run, settings.policy)  # reports a missing one before anything slow is loaded

    from rlopt.stages.common.rules import check_rules
    from rlopt.stages.offline_eval.stage import evaluate

    check_rules(run, config)
    result = evaluate(run, settings, trained_on=trained_on, columns=columns, reviews=reviews)
    show(result, result.to_text())
    if gate:
        click.get_current_context().exit(EXIT_CODES[result.report.verdict.decision])
