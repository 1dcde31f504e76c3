"""Numbers that are spelt out before a unit: "三件套" says what "3件套" says, "two pack" what "2 pack" does."""

from collections.abc import Collection, Sequence

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_POWERS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_CHINESE = frozenset(_DIGITS) | frozenset(_POWERS)
_NAMES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ENGLISH = {name: str(n) for n, name in enumerate(_NAMES, start=2)}
_SPELT = _CHINESE | frozenset(_ENGLISH)
_ORDINAL = "第"


def as_digits(tokens: Sequence[str], units: Collection[str]) -> Sequence[str]:
    """``tokens`` with every number that is spelt out and followed by one of ``units`` in digits.

    Left as they are: "one", 一, 十, 百, 千 and 万 alone, since 一件, "one size", 十分 and 百搭 count nothing, and
    ordinals (第三件).

    Parameters
    ----------
    tokens
        As `reward.text.words` gives them: a Chinese numeral is a token a character.
    units
        Tokens that stand behind numbers.
    """
    if not units or _SPELT.isdisjoint(tokens):
        return tokens
    out: list[str] = []
    i = 0
    while i < len(tokens):
        end = _end(tokens, i)
        before, after = "".join(tokens[i - 1 : i]), "".join(tokens[end : end + 1])
        if end > i and after in units and before != _ORDINAL and not before[:1].isdigit():
            out += _digits(tokens[i:end])
        else:
            end = max(end, i + 1)
            out += tokens[i:end]
        i = end
    return out


def number_at(tokens: Sequence[str], start: int) -> tuple[int, str] | None:
    """Past the number at ``start``, and its digits without separators; None where no number stands.

    Numbers that are spelt out count here whatever follows them, "one" and 一 too.
    """
    token = tokens[start]
    if token[0].isdigit():
        return start + 1, token.replace(",", "")
    if token == "one":  # noqa: S105  # a word, no password
        return start + 1, "1"
    end = _end(tokens, start)
    if end == start:
        return None
    number = tokens[start:end]
    if number[0] in _ENGLISH:
        return end, _ENGLISH[number[0]]
    if not any(character in _POWERS for character in number):
        return end, "".join(str(_DIGITS[character]) for character in number)
    return end, str(_value(number))


def _end(tokens: Sequence[str], start: int) -> int:
    """Past the number that is spelt at ``start``; ``start`` where none is."""
    if tokens[start] in _ENGLISH:
        return start + 1
    end = start
    while end < len(tokens) and tokens[end] in _CHINESE:
        end += 1
    return end


def _digits(number: Sequence[str]) -> Sequence[str]:
    """One token of digits; ``number`` itself where it counts nothing."""
    if number[0] in _ENGLISH:
        return [_ENGLISH[number[0]]]
    if all(_DIGITS.get(character, 0) < (2 if len(number) == 1 else 1) for character in number):
        return number
    if not any(character in _POWERS for character in number):  # 二〇二四
        return ["".join(str(_DIGITS[character]) for character in number)]
    return [str(_value(number))]


def _value(number: Sequence[str]) -> int:
    """三百二十 is 320, 一万二 is 12,000: a last digit counts the next smaller power unless 零 stands before it."""
    total = part = digit = 0
    power, zero = 1, False
    for character in number:
        if character in _DIGITS:
            digit, zero = _DIGITS[character], zero or _DIGITS[character] == 0
            continue
        power, zero = _POWERS[character], False
        if power == 10_000:
            total, part, digit = (total + part + digit or 1) * power, 0, 0
        else:
            part, digit = part + (digit or 1) * power, 0
    return total + part + digit * (power // 10 if power > 10 and not zero else 1)
