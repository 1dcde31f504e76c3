"""The log doctor's report as ``fit-reward`` keeps it."""

from pathlib import Path

from reward.doctor.examine import LogReport
from reward.saved import read_text
from rlopt.run import FINDINGS


def read_report(data: Path) -> LogReport:
    """What the log doctor found, from ``data/`` of a run or from a checkpoint of ``fit-reward``.

    Raises
    ------
    DataError
        When the file is damaged.
    """
    path = data / FINDINGS
    return LogReport.from_json(read_text(path), path)
