"""Blanks at the ends of texts, in SQL: only texts that begin or end with one are trimmed, which is slow."""

_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # left behind by copying from web pages and chats
BLANKS = "".join(character for character in map(chr, range(0x3001)) if character.isspace()) + _INVISIBLE
"""Every white space of Unicode, as `str.strip` takes it: tabs, line breaks, no-break and ideographic spaces too; and
characters without width, such as direction marks."""
_CODES = ", ".join(str(ord(character)) for character in BLANKS)


def stripped(text: str) -> str:
    """Strip ``text`` in Python as `trimmed` does in SQL."""
    return text.strip(BLANKS)


def trimmed(text: str) -> str:
    """SQL of the text that the expression ``text`` gives, without blanks at its ends."""
    return f"CASE WHEN {_begins(text)} OR {_begins(f'right({text}, 1)')} THEN {_trim(text)} ELSE {text} END"


def blank(text: str) -> str:
    """SQL condition: there is no text, or nothing but blanks in it."""
    # AND would not do, since DuckDB evaluates its sides in the order it sees fit.
    return f"{text} IS NULL OR {text} = '' OR CASE WHEN {_begins(text)} THEN {_trim(text)} = '' ELSE false END"


def _begins(text: str) -> str:
    return f"unicode({text}) IN ({_CODES})"


def _trim(text: str) -> str:
    return f"trim({text}, '{BLANKS}')"
