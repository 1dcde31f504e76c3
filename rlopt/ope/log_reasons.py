"""Reasons from the logs for or against believing a lift: the log doctor's findings, and how titles were assigned.

The verdict has no opinion of its own about the logs: a finding's consequence is the doctor's (`reward.doctor`).
"""

from dataclasses import dataclass

from reward.assignment import Assignment
from reward.doctor.examine import Finding

from .direct import LiftEstimate
from .reasons import Reason
from .sensitivity import bias_bound, e_value

_HOW = {
    "randomized": "Titles were shown at random within an item, as you say",
    "logged": "Titles were shown with logged propensities",
    "unknown": "Nobody knows how the logged titles were chosen",
}


@dataclass(frozen=True)
class LogGrounds:
    """Findings on the logs that the verdict takes into account.

    Parameters
    ----------
    assignment
        Assignment of titles to impressions.
    findings
        The doctor's findings; the verdict reports those with the consequences "note" and "doubt".
    unseen
        Strength of the unlogged confounder to allow for (`rlopt.ope.sensitivity.with_unseen_cause`); 1: none.
    """

    assignment: Assignment = "logged"
    findings: tuple[Finding, ...] = ()
    unseen: float = 1.0


def log_reasons(logs: LogGrounds, lift: LiftEstimate) -> list[Reason]:
    """The assignment with how strong an unlogged confounder must be to undo the lift, then the doctor's findings."""
    told = [finding for finding in logs.findings if finding.consequence in ("note", "doubt")]
    return [
        _assignment(logs.assignment, lift),
        *_unseen(logs.unseen),
        *(
            Reason(f"logs_{finding.kind}", "doubt" if finding.consequence == "doubt" else "note", finding.message)
            for finding in told
        ),
    ]


def _unseen(strength: float) -> list[Reason]:
    if strength <= 1:
        return []
    message = (
        f"Intervals allow for an unlogged confounder that makes the showing of a title, and clicks, {strength:g} "
        f"times as likely: each limit moves out by {bias_bound(strength) - 1:.0%}."
    )
    return [Reason("unseen_cause", "note", message, strength)]


def _assignment(assignment: Assignment, lift: LiftEstimate) -> Reason:
    """State how titles were assigned; the figures are the E-values of the lift and of its limit."""
    figures = (e_value(1 + lift.value), e_value(1 + lift.low)) if lift.low > 0 else (None, None)
    undone = ""
    if lift.low > 0:
        undone = (
            f"; an unlogged confounder would undo the lift only if it made both the showing of such a title and clicks "
            f"{figures[0]:.2f} times as likely ({figures[1]:.2f} times to reach the interval's lower limit)"
        )
    if assignment != "unknown":
        return Reason(f"assignment_{assignment}", "note", f"{_HOW[assignment]}{undone}.", *figures)
    message = (
        f"{_HOW[assignment]}, so titles that look better may only have been shown where people click more{undone}. "
        "Log propensities; if titles were shown at random, say so: --assignment randomized."
    )
    return Reason("assignment_unknown", "doubt", message, *figures)
