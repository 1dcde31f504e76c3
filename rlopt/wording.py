"""Words for people: numbers in sentences, and texts of others as a terminal may show them."""

import re
from collections.abc import Iterable, Sequence

# What moves a cursor, colours, turns the direction of what follows, or begins a line that nobody wrote: controls, the
# marks and overrides of direction, the line and paragraph separators, and halves of characters, which no file takes.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def counted(number: float, one: str, many: str | None = None) -> str:
    """``1 item``, ``2,345 items``; ``many`` where it is not ``one`` with an s."""
    shown = f"{number:,.0f}"
    return f"{shown} {one if shown == '1' else many or one + 's'}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """``a``, ``a and b``, ``a, b and c``; of many ``a, b ... and 5 more``."""
    shown = [*names[:most], f"{len(names) - most} more"] if len(names) > most else list(names)
    return " and ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part)


def one_line(text: str) -> str:
    r"""``text`` with every character that a terminal would act on spelt out, as ``\x1b`` or ``\u202e``.

    Titles, item ids, names of columns and files come from others. What they hold is shown, and never obeyed.
    """
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def joined_lines(lines: Iterable[str]) -> str:
    """Lines for a person, none of which can begin another."""
    return "\n".join(map(one_line, lines))


def some_lines(text: str) -> str:
    """Clean a text as `one_line` does, but keep its own line ends."""
    return joined_lines(text.split("\n"))


def safe_json(text: str) -> str:
    """A JSON text that says the same with these characters spelt out; JSON escapes those below the blank itself."""
    return _UNSAFE.sub(
        lambda found: found.group() if found.group() in "\n\t\r" else f"\\u{ord(found.group()):04x}", text
    )
