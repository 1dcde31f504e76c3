"""``rlopt compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import percent, show, table
from rlopt.wording import counted

if TYPE_CHECKING:
    from rlopt.stages.compare import CompareResult


@click.command("compare", cls=Configured)
@from_config("CompareConfig", "samples", "best_of", "max_items")
@preset()
@options.in_run
@options.common
def command(config: Path | None, run_path: str, **flags: Any) -> None:
    """Compare SFT, PPO, its rivals and best-of-n by the judge, and by the truth in simulated shops.

    Compares all policies of the run (`rlopt ppo --algorithm grpo` trains a rival). Writes comparison.json and a figure
    of lift against KL to compare/ of the run.

    \b
    Example:
      rlopt compare --best-of 16
    """
    from rlopt.config import CompareConfig

    run = options.fitted_run(run_path)
    settings = options.settings(CompareConfig, config, flags, run)

    from rlopt.stages.common.rules import check_rules
    from rlopt.stages.compare import compare

    check_rules(run, config)
    result = compare(run, settings)
    show(result, as_table(result))


def as_table(result: "CompareResult") -> str:
    """The comparison for a person."""
    known = any(row.true_lift is not None for row in result.contenders)  # in simulated shops
    header = ("policy", "lift over SFT", "interval", *(["true lift"] if known else []), "KL", "faithful", "cost")
    rows = [
        (
            row.name,
            percent(row.lift),
            "-" if row.low is None or row.high is None else f"{100 * row.low:+.1f} to {100 * row.high:+.1f}",
            *([percent(row.true_lift)] if known else []),
            f"{row.kl:.2f}",
            "-" if row.faithfulness is None else f"{row.faithfulness:.1%}",
            str(row.titles_written),
        )
        for row in result.contenders
    ]
    title = f"On {counted(result.n_items, 'test item')}, by the judge; cost: titles written for one that is shown"
    return table(header, rows, title=title) + f"\nFigure  {result.folder}/lift_against_kl.svg"
