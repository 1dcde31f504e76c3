"""Form of the times in a column: one for the whole column, found from its smallest and largest value.

A form counts where its values lie in `FIRST_YEAR` to next year; the ranges of the forms hardly meet, and where they do,
the form that fits every row is taken, four-digit years first. A column that fits none is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from ..errors import LogError
from .spelt_times import PATTERNS, UNCLEAR_ZONE, offset, tidied

FIRST_YEAR = 1995
_SAMPLE = 1_000
_EXCEL_EPOCH = 25_569  # 1970-01-01 as a spreadsheet counts days
_DAY = 86_400
_EXACT_BELOW = 2**24  # whole 32-bit floats from here on may have lost digits
_SHORTER = 10  # times: the span of the true reading of years with two digits
_ROUNDED = r"\s*[0-9]([.,][0-9]{0,8})?[eE]\+?[0-9]+\s*"  # nine digits are too few for the second


class Asks(Protocol):
    """``SELECT outputs`` over the kept rows, or over ``limit`` of them, with ``x`` the column's value."""

    def __call__(self, outputs: str, *, limit: int | None = None) -> list[tuple[Any, ...]]: ...  # noqa: D102


@dataclass(frozen=True)
class TimeForm:
    """One way to write a time.

    Parameters
    ----------
    name
        For people, such as YYYYMMDDHH.
    pattern
        Of ``strptime`` for digits or texts; empty for numbers that count from some day.
    per_second
        Of numbers that count since 1970: how many a second has; 0 of days of a spreadsheet.
    low, high
        Numbers from ``low`` to below ``high`` lie in `FIRST_YEAR` to next year.
    spelt
        True of texts that are rewritten first (`reward.logs.spelt_times`).
    """

    name: str
    pattern: str = ""
    per_second: int = 1
    low: float = 0.0
    high: float = 0.0
    spelt: bool = False

    def sql(self, value: str, number: str) -> str:
        """SQL of seconds since 1970 for the column ``value``, whose number is ``number``; NULL where it is no time."""
        if self.spelt:
            return f"(epoch(try_strptime({tidied(value)}, '{self.pattern}')) - {offset(value)})"
        if not self.low and self.pattern:
            return f"epoch(try_strptime(trim({value}), '{self.pattern}'))"
        if not self.low:
            return f"epoch(TRY_CAST({value} AS TIMESTAMPTZ))"
        if self.pattern:
            digits = f"CAST(TRY_CAST({number} AS BIGINT) AS VARCHAR)"
            return f"CASE WHEN {number} = floor({number}) THEN epoch(try_strptime({digits}, '{self.pattern}')) END"
        if not self.per_second:
            # A fraction of a day is not exact: milliseconds are.
            return f"round(({number} - {_EXCEL_EPOCH}) * {_DAY}, 3)"
        return f"{number} / {self.per_second}"


ISO = TimeForm("an ISO date and time")


def last_year() -> int:
    """Times may lie up to the end of this year."""
    return datetime.now(UTC).year + 1


def limits() -> tuple[float, float]:
    """Seconds since 1970 of the first time that may be in a log, and of the first one that may not any more."""
    return datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp(), datetime(last_year() + 1, 1, 1, tzinfo=UTC).timestamp()


def forms() -> list[TimeForm]:
    """All forms of numbers; of several that fit, the first is taken."""
    low, high = limits()
    first, last = FIRST_YEAR, last_year()
    short = last % 100
    out = [
        TimeForm("YYYYMM", "%Y%m", low=first * 100 + 1, high=last * 100 + 13),
        TimeForm("YYYYMMDD", "%Y%m%d", low=first * 10**4 + 101, high=last * 10**4 + 1232),
        TimeForm("YYYYMMDDHH", "%Y%m%d%H", low=first * 10**6 + 10100, high=(last + 1) * 10**6),
        TimeForm("YYYYMMDDHHMM", "%Y%m%d%H%M", low=first * 10**8 + 1010000, high=(last + 1) * 10**8),
        TimeForm("YYYYMMDDHHMMSS", "%Y%m%d%H%M%S", low=first * 10**10 + 101000000, high=(last + 1) * 10**10),
    ]
    # Years before 2010 would have lost their zero in a number.
    two_digits = (("YYMMDD", 4), ("YYMMDDHH", 6), ("YYMMDDHHMM", 8), ("YYMMDDHHMMSS", 10))
    for name, zeros in two_digits:
        pattern = "".join(f"%{letter}" for letter in "ymdHMS"[: len(name) // 2])
        out.append(TimeForm(name, pattern, low=10 * 10**zeros, high=(short + 1) * 10**zeros))
    first_day, last_day = (t / _DAY + _EXCEL_EPOCH for t in (low, high))
    out.append(TimeForm("days of a spreadsheet", "", 0, first_day, last_day))
    for unit, per_second in (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)):
        out.append(TimeForm(f"{unit} since 1970", "", per_second, low * per_second, high * per_second))
    return out


def number_form(ask: Asks, column: str, where: str) -> TimeForm:
    """The form of a column of numbers.

    Parameters
    ----------
    ask
        Queries over the column's number ``x``.
    column, where
        For messages.

    Raises
    ------
    LogError
        If the numbers are no times of one form from `FIRST_YEAR` to next year.
    """
    known = "x IS NOT NULL AND isfinite(x)"
    low, high, n = ask(f"min(x) FILTER ({known}), max(x) FILTER ({known}), count(*) FILTER ({known})")[0]
    if not n:
        return ISO
    fitting = _readable(ask, _fitting(float(low), float(high)), 0)
    if not fitting:
        # A few wrong values must not hide the form of all others: they are named with their row later.
        parts = ask(f"quantile_disc(x, [0.1, 0.9]) FILTER ({known})")[0][0]
        fitting = _readable(ask, _fitting(*parts), n // 2)
    if not fitting:
        some = f"{low:.15g}" if low == high else f"numbers from {low:.15g} to {high:.15g}"
        raise LogError(
            f"Column '{column}' of {where} (timestamp) holds {some}, which are no times from {FIRST_YEAR} to "
            f"{last_year()} in any form: YYYYMMDD with or without HH, MM and SS, YYMMDDHH, YYYYMM, days of a "
            "spreadsheet, or s, ms, us or ns since 1970. Write ISO dates such as 2026-03-01 12:00:00, map another "
            "column with --columns timestamp=COLUMN, or none with --columns timestamp="
        )
    _refuse_year_last(ask, fitting[0], (float(low), float(high)), column, where)
    return fitting[0]


def _refuse_year_last(ask: Asks, form: TimeForm, ends: tuple[float, float], column: str, where: str) -> None:
    """Stop if numbers read as YYMMDD are days of a shorter span if their year comes last: 150326 may be in 2026.

    Raises
    ------
    LogError
        With the smallest number, read both ways.
    """
    letters = len(form.name)
    if not form.name.startswith("YYMM"):
        return
    first, end = limits()
    for day in ("%d%m", "%m%d"):
        for year, rest in (("%Y", letters - 8), ("%y", letters - 6)):
            if rest < 0:
                continue
            pattern = f"{day}{year}{''.join(('%H', '%M', '%S')[: rest // 2])}"
            seconds = TimeForm("", pattern, low=1).sql("x", "x")
            others = (
                f"count(*) FILTER (x IS NOT NULL AND NOT coalesce({seconds} >= {first} AND {seconds} < {end}, false))"
            )
            span = f"max({seconds}) - min({seconds})"
            wrong, short, long = ask(f"{others}, {span}, max({form.sql('x', 'x')}) - min({form.sql('x', 'x')})")[0]
            if not wrong and short < long:
                raise LogError(
                    f"Column '{column}' of {where} (timestamp) holds numbers from {ends[0]:.15g} to {ends[1]:.15g}: "
                    f"{form.name} over {long / _DAY:,.0f} days, or {_digits(pattern)} over {short / _DAY:,.0f}? "
                    "Write ISO dates such as 2026-03-01 12:00:00, map another column with --columns "
                    "timestamp=COLUMN, or none with --columns timestamp="
                )


def _digits(pattern: str) -> str:
    """A ``strptime`` pattern of digits as people write it."""
    names = {"%Y": "YYYY", "%y": "YY", "%m": "MM", "%d": "DD", "%H": "HH", "%M": "MM", "%S": "SS"}
    return "".join(names[pattern[i : i + 2]] for i in range(0, len(pattern), 2))


def refuse_rounded(ask: Asks, form: TimeForm, column: str, where: str) -> None:
    """Stop if texts count seconds and the like since 1970, but a spreadsheet has cut their last digits.

    Whole minutes may be written so without loss. ``ask`` queries over the column's text ``x``.

    Raises
    ------
    LogError
        With the smallest such text.
    """
    if form.pattern or not form.low or not form.per_second:
        return
    odd = f"fmod(TRY_CAST(x AS DOUBLE) / {form.per_second}, 60) <> 0"
    found = ask(f"min(x) FILTER (regexp_full_match(x, '{_ROUNDED}') AND {odd})")[0][0]
    if found is not None:
        raise LogError(
            f"Column '{column}' of {where} (timestamp) holds {found.strip()}, a rounded number, as spreadsheets show "
            "large ones: the last digits of the time are lost. Export it as text, or as an ISO date and time."
        )


def refuse_short_floats(ask: Asks, column: str, where: str) -> None:
    """Stop if 32-bit floats hold numbers of more digits than they keep. ``ask`` queries over the number ``x``.

    Raises
    ------
    LogError
        With the largest number.
    """
    largest = ask("max(x) FILTER (NOT isnan(x))")[0][0]
    if largest is not None and largest >= _EXACT_BELOW:
        raise LogError(
            f"Column '{column}' of {where} (timestamp) holds {largest:.15g} as a 32-bit float, which keeps 7 digits: "
            "the times are off by up to minutes or days. Write it as 64-bit numbers or as ISO dates."
        )


def _fitting(low: float, high: float) -> list[TimeForm]:
    return [form for form in forms() if form.low <= low and high < form.high]


def _readable(ask: Asks, fitting: list[TimeForm], most: int) -> list[TimeForm]:
    """The forms by which at most n rows cannot be read."""
    if not any(form.pattern for form in fitting):
        return fitting
    wrong = ask(", ".join(f"count(*) FILTER (x IS NOT NULL AND ({form.sql('x', 'x')}) IS NULL)" for form in fitting))[0]
    return [form for form, n in zip(fitting, wrong, strict=True) if n <= most]


def text_form(ask: Asks, column: str, where: str) -> TimeForm | None:
    """The form of a column of texts; None where most of them are numbers.

    Raises
    ------
    LogError
        If day and month cannot be told apart.
    """
    number = "TRY_CAST(x AS DOUBLE)"
    given = "x IS NOT NULL"
    numbers, texts, a_text = ask(
        f"count({number}), count(*) FILTER ({given} AND {number} IS NULL), min(x) FILTER ({given} AND {number} IS NULL)"
    )[0]
    if numbers > texts:
        return None
    if not texts:
        return ISO
    if ask(f"count(*) FILTER ({_may_be(ISO)})", limit=_SAMPLE)[0][0]:
        _refuse_unclear_zone(ask, column, where)
        return ISO
    readings = _reading(ask, _reading(ask, [TimeForm(_spelt(p), p) for p in _PATTERNS], _SAMPLE))
    readings = readings or _reading(ask, _in_words(ask))
    if any(f.pattern[:3] in ("%d/", "%d-") for f in readings) and any(
        f.pattern[:3] in ("%m/", "%m-") for f in readings
    ):
        raise LogError(
            f"Column '{column}' of {where} (timestamp) holds times such as {a_text!r:.40}, where day and month cannot "
            "be told apart. Write ISO dates such as 2026-03-01 12:00:00."
        )
    return _shortest(ask, readings, column, where) if readings else ISO


def _may_be(form: TimeForm) -> str:
    """SQL condition: ``x`` is such a time from `FIRST_YEAR` to next year."""
    low, high = limits()
    seconds = form.sql("x", "x")
    return f"coalesce({seconds} >= {low} AND {seconds} < {high}, false)"


def _reading(ask: Asks, forms: Sequence[TimeForm], limit: int | None = None) -> list[TimeForm]:
    """The forms that read all texts, and some of them as times that may be in a log."""
    wrong = (f"count(*) FILTER (x IS NOT NULL AND {form.sql('x', 'x')} IS NULL)" for form in forms)
    found = ask(", ".join((*wrong, *(f"bool_or({_may_be(form)})" for form in forms))), limit=limit)[0] if forms else ()
    return [form for form, n, may in zip(forms, found, found[len(forms) :], strict=False) if not n and may]


def _in_words(ask: Asks) -> list[TimeForm]:
    """The forms of times in words that may read all texts, told from some of them."""
    some = {text for (text,) in ask(tidied("x"), limit=_SAMPLE)}
    return [TimeForm(_spelt(p), p, spelt=True) for p in PATTERNS if all(_fits(text, p) for text in some)]


def _fits(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True


def _shortest(ask: Asks, forms: Sequence[TimeForm], column: str, where: str) -> TimeForm:
    """The form by which the texts are times of much the shortest span: the year is what changes least in a log.

    Raises
    ------
    LogError
        If years of two digits may come first or last.
    """
    if len(forms) == 1 or not any("%y" in form.pattern for form in forms):
        return forms[0]
    ends = ask(", ".join(f"min({f.sql('x', 'x')}), max({f.sql('x', 'x')})" for f in forms))[0]
    spans = sorted((last - first, i) for i, (first, last) in enumerate(zip(ends[::2], ends[1::2], strict=True)))
    if _SHORTER * spans[0][0] >= spans[1][0]:
        names = " or ".join(form.name for form in forms[:2])
        raise LogError(
            f"Column '{column}' of {where} (timestamp) holds times such as {ask('min(x)')[0][0]!r:.40}: {names}? Write "
            "ISO dates such as 2026-03-01 12:00:00."
        )
    return forms[spans[0][1]]


def _refuse_unclear_zone(ask: Asks, column: str, where: str) -> None:
    found = ask(f"min(x) FILTER (regexp_matches(x, '{UNCLEAR_ZONE}'))", limit=_SAMPLE)[0][0]
    if found is not None:
        raise LogError(
            f"Column '{column}' of {where} (timestamp) holds {found!r:.50}, whose letters are those of several time "
            "zones. Write the hours from UTC instead, such as 2026-03-01 12:00:00+08:00."
        )


_CLOCKS = ("", " %H", " %H:%M", " %H:%M:%S", ", %H:%M", ", %H:%M:%S", "T%H", " %I:%M %p", " %I:%M:%S %p")
_DATES = ("%Y-%m", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
_MONTHS = ("%b %d, %Y", "%d %b %Y", "%B %d, %Y", "%Y年%m月%d日", "%Y年%m月")
_WITH_CLOCKS = tuple(date + clock for date in (*_DATES, *_MONTHS) for clock in _CLOCKS)
_PATTERNS = (*_WITH_CLOCKS, "%Y%m%dT%H%M%S", "%Y%m%d %H:%M:%S")


def _spelt(pattern: str) -> str:
    """``pattern`` as people write it."""
    for code, letters in {
        "%Y": "YYYY",
        "%y": "YY",
        "%m": "MM",
        "%d": "DD",
        "%H": "hh",
        "%I": "hh",
        "%M": "mm",
        "%S": "ss",
    }.items():
        pattern = pattern.replace(code, letters)
    return pattern.replace("%b", "Mon").replace("%B", "Month").replace("%p", "am/pm")
