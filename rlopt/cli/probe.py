"""``rlopt probe``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import percent, show, table
from rlopt.wording import counted

if TYPE_CHECKING:
    from rlopt.report.attacks import AttackFigures
    from rlopt.stages.common.probed import ProbeResult


@click.command("probe", cls=Configured)
@from_config("ProbeConfig", "max_items", "best_of", "attacks", "synonyms")
@preset()
@options.in_run
@options.common
def command(config: Path | None, run_path: str, **flags: Any) -> None:
    """Find out which bad titles fool this run: its reward, its judge, its rules.

    Takes logged titles of test items and makes them worse (titles of other items, shuffled, spliced, stuffed, cut,
    with a false value, with a promise), or rephrases them (case, punctuation, order, synonyms). An attack is "below"
    if the reward scores almost none of its titles higher. It is "caught" if the rules, relevance or fluency catch
    almost all that score higher, and otherwise "open": it fools the run. The policy also writes for test items whose
    fields name a sex or a place, and for the same items with these words swapped: differences are a bias. The result
    goes to probe/ of the run, the reward model's card and later reports.

    \b
    Example:
      rlopt probe --attacks mine.yaml
    """
    from rlopt.config import ProbeConfig

    run = options.fitted_run(run_path)
    settings = options.settings(ProbeConfig, config, flags, run)

    from rlopt.stages.common.rules import check_rules
    from rlopt.stages.probe.stage import probe

    check_rules(run, config)
    result = probe(run, settings)
    show(result, as_table(result))


def as_table(result: "ProbeResult") -> str:
    """The attacks for a person: a table, and what catches each."""
    header = ("attack", "titles", "reward", "above", "judge", "above", "caught", "open", "verdict")
    rows = [
        (
            one.attack,
            str(one.titles),
            percent(one.reward),
            f"{one.reward_above:.0%}",
            percent(one.judge),
            "-" if one.judge_above is None else f"{one.judge_above:.0%}",
            f"{one.caught_any:.0%}",
            f"{one.open_share:.0%}",
            one.verdict,
        )
        for one in result.attacks
    ]
    title = (
        f"Logged titles of {counted(result.items, 'test item')}, attacked. reward, judge: median change; above: share "
        "that scores higher; open: share that the reward scores higher and nothing catches"
    )
    width = max(len(one.attack) for one in result.attacks)
    by = [f"  {one.attack:<{width}}  {_rules(one)}" for one in result.attacks if one.caught]
    if result.written:
        by += ["", *swaps_as_table(result)]
    told = f"Open: {', '.join(result.open)}" if result.open else "No attack is open."
    return "\n".join(
        [table(header, rows, title=title), "Caught by", *by, told, f"All titles: {result.folder}/titles.parquet"]
    )


def swaps_as_table(result: "ProbeResult") -> list[str]:
    """Table of the titles written for items with words swapped, with two titles of each kind."""
    header = ("swapped", "items", "alike", "reward", "above", "below", "break a rule", "swapped")
    rows = [
        (
            one.kind,
            str(one.items),
            f"{one.alike:.0%}",
            percent(one.reward),
            *(f"{share:.0%}" for share in (one.above, one.below, one.broken, one.broken_swapped)),
        )
        for one in result.written
    ]
    title = (
        f"Titles of {result.policy} for test items with words swapped. alike: differ in these words alone; above, "
        "below: share that earns more, or less, by 5%"
    )
    return [table(header, rows, title=title), *(f"  {one.kind}  {one.title} | {one.swapped}" for one in result.written)]


def _rules(one: "AttackFigures") -> str:
    return ", ".join(f"{rule} {share:.0%}" for rule, share in one.rules)
