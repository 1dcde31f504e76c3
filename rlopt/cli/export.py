"""``rlopt export``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlopt.cli import options
from rlopt.cli.show import show, table

if TYPE_CHECKING:
    from rlopt.stages.export.stage import ExportResult


@click.command("export")
@click.option(
    "-o", "--output", "out", metavar="FOLDER", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option("--policy", metavar="NAME", help="ppo, sft, grpo or rloo of the run, or a policy folder.  [default: ppo]")
@click.option(
    "--quantize",
    type=click.Choice(["int8", "nf4"]),
    help="Weights in 8 bits (extra [int8]), or in 4 for GPUs (extra [nf4]).",
)
@click.option("--prune", type=float, metavar="SHARE", help="Take out this share of the neurons of each MLP.")
@click.option("--distill-into", type=click.Choice(["tiny"]), help="A tiny model learns the titles the policy writes.")
@click.option("--average", multiple=True, metavar="FOLDER", help="Average the weights with this policy's. Repeatable.")
@click.option("--titles", type=int, help="Titles an item it writes, to distil or to recover with.  [default: 8]")
@click.option("--epochs", type=float, help="Passes of the tiny model over these titles.  [default: 4.0]")
@click.option("--recover", type=float, metavar="EPOCHS", help="Passes of a pruned model over them.  [default: 0.0]")
@click.option("--learning-rate", type=float, help="Peak; by default 2e-3 for a tiny model, 1e-4 for a pretrained one.")
@click.option("--items", type=int, help="Train items to measure on, not to learn from.  [default: 200]")
@click.option("--samples", type=int, help="Titles an item to measure with.  [default: 4]")
@options.configured
@options.in_run
@options.common
def command(out: Path, config: Path | None, run_path: str, **flags: Any) -> None:
    """Make a policy smaller, or average several: a folder that plain transformers loads.

    Takes one of --quantize, --prune, --distill-into and --average, and shows size, speed and quality before and
    after. The run itself stays as it is.

    \b
    Example:
      rlopt export -o small --distill-into tiny
    """
    from rlopt.config import ExportConfig

    run = options.fitted_run(run_path)
    settings = options.settings(ExportConfig, config, {**flags, "average": flags["average"] or None}, run)

    from rlopt.stages.export.stage import export

    result = export(run, out, settings)
    show(result, as_table(result))


def as_table(result: "ExportResult") -> str:
    """Before and after for a person."""
    header = ("policy", "MB", "parameters", "titles/s", "reward", "faithful", "chrF", "KL")
    rows = [
        (
            row.name,
            f"{row.megabytes:.2f}",
            f"{row.parameters:,}",
            f"{row.titles_per_second:,.0f}" if row.titles_per_second >= 10 else f"{row.titles_per_second:.2g}",
            f"{row.reward.value:.4f}",
            "-" if row.faithfulness is None else f"{row.faithfulness.value:.1%}",
            f"{100 * row.chrf.value:.1f}",
            "-" if row.kl is None else f"{row.kl.value:.3f}",
        )
        for row in (result.before, result.after)
    ]
    title = f"On {result.items} train items that the export did not learn from; KL from the first, nats a title"
    return table(header, rows, title=title) + f"\n{result.how}\nFolder  {result.folder}"
