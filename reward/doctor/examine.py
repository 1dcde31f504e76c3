"""The log doctor: what these logs hold, what they can teach and what they cannot, in plain words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ..assignment import Assignment
from ..errors import LogError
from ..logs.balance import Balance
from ..logs.periods import alone_share
from ..logs.read import LogData
from ..logs.splits import title_groups
from ..plain import Plain
from ..text import same_text_key
from .assignment import circumstances, evaluation
from .diagnosis import (
    SampleRatio,
    TitleProblem,
    TitleSpread,
    sample_ratio,
    title_problems,
    title_spread,
    weighted_sample_ratio,
)
from .findings import (
    USUAL,
    Consequence,
    Facts,
    Lines,
    Severity,
    context,
    conversions,
    positions,
    reading,
    reward,
    sides,
    time,
    titles,
)

__all__ = ["Finding", "LogReport", "examine"]


@dataclass(frozen=True)
class Finding:
    """One line of the report: ``stop`` means that a model fitted on these logs would be meaningless.

    ``consequence`` is what it does to the verdict, see `reward.doctor.findings.Consequence`; where that is something,
    ``kind`` names it for programs.
    """

    severity: Severity
    topic: str
    message: str
    consequence: Consequence = "none"
    kind: str = ""


@dataclass(frozen=True)
class LogReport(Plain):
    """Report of the log doctor.

    Parameters
    ----------
    rows, impressions, clicks, conversions
        Totals of the logs; conversions is None where none are logged.
    items, arms, items_with_choice
        Items, (item, title) pairs, and items with two titles or more.
    arms_per_item
        Mean number of titles of an item.
    ctr, cvr, corrected_cvr
        Clicks per impression, conversions per click, and the latter corrected for conversions still to come.
    propensity_share, position_share, timestamp_share
        Shares of the impressions with a value.
    first_timestamp, last_timestamp
        ISO dates, None without timestamps.
    alone_share
        Share of the impressions in times when no other title of the item was shown, None where that is not known.
    shared_titles, largest_tied_share
        Title texts that belong to several items, and the share of items in the largest group tied by such titles.
    sample_ratio, title_spread, title_problems, overdispersion
        See `reward.doctor.diagnosis` and `LogData`.
    positions
        Position -> relative examination.
    median_delay_hours
        Median delay of a conversion, None where it is not known.
    context_columns, dropped_columns
        Fields of the items, and columns that are none with the reason.
    findings
        All of it in plain words.
    assignment
        Assignment of titles to impressions, see `reward.assignment`.
    balances
        Balance test of each column: were an item's titles shown in similar circumstances.
    """

    source: str
    rows: int
    impressions: int
    clicks: int
    conversions: int | None
    items: int
    arms: int
    items_with_choice: int
    arms_per_item: float
    ctr: float
    cvr: float | None
    corrected_cvr: float | None
    propensity_share: float
    position_share: float
    timestamp_share: float
    first_timestamp: str | None
    last_timestamp: str | None
    alone_share: float | None
    shared_titles: int
    largest_tied_share: float
    sample_ratio: SampleRatio
    title_spread: TitleSpread | None
    title_problems: tuple[TitleProblem, ...]
    overdispersion: float | None
    positions: dict[int, float]
    median_delay_hours: float | None
    context_columns: tuple[str, ...]
    dropped_columns: dict[str, str]
    findings: tuple[Finding, ...]
    assignment: Assignment = "unknown"
    balances: tuple[Balance, ...] = ()

    @property
    def days(self) -> str | None:
        """First and last day and the time zone, None without timestamps."""
        if self.first_timestamp is None or self.last_timestamp is None:
            return None
        return f"{self.first_timestamp[:10]} to {self.last_timestamp[:10]} (UTC)"

    @property
    def stops(self) -> tuple[Finding, ...]:
        """Findings that make any model of these logs meaningless."""
        return tuple(finding for finding in self.findings if finding.severity == "stop")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages of the warnings."""
        return tuple(finding.message for finding in self.findings if finding.severity == "warning")


def examine(
    logs: LogData,
    *,
    judge_share: float = 0.2,
    test_share: float = 0.2,
    assignment: Assignment | None = None,
    conversions_complete: bool = False,
    observational: bool = False,
) -> LogReport:
    """Examine logs that `reward.logs.read.read_logs` has read.

    Parameters
    ----------
    logs
        The logs; values that the schema forbids have been refused while reading.
    judge_share, test_share
        Shares that the items will be split by (`reward.logs.splits`): too few items for them is a ``stop``.
    assignment
        Assignment of titles to impressions; None: logged where propensities are, else unknown.
    conversions_complete
        True if all conversions of these clicks have come in.
    observational
        True if titles of different items are compared (`reward.model.alike`): a doubt where they are, and no longer a
        ``stop`` where no item has two.

    Raises
    ------
    SplitError
        If a share is not in [0, 1).
    LogError
        If the assignment is declared as logged, and the logs hold no propensities.
    """
    facts = _facts(
        logs, _assignment(logs, assignment), conversions_complete=conversions_complete, observational=observational
    )
    topics = (reading, reward, evaluation, circumstances, conversions, positions, time, titles, context)
    findings = [*_lines(logs, facts, topics)]
    findings += [Finding(*line, "stop") for line in sides(logs.arms, judge_share, test_share)]
    order = {"stop": 0, "warning": 1, "ok": 2}
    totals, arms = logs.totals, logs.arms
    logged = arms.conversions is not None
    return LogReport(
        source=logs.source,
        rows=totals.rows,
        impressions=totals.impressions,
        clicks=totals.clicks,
        conversions=int(arms.conversions.sum()) if arms.conversions is not None else None,
        items=len(arms.items),
        arms=len(arms),
        items_with_choice=facts.items_with_choice,
        arms_per_item=len(arms) / len(arms.items),
        ctr=totals.clicks / totals.impressions,
        cvr=facts.cvr if logged else None,
        corrected_cvr=facts.corrected_cvr if logged else None,
        propensity_share=totals.propensity_impressions / totals.impressions,
        position_share=totals.position_impressions / totals.impressions,
        timestamp_share=totals.timestamp_impressions / totals.impressions,
        first_timestamp=_iso(totals.first_timestamp),
        last_timestamp=_iso(totals.last_timestamp),
        alone_share=facts.alone_share,
        shared_titles=facts.shared_titles,
        largest_tied_share=facts.largest_tied_share,
        sample_ratio=facts.sample_ratio,
        title_spread=facts.title_spread,
        title_problems=facts.title_problems,
        overdispersion=logs.overdispersion,
        positions=_positions(logs),
        median_delay_hours=logs.delay.median_hours if logs.delay else None,
        context_columns=logs.context_columns,
        dropped_columns=dict(logs.dropped_columns),
        findings=tuple(sorted(findings, key=lambda finding: order[finding.severity])),
        assignment=facts.assignment,
        balances=logs.balances,
    )


def _assignment(logs: LogData, said: Assignment | None) -> Assignment:
    logged = logs.arms.propensity_logged
    if said == "logged" and not logged:
        share = logs.totals.propensity_impressions / logs.totals.impressions
        raise LogError(
            f"{logs.source} is declared to hold propensities (--assignment logged), but {share:.0%} of its "
            "impressions have a propensity (99% needed). Map the column with --columns propensity=COLUMN, or say "
            "--assignment randomized or unknown."
        )
    return said or ("logged" if logged else "unknown")


def _lines(logs: LogData, facts: Facts, topics: Sequence[Callable[[LogData, Facts], Lines]]) -> Iterator[Finding]:
    for topic in topics:
        for severity, message, *told in topic(logs, facts):
            yield Finding(severity, topic.__name__, message, *(told or (USUAL[severity],)))


def _facts(logs: LogData, assignment: Assignment, *, conversions_complete: bool, observational: bool) -> Facts:
    arms = logs.arms
    count = np.bincount(arms.item_index, minlength=len(arms.items))
    owners: dict[str, set[int]] = {}
    for item, title in zip(arms.item_index.tolist(), arms.title, strict=True):
        owners.setdefault(same_text_key(title), set()).add(item)
    conversions = 0.0 if arms.conversions is None else float(arms.conversions.sum())
    matured = 0.0 if arms.matured_clicks is None else float(arms.matured_clicks.sum())
    clicks = float(arms.clicks.sum())
    return Facts(
        items_with_choice=int(np.count_nonzero(count >= 2)),
        alone_share=alone_share(arms),
        shared_titles=sum(len(items) > 1 for items in owners.values()),
        largest_tied_share=float(np.bincount(title_groups(arms)).max() / len(arms.items)),
        sample_ratio=_sample_ratio(logs),
        title_spread=title_spread(arms, max(1.0, logs.overdispersion or 1.0)),
        title_problems=title_problems(arms.title),
        cvr=conversions / clicks if clicks else None,
        corrected_cvr=conversions / matured if matured else None,
        assignment=assignment,
        conversions_complete=conversions_complete,
        observational=observational,
    )


def _sample_ratio(logs: LogData) -> SampleRatio:
    if logs.weighted is not None:
        return weighted_sample_ratio(logs.arms, logs.weighted)
    return sample_ratio(logs.arms, logs.variants)


def _positions(logs: LogData) -> dict[int, float]:
    if logs.position_bias is None:
        return {}
    bias = logs.position_bias
    return dict(zip(bias.position.tolist(), bias.theta.tolist(), strict=True))


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # beyond the years 1 to 9999
        return None
