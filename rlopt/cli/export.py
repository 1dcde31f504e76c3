"""``rlopt export``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show, table

if TYPE_CHECKING:
    from rlopt.stages.export.stage import ExportResult


@click.command("export", cls=Configured)
@click.option(
    "-o", "--output", "out", metavar="FOLDER", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@from_config(
    "ExportConfig", "policy", "quantize", "prune", "distill_into", "average", "titles", "epochs", "recover",
    "learning_rate", "items", "samples",
)  # fmt: skip
@preset()
@options.in_run
@options.common
def command(out: Path, config: Path | None, run_path: str, **flags: Any) -> None:
    """Make a policy smaller, or average several, into a folder that plain transformers loads.

    Takes one of --quantize, --prune, --distill-into and --average, and shows size, speed and quality before and after.
    The run itself does not change.

    \b
    Example:
      rlopt export -o small --distill-into tiny
    """
    from rlopt.config import ExportConfig

    run = options.fitted_run(run_path)
    settings = options.settings(ExportConfig, config, flags, run)

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
    title = f"On {result.items} train items that the export did not learn from; KL from the first, nats per title"
    return table(header, rows, title=title) + f"\n{result.how}\nFolder  {result.folder}"
