"""Results of ``rlopt fit-reward``, of a fit and of an update."""

from dataclasses import dataclass

from reward.evidence.contest import Contest
from reward.logs.sources.local import LocalSource
from reward.plain import JsonObject, Plain, plain
from rlopt.run import DATA, Run
from rlopt.stages.common.evidence import EVIDENCE, FitEvidence, evidence_lines, read_evidence
from rlopt.stages.common.log_report import read_report
from rlopt.stages.fit_reward.history import Entry, UpdateOutcome
from rlopt.stages.fit_reward.update_decision import contest_lines
from rlopt.wording import counted, joined_lines

UNMEASURED = (
    "Held-out items had one title each, so nobody knows how good this reward is. rlopt explore plans which "
    "titles to show to find out."
)


@dataclass(frozen=True)
class FitRewardResult(Plain):
    """Result of `fit_reward`.

    Parameters
    ----------
    items, arms, impressions
        Size of the logs.
    train, judge, test
        Items on each side of the split.
    warnings
        Warnings of the log doctor.
    evidence
        Evidence on the reward on unseen items; None (in JSON an empty object) where none were held out.
    days
        First and last day of the logs and the time zone; None without timestamps.
    observational
        True if titles of different items were compared.
    """

    run: str
    items: int
    arms: int
    impressions: int
    train: int
    judge: int
    test: int
    warnings: tuple[str, ...]
    evidence: FitEvidence | None
    days: str | None
    observational: bool

    @classmethod
    def of(cls, run: Run) -> "FitRewardResult":
        """The result a finished stage left."""
        report = read_report(run / DATA)
        splits = run.splits()
        return cls(
            run=str(run.path),
            items=report.items,
            arms=report.arms,
            impressions=report.impressions,
            train=len(splits.train),
            judge=len(splits.judge),
            test=len(splits.test),
            warnings=report.warnings,
            evidence=read_evidence(run / "reward" / EVIDENCE),
            days=report.days,
            observational=bool(run.record("fit-reward")["config"].get("observational")),
        )

    def to_dict(self) -> JsonObject:
        """Plain JSON data."""
        return {**super().to_dict(), "evidence": plain(self.evidence or {})}

    def to_text(self) -> str:
        """Text for a person."""
        blind = self.observational and self.evidence is None
        evidence = [UNMEASURED] if blind else evidence_lines(self.evidence)
        kind = " (observational)" if self.observational else ""
        lines = [
            f"{counted(self.items, 'item')} with {counted(self.arms, 'title')}, "
            f"{counted(self.impressions, 'impression')}{f', {self.days}' if self.days else ''}: "
            f"{counted(self.train, 'item trains', 'items train')}, {self.judge:,} judge, {self.test:,} test.",
            *evidence,
            f"Reward model{kind}: {self.run}/reward (card: README.md). Next: rlopt ppo --run {self.run}",
        ]
        return joined_lines(lines)


@dataclass(frozen=True)
class UpdateResult(Plain):
    """Result of an update.

    Parameters
    ----------
    run, logs
        The run and the new log.
    kept
        "new", "old", or "known" where the log was learned before and nothing was done.
    why
        The reason, in words.
    figures
        Figures of the comparison; None (in JSON an empty object) without one.
    items, arms, impressions
        Size of the new log.
    """

    run: str
    logs: str
    kept: str
    why: str
    figures: Contest | None
    items: int
    arms: int
    impressions: int

    @classmethod
    def of(cls, run: Run, logs: LocalSource, line: Entry, outcome: UpdateOutcome) -> "UpdateResult":
        """From the line of the history."""
        return cls(
            str(run.path),
            str(logs),
            outcome.kept,
            outcome.why,
            outcome.figures,
            items=line.items,
            arms=line.arms,
            impressions=line.impressions,
        )

    @classmethod
    def known(cls, run: Run, logs: LocalSource, line: Entry) -> "UpdateResult":
        """Result of an update that did nothing."""
        why = f"the same rows were learned on {line.date[:10]} from {line.logs}"
        if line.event == "trial":
            why = f"an update with these rows was tried on {line.date[:10]} and not kept (--force tries again)"
        return cls.of(run, logs, line, UpdateOutcome("known", why, None))

    def to_dict(self) -> JsonObject:
        """Plain JSON data."""
        return {**super().to_dict(), "figures": plain(self.figures or {})}

    def to_text(self) -> str:
        """Text for a person."""
        if self.kept == "known":
            return f"Nothing to do: {self.why}."
        lines = [
            f"{self.logs}: {counted(self.items, 'item')} with {counted(self.arms, 'title')}, "
            f"{counted(self.impressions, 'impression')}."
        ]
        if self.figures is not None:
            lines += contest_lines(self.figures)
        lines.append(f"Kept the {self.kept} model: {self.why}.")
        if self.kept == "new":
            lines.append(
                f"Later stages used the previous model. Next: rlopt ppo --run {self.run}, with --update to go on "
                "from the last policy"
            )
        return joined_lines(lines)
