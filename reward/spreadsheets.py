"""Cells that a spreadsheet would take for a formula: guarded when CSV is written, freed when it is read.

A title such as ``=HYPERLINK(...)`` is run by whoever opens the file (OWASP, *CSV Injection*). Written, such a cell gets
an apostrophe before it; one that begins with apostrophes and such a character gets one more, so that reading takes off
just what was put there.
"""

import re

RISKY = r"=+\-@\t\r"  # of a regular expression's class
_RISKY_CELL = re.compile(rf"'*[{RISKY}]")
_GUARDED_CELL = re.compile(rf"'+[{RISKY}]")
GUARD, FREE = (rf"^('*[{RISKY}])", r"'\1"), (rf"^'('*[{RISKY}])", r"\1")  # pattern and replacement, for the engines


def guarded(cell: str) -> str:
    """The cell as text, whatever it begins with."""
    return f"'{cell}" if _RISKY_CELL.match(cell) else cell


def freed(cell: str) -> str:
    """Undo `guarded`."""
    return cell[1:] if _GUARDED_CELL.match(cell) else cell
