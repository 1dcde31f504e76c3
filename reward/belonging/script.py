"""Scripts of titles: those of one script are calibrated together."""

from ..text import is_cjk

SCRIPTS = ("spaced", "CJK")


def script_of(text: str) -> str:
    """One of `SCRIPTS`."""
    return "CJK" if not text.isascii() and is_cjk(text) else "spaced"
