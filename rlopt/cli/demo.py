"""``rlopt demo``."""

from typing import TYPE_CHECKING, Any

import click

from reward.seeds import MAX_SEED
from rlopt.cli import options
from rlopt.cli.show import percent, show, table

if TYPE_CHECKING:
    from rlopt.stages.demo import DemoResult


@click.command("demo")
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    show_default=True,
    help="Seed of everything random: another seed simulates another shop.",
)
@click.option(
    "--locale", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of the shop."
)
@click.option("--run", "run_path", metavar="DIR", help="Run directory for this demo. [default: runs/demo-LOCALE-SEED]")
@click.option("--quick", is_flag=True, help="A toy: a small shop and short trainings, about a minute in all.")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="PPO updates, the length of the training. [default: those of the preset]",
)
@options.common
def command(run_path: str | None, **flags: Any) -> None:
    """Simulate a shop, run the whole chain on its logs, and compare the verdict with the truth.

    Takes a few minutes on two cores. If interrupted, the same command continues.

    \b
    Example:
      rlopt demo --seed 1 --locale zh
    """
    from rlopt.stages.demo import demo

    result = demo(run_path, **flags)
    show(result, last_screen(result))


def last_screen(result: "DemoResult") -> str:
    """The demo's last screen."""
    rows = [
        (
            f"over {name}",
            percent(lift.estimated),
            f"{percent(lift.low)} to {percent(lift.high)}",
            percent(lift.true),
            "yes" if lift.covered else "no",
        )
        for name, lift in (("the SFT policy", result.over_sft), ("the logged titles", result.over_logged))
    ]
    header = ("lift of the PPO policy", "estimated", "95% interval", "true", "true in interval")
    seconds = "  ".join(f"{stage} {spent:.0f}" for stage, spent in result.seconds.items())
    return "\n".join(
        [
            table(header, rows, title="On test items, of which the reward model and the policies know nothing"),
            f"Faithful titles   {result.faithfulness:.1%} (SFT policy: {result.sft_faithfulness:.1%})",
            f"Broken promises   {result.broken_promises['ppo']:.1%} of the titles (SFT policy: "
            f"{result.broken_promises['sft']:.1%}, logged: {result.broken_promises['logged']:.1%})",
            f"KL to SFT policy  {result.kl:.2f} nats per title",
            f"Verdict           {result.headline}",
            *(["                  of a toy: it shows that the chain works, not how well"] if result.toy else []),
            f"Seconds           {seconds}  (total {sum(result.seconds.values()):.0f})",
            f"Report            {result.run}/eval/report.html",
        ]
    )
