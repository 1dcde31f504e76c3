"""What ``rlopt fit-reward`` tells, of a fit and of an update."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlopt.run import DATA, FINDINGS, Run
from rlopt.stages.common.evidence import EVIDENCE, evidence_lines
from rlopt.stages.fit_reward.history import Entry
from rlopt.stages.fit_reward.update_decision import figure_lines
from rlopt.wording import counted


@dataclass(frozen=True)
class FitRewardResult:
    """What `fit_reward` left in the run.

    Parameters
    ----------
    items, arms, impressions
        Size of the logs.
    train, judge, test
        Items on each side of the split.
    warnings
        What the log doctor warns of.
    evidence
        How good the reward is on items it has not seen; empty where none were held out.
    """

    run: str
    items: int
    arms: int
    impressions: int
    train: int
    judge: int
    test: int
    warnings: tuple[str, ...]
    evidence: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> "FitRewardResult":
        """The result a finished stage left."""
        findings = json.loads((run / DATA / FINDINGS).read_text(encoding="utf-8"))
        splits = run.splits()
        return cls(
            run=str(run.path),
            items=findings["items"],
            arms=findings["arms"],
            impressions=findings["impressions"],
            train=len(splits.train),
            judge=len(splits.judge),
            test=len(splits.test),
            warnings=tuple(f["message"] for f in findings["findings"] if f["severity"] == "warning"),
            evidence=json.loads((run / "reward" / EVIDENCE).read_text(encoding="utf-8")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "warnings": list(self.warnings)}

    def to_text(self) -> str:
        """For a person."""
        lines = [
            f"{counted(self.items, 'item')} with {counted(self.arms, 'title')}, "
            f"{counted(self.impressions, 'impression')}: "
            f"{counted(self.train, 'item trains', 'items train')}, {self.judge:,} judge, {self.test:,} test.",
            *evidence_lines(self.evidence),
            f"Reward model: {self.run}/reward (card: README.md). Next: rlopt ppo --run {self.run}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class UpdateResult:
    """What an update came to.

    Parameters
    ----------
    run, logs
        The run and the new log.
    kept
        "new", "old", or "known" where the log was learned before and nothing was done.
    why
        The reason, in words.
    figures
        `reward.evidence.contest.Contest` as plain data; empty without a comparison.
    items, arms, impressions
        Size of the new log.
    """

    run: str
    logs: str
    kept: str
    why: str
    figures: dict[str, Any]
    items: int
    arms: int
    impressions: int

    @classmethod
    def of(cls, run: Run, logs: str | Path, line: Entry) -> "UpdateResult":
        """From the line of the history."""
        sizes = {name: int(line[name]) for name in ("items", "arms", "impressions")}
        return cls(str(run.path), str(logs), line["kept"], line["why"], line["figures"], **sizes)

    @classmethod
    def known(cls, run: Run, logs: str | Path, line: Entry) -> "UpdateResult":
        """Nothing was done."""
        why = f"the same rows were learned on {line['date'][:10]} from {line['logs']}"
        if line["event"] == "trial":
            why = f"an update with these rows was tried on {line['date'][:10]} and not kept (--force tries again)"
        sizes = {name: int(line.get(name, 0)) for name in ("items", "arms", "impressions")}
        return cls(str(run.path), str(logs), "known", why, {}, **sizes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    def to_text(self) -> str:
        """For a person."""
        if self.kept == "known":
            return f"Nothing to do: {self.why}."
        lines = [
            f"{self.logs}: {counted(self.items, 'item')} with {counted(self.arms, 'title')}, "
            f"{counted(self.impressions, 'impression')}."
        ]
        if self.figures:
            lines += figure_lines(self.figures)
        lines.append(f"Kept the {self.kept} model: {self.why}.")
        if self.kept == "new":
            lines.append(f"Later stages stand on the model before it. Next: rlopt ppo --run {self.run}")
        return "\n".join(lines)
