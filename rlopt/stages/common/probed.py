"""Result of ``rlopt probe``, and what it left in the run."""

from dataclasses import dataclass

from reward.plain import Plain
from rlopt.report.attacks import AttackFigures, SwapFigures
from rlopt.run import Run

PROBE = "probe"  # the stage, its folder and its file
_AGAIN = "Run rlopt probe again."


@dataclass(frozen=True)
class ProbeResult(Plain):
    """Attacks on the run, those that work and those that fail.

    Parameters
    ----------
    folder
        Folder with the attacked titles: titles.parquet, with the scores of each.
    items
        Test items whose titles were attacked.
    belonging
        True if the run can tell if titles belong to their items.
    attacks
        Figures of each attack, logged titles as they are first.
    policy, written
        A policy of the run, and its titles for items with words swapped; None and empty where there is none, or
        no test item holds such words.
    """

    folder: str
    items: int
    belonging: bool
    attacks: tuple[AttackFigures, ...]
    policy: str | None = None
    written: tuple[SwapFigures, ...] = ()

    @property
    def open(self) -> list[str]:
        """Names of the attacks that fool the run."""
        return [one.attack for one in self.attacks if one.verdict == "open"]


def probed(run: Run) -> tuple[AttackFigures, ...]:
    """The figures of the run's last probe; none where it was not probed since it was fitted.

    Raises
    ------
    SavedError
        If they are damaged.
    """
    file = run / PROBE / f"{PROBE}.json"
    return ProbeResult.read(file, _AGAIN).attacks if run.done(PROBE) and file.is_file() else ()
