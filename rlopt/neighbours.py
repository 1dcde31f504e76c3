"""Checks that the packages ``reward`` and ``envs`` are those that come with rlopt, before anything imports them.

Their names are not rare: a script called reward.py in the working directory, or another installed package, is found
first where it stands earlier on Python's path. It is not imported to find that out.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("reward", "envs")
MARK = "OF_RLOPT"  # defined by each of them, and by no foreign package installed over it


def stranger() -> str | None:
    """One line on the first of the packages that is another project's, None where all are rlopt's own."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        expected = home / name / "__init__.py"
        found = _origin(name)
        if found is None or not expected.exists():
            return f"The package '{name}' that belongs to rlopt is missing from {home}. Install rlopt again."
        if found != str(expected) and Path(found).resolve() != expected:
            return (
                f"{found} hides the package '{name}' that belongs to rlopt ({expected.parent}). Rename that file or "
                "folder, or start the command rlopt from another one."
            )
        if MARK not in expected.read_text(encoding="utf-8", errors="replace"):
            return (
                f"{expected} is another project's package '{name}', installed over the one that belongs to rlopt. Keep "
                "the two in environments of their own."
            )
    return None


def check() -> None:
    """Refuse to go on with a foreign package.

    Raises
    ------
    ImportError
        With one line that names the file found. A command ends with that line instead.
    """
    line = stranger()
    if line is None:
        return
    if Path(sys.argv[0] if sys.argv else "").name in ("-m", "rlopt", "rlopt.exe"):
        raise SystemExit(f"Error: {line}")
    raise ImportError(line)


def _origin(name: str) -> str | None:
    """File that ``import name`` would load, or has loaded."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or []), None)
