"""Spelling of numbers in a column of texts: thousands separators and the decimal mark, found by column.

1.000 is one or a thousand. What decides is the column: other values with a single comma, several groups, or digits
that cannot be groups; then the other columns of the file. Where nothing decides, the user is asked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import LogError
from .source import quote
from .times import Asks

Decimal = Literal[".", ","]

GROUPERS = " \u00a0\u202f\u2009'\u2019_"
"""Characters that group digits and can be nothing else: blanks, apostrophes, low lines."""
_MARKS: dict[Decimal, Decimal] = {".": ",", ",": "."}
_BLANKS = " \u00a0\u202f"
_FEWEST = 3
_SHOWN_ROUNDED = r"\s*[0-9][.,][0-9]{2}E\+[0-9]+\s*"


@dataclass(frozen=True)
class Spelling:
    """Spelling of numbers: ``decimal`` before the fraction; the other mark, and `GROUPERS`, between groups."""

    decimal: Decimal = "."

    def sql(self, value: str) -> str:
        """SQL of the number that the text ``value`` spells, NULL where it spells none."""
        mark, group = rf"\{self.decimal}", _class(_MARKS[self.decimal] + GROUPERS)
        text = f"trim({value}, '{_BLANKS}')"
        plain = rf"[+-]?([0-9]+|[0-9]{{1,3}}({group}[0-9]{{2,3}})*{group}[0-9]{{3}})({mark}[0-9]*)?([eE][+-]?[0-9]+)?"
        bare = f"replace(regexp_replace({text}, '{group}', '', 'g'), '{self.decimal}', '.')"
        return f"CASE WHEN regexp_full_match({text}, '{plain}') THEN TRY_CAST({bare} AS DOUBLE) END"


def spelling(
    ask: Asks, column: str, where: str, *, whole: bool, others: Asks | None, said: Decimal | None
) -> Spelling | None:
    """The spelling of a column of texts; None where all of them are plain numbers.

    Parameters
    ----------
    ask
        Queries over the column's text ``x``.
    column, where
        For messages.
    whole
        True if the column must hold whole numbers.
    others
        Queries over the texts of the file's other columns, which may tell; None where it has none.
    said
        The decimal mark that the user named.

    Raises
    ------
    LogError
        If a mark may stand for thousands or before a fraction, and nothing tells which.
    """
    grouped = rf"regexp_matches(trim(x, '{_BLANKS}'), '[0-9]{_class(GROUPERS)}[0-9]')"
    marks = "count(*) FILTER (contains(x, '.')), count(*) FILTER (contains(x, ','))"
    points, commas, blanks = ask(f"{marks}, count(*) FILTER ({grouped})")[0]
    if not (points or commas or blanks):
        return None
    if whole:
        _refuse_rounded(ask, column, where)
    if said is not None:
        return Spelling(said)
    seen = _seen(ask)
    found = _told(seen, whole=whole)
    if found is None and others is not None:
        found = _told_by_others(others)
    if found is None:
        raise LogError(_question(ask, column, where))
    return None if found == "." and not commas and not blanks else Spelling(found)


def _refuse_rounded(ask: Asks, column: str, where: str) -> None:
    """Stop at counts of two decimals and a power of ten, as spreadsheets show large numbers."""
    found = ask(f"min(x) FILTER (regexp_full_match(x, '{_SHOWN_ROUNDED}'))")[0][0]
    if found is not None:
        raise LogError(
            f"Column '{column}' of {where} holds {found.strip()!r:.40}, a rounded number, as spreadsheets show large "
            "ones: its last digits are lost. Export it with all digits."
        )


@dataclass(frozen=True)
class _Seen:
    """Counts of a column's values with a mark certainly before a fraction, certainly between groups, or either.

    ``odd`` counts the different ones of these that are no multiple of a thousand.
    """

    fraction: int
    groups: int
    either: int
    odd: int


def _seen(ask: Asks) -> tuple[dict[Decimal, _Seen], int]:
    """Count the uses of each mark, and the numbers of four digits and more that have neither."""
    x = f"regexp_replace(x, '{_class(GROUPERS)}', '', 'g')"
    outputs = []
    for mark, other in _MARKS.items():
        m, o = rf"\{mark}", rf"\{other}"
        fraction = rf"[+-]?([0-9]*{m}([0-9]{{0,2}}|[0-9]{{4,}})|([0-9]{{4,}}|0+|){m}[0-9]{{3}})([eE].*)?%?"
        groups = rf"[+-]?[0-9]{{1,3}}(({m}[0-9]{{2,3}})+{m}[0-9]{{3}}({o}[0-9]*)?|{m}[0-9]{{3}}{o}[0-9]*)"
        either = rf"[+-]?[1-9][0-9]{{0,2}}{m}[0-9]{{3}}"
        outputs += [f"count(*) FILTER (regexp_full_match({x}, '{form}'))" for form in (fraction, groups, either)]
        odd = f"regexp_full_match({x}, '{either}') AND NOT ends_with({x}, '000')"
        outputs.append(f"count(DISTINCT {x}) FILTER ({odd})")
    outputs.append(f"count(*) FILTER (regexp_full_match({x}, '[+-]?[0-9]{{4,}}'))")
    *counts, plain = map(int, ask(", ".join(outputs))[0])
    return {".": _Seen(*counts[:4]), ",": _Seen(*counts[4:])}, plain


def _told(seen: tuple[dict[Decimal, _Seen], int], *, whole: bool) -> Decimal | None:
    """The mark before a fraction by the values of the column, None where they do not tell.

    If they contradict one another it is the point, by which some of them are wrong and named with their row.
    """
    marks, plain = seen
    for mark in marks:
        if marks[mark].fraction or marks[_MARKS[mark]].groups:
            return mark
    ambiguous = [mark for mark in marks if marks[mark].either]
    # Several counts that would have a fraction of just three digits each, and none of four digits without a mark.
    if whole and len(ambiguous) == 1 and marks[ambiguous[0]].odd >= _FEWEST and not plain:
        return _MARKS[ambiguous[0]]
    return None if ambiguous else "."


def _question(ask: Asks, column: str, where: str) -> str:
    example = str(ask("min(x) FILTER (regexp_full_match(x, '\\s*[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}\\s*'))")[0][0])
    mark: Decimal = "." if "." in example else ","
    thousands, fraction = re.sub("[.,]", "", example), f"{float(example.replace(',', '.')):g}"
    return (
        f"Column '{column}' of {where} holds numbers such as {example!r:.40}: {thousands} or {fraction}? Nothing in "
        f"the file tells. Say what stands before a fraction: decimal {_MARKS[mark]!r} makes it {thousands}, "
        f'{mark!r} makes it {fraction} (--decimal "{_MARKS[mark]}", or decimal in the preset\'s reward section).'
    )


def _told_by_others(ask: Asks) -> Decimal | None:
    """The mark before a fraction in other columns, where a number cannot be read otherwise."""
    points, commas = ask(
        r"count(*) FILTER (regexp_full_match(x, '[+-]?[0-9]+\.([0-9]{1,2}|[0-9]{4,})\s*%?')), "
        r"count(*) FILTER (regexp_full_match(x, '[+-]?[0-9]+,([0-9]{1,2}|[0-9]{4,})\s*%?'))"
    )[0]
    return "." if points and not commas else "," if commas and not points else None


def other_texts(columns: Mapping[str, str], besides: Sequence[str]) -> str | None:
    """SQL of a list of a row's texts in other columns, None where there is none."""
    names = [quote(name) for name, kind in columns.items() if kind == "VARCHAR" and name not in besides]
    return f"unnest([{', '.join(names)}])" if names else None


def _class(characters: str) -> str:
    """These characters as a class of a regular expression inside a quoted SQL text."""
    return f"[{characters}]".replace("'", "''")
