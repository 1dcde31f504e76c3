"""Result of a training by ``rlopt ppo``, and the figures beside its bar."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from reward.plain import Plain
from rlopt.algorithms import ALGORITHMS, DEFAULT
from rlopt.progress import ProgressBar
from rlopt.run import Run
from rlopt.stages.common.trainings import LAST_STEPS

SHOWN = {
    "objective/predicted_lift": "lift",
    "objective/kl": "kl",
    "val/explained_variance": "explained",
    "constraints/violated": "violations",
}
SIGNED, SHARES = ("lift",), ("explained", "violations")  # figures shown in percent


@dataclass(frozen=True)
class PpoResult(Plain):
    """Outcome of the training.

    Parameters
    ----------
    folder
        The policy's.
    steps
        The update after which the policy is as it was kept.
    predicted_lift
        By the reward model, over the items' logged titles, 0.05 is +5%; this and the following are means over the
        last updates before ``steps``, of the titles that were sampled in them, and None where they are not known.
    monitor_lift
        The same by the monitor.
    kl
        To the SFT policy, nats per title.
    violations
        Share of the titles that break a rule.
    explained_variance
        Share of the returns' variance that the critic explains; 1 is all of it.
    promises
        Share of the titles that promise what nothing of their item bears out.
    earlier_items, earlier_lift_before, earlier_lift_after, earlier_kl_before, earlier_kl_after
        Of an update: earlier items that were looked at, the predicted lift of the titles that the policy writes for
        them before and after, and its KL to the SFT policy there; None of other trainings.
    updates
        Number of updates made; more than ``steps`` where the monitor had passed its peak.
    averaged
        Updates that the means are over.
    """

    folder: Path
    steps: int
    predicted_lift: float | None
    monitor_lift: float | None
    kl: float | None
    violations: float | None
    explained_variance: float | None
    updates: int | None = None
    averaged: int | None = None
    promises: float | None = None
    earlier_items: int | None = None
    earlier_lift_before: float | None = None
    earlier_lift_after: float | None = None
    earlier_kl_before: float | None = None
    earlier_kl_after: float | None = None

    @classmethod
    def of(cls, run: Run, algorithm: str) -> "PpoResult":
        """The result a finished training left.

        Raises
        ------
        StageOrderError
            If it is not done.
        """
        notes = run.record(algorithm)["notes"]
        known = [field.name for field in fields(cls) if field.name in notes or field.default is MISSING]
        return cls(run / algorithm, **{name: notes.get(name) for name in known if name != "folder"})

    @classmethod
    def measured(cls, folder: Path, kept_step: int, rows: Sequence[Mapping[str, Any]]) -> "PpoResult":
        """The result of a training: its figures from ``rows``, the metrics of its updates."""
        last = [row for row in rows if row["step"] <= kept_step][-LAST_STEPS:]

        def mean(name: str) -> float | None:
            values = [row[name] for row in last if name in row]
            return float(np.mean(values)) if values else None

        return cls(
            folder,
            kept_step,
            mean("objective/predicted_lift"),
            mean("monitor/lift"),
            mean("objective/kl"),
            mean("constraints/violated"),
            mean("val/explained_variance"),
            updates=max((row["step"] for row in rows), default=kept_step),
            averaged=len(last),
            promises=mean("constraints/promise"),
        )

    def to_text(self) -> str:
        """Text for a person: which policy was kept, its results, and the next command."""
        name, run = self.folder.name, self.folder.parent
        kl = None if self.kl is None else f"{self.kl:.2f}"
        what = [
            ("predicted lift", _percent(self.predicted_lift, "+"), "over the logged titles, by its own reward model"),
            ("monitor's lift", _percent(self.monitor_lift, "+"), "the same by a reward model of other items"),
            ("KL", kl, "nats per title from the SFT policy"),
            ("rules broken", _percent(self.violations), "of the titles"),
            ("promises", _percent(self.promises), "of the titles make a promise that nothing bears out"),
            ("critic", _percent(self.explained_variance), "of the variance of titles' rewards is explained"),
        ]
        rows = [(label, value, meaning) for label, value, meaning in what if value is not None]
        width = max((len(value) for _, value, _ in rows), default=0)
        lines = [self._kept()]
        if rows:
            over = (
                "In it" if self.averaged == 1 else f"Means over the last {self.averaged or LAST_STEPS} updates up to it"
            )
            lines.append(f"{over}, of titles as they were sampled:")
        lines += [f"  {label:<14}  {value:>{width}}  {meaning}" for label, value, meaning in rows]
        lines += self._forgetting()
        of_whom = "" if name == DEFAULT.name else f" --policy {name}"
        lines.append(f"Policy: {self.folder} (card: README.md). Next: rlopt offline-eval{of_whom} --run {run}")
        return "\n".join(lines)

    def _forgetting(self) -> list[str]:
        """Effect of an update on earlier items, before and after."""
        if self.earlier_items is None or self.earlier_kl_before is None or self.earlier_kl_after is None:
            return []
        before, after = (_percent(lift, "+") for lift in (self.earlier_lift_before, self.earlier_lift_after))
        return [
            f"On {self.earlier_items:,} earlier items, before and after: predicted lift {before} and {after}, KL "
            f"{self.earlier_kl_before:.2f} and {self.earlier_kl_after:.2f} nats from the SFT policy."
        ]

    def _kept(self) -> str:
        name = ALGORITHMS[self.folder.name].label
        if self.updates is None or self.updates <= self.steps:
            return f"{name}: kept the policy of the last update, {self.steps:,}."
        return f"{name}: kept the policy of update {self.steps:,} of {self.updates:,}, where the monitor stood highest."


def _percent(share: float | None, sign: str = "") -> str | None:
    return None if share is None else f"{100 * share:{sign}.1f}%"


@dataclass(frozen=True)
class InPercent:
    """A bar that shows lifts and shares in percent."""

    bar: ProgressBar

    def update(self, n: float = 1, **numbers: float | str) -> None:
        """Move on by ``n``."""
        self.bar.update(n, **self._told(numbers))

    def set(self, done: float, **numbers: float | str) -> None:
        """Move to ``done``."""
        self.bar.set(done, **self._told(numbers))

    def _told(self, numbers: dict[str, float | str]) -> dict[str, float | str]:
        signs = dict.fromkeys(SIGNED, "+") | dict.fromkeys(SHARES, "")
        return {
            name: f"{100 * value:{signs[name]}.1f}%" if name in signs and not isinstance(value, str) else value
            for name, value in numbers.items()
        }
