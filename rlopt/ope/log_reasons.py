"""What the logs say for or against believing a lift: the log doctor's findings, and how titles were assigned.

The verdict has no opinion of its own about the logs: a finding's consequence is the doctor's (`reward.doctor`).
"""

from dataclasses import dataclass

from reward.doctor.examine import Finding
from reward.doctor.findings import Assignment

from .direct import LiftEstimate
from .reasons import Reason
from .sensitivity import e_value

_HOW = {
    "randomized": "Titles were shown at random within an item, as you say",
    "logged": "Titles were shown with logged propensities",
    "unknown": "How titles came to be shown is not known",
}


@dataclass(frozen=True)
class LogGrounds:
    """What the verdict hears of the logs.

    Parameters
    ----------
    assignment
        How titles came to be shown.
    findings
        The doctor's, of which those with the consequences "note" and "doubt" are told.
    """

    assignment: Assignment = "logged"
    findings: tuple[Finding, ...] = ()


def log_reasons(logs: LogGrounds, lift: LiftEstimate) -> list[Reason]:
    """The assignment with how strong an unseen cause must be to undo the lift, then the doctor's findings."""
    told = [finding for finding in logs.findings if finding.consequence in ("note", "doubt")]
    return [
        _assignment(logs.assignment, lift),
        *(
            Reason(f"logs_{finding.topic}", "doubt" if finding.consequence == "doubt" else "note", finding.message)
            for finding in told
        ),
    ]


def _assignment(assignment: Assignment, lift: LiftEstimate) -> Reason:
    if assignment != "unknown":
        return Reason("assignment", "note", f"{_HOW[assignment]}{_undone(lift)}.")
    message = (
        f"{_HOW[assignment]}, so titles that look better may just have been shown where people click more"
        f"{_undone(lift)}. Log propensities, or where they were shown at random say so: --assignment randomized."
    )
    return Reason("assignment", "doubt", message)


def _undone(lift: LiftEstimate) -> str:
    """How strong an unseen cause of both would have to be, for the lift and for the limit of its interval."""
    if lift.low <= 0:
        return ""
    return (
        f"; an unseen cause would undo the lift only if it made both showing such a title and clicking "
        f"{e_value(1 + lift.value):.2f} times as likely ({e_value(1 + lift.low):.2f} times to reach the interval's "
        "lower limit)"
    )
