"""Version of rlopt that a kept result was measured with."""

import subprocess
from pathlib import Path


def commit() -> str:
    """Short name of the checked out commit, with a + where files differ from it; "unknown" outside a checkout."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
