"""Folder of the real data: `shared/data` beside the repository, or the folder that RLOPT_SHARED_DATA names."""

import os
from pathlib import Path

DATA = Path(os.environ.get("RLOPT_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
