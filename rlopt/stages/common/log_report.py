"""The log doctor's report as ``fit-reward`` keeps it."""

from pathlib import Path

from reward.doctor.examine import LogReport
from rlopt.run import FINDINGS


def read_report(data: Path) -> LogReport:
    """Read the log doctor's report from ``data/`` of a run or from a checkpoint of ``fit-reward``.

    Raises
    ------
    SavedError
        If the file is damaged.
    """
    return LogReport.read(data / FINDINGS)
