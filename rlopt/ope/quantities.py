"""Numbers as people write them into a field: "$1,299.00", "19,99 €", "12 kg"."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from reward.arrays import FloatArray

_NUMBER = re.compile(r"(?:(?<!\w)[-+])?\d+(?:[.,'’\u00a0\u202f]\d{3}(?!\d))*(?:[.,]\d+)?")
_MARKS = re.compile(r"['’\u00a0\u202f]")
_COMMAS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_IN_A_CODE = re.compile(r"[^\W\d_]-$")  # "A-12"


def numbers_of(values: Sequence[str | None]) -> tuple[FloatArray, str]:
    """The values as numbers of one unit.

    A value is a number, or a text with one number in it; what stands around the number is its unit, in capitals or not.
    Texts of the unit that most have are taken, and bare numbers where that unit is no word ("19.9" beside "$19.9").

    Returns
    -------
    Numbers, shape (n_values,), NaN for what is none, has another unit or is not finite; and the unit as most spell it,
    "" for none.
    """
    spelt = [None if value is None else _read(value) for value in values]
    spellings = Counter(unit for _, unit in filter(None, spelt))
    read = [found and (found[0], found[1].casefold()) for found in spelt]
    units = Counter(unit for _, unit in filter(None, read))
    if not units:
        return np.full(len(values), np.nan), ""
    named = Counter({unit: n for unit, n in units.items() if unit})
    symbol = next((unit for unit, _ in named.most_common(1) if not any(map(str.isalpha, unit))), "")
    unit = units.most_common(1)[0][0] or symbol
    taken = {unit, ""} if unit == symbol else {unit}
    numbers = np.array([found[0] if found and found[1] in taken else np.nan for found in read], dtype=np.float64)
    shown = max((one for one in spellings if one.casefold() == unit), key=spellings.__getitem__)
    return np.where(np.isfinite(numbers), numbers, np.nan), shown


def _read(value: str) -> tuple[float, str] | None:
    """Number and unit of a text; None where it holds no number, or several."""
    try:
        return float(value), ""
    except ValueError:
        pass
    found = _NUMBER.findall(value)
    if len(found) != 1:
        return None
    before, _, after = value.partition(found[0])
    return None if _IN_A_CODE.search(before) else (_number(found[0]), " ".join(f"{before} {after}".split()))


def _number(text: str) -> float:
    """A number whose thousands may be set apart, with a decimal point or comma."""
    text = _MARKS.sub("", text)
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    point, comma = digits.rfind("."), digits.rfind(",")
    if comma > point >= 0 or (point < 0 and digits.count(",") == 1 and not _COMMAS.fullmatch(digits)):
        digits = digits.replace(".", "").replace(",", ".")  # 1.299,00 and 19,99
    elif digits.count(".") > 1:
        digits = digits.replace(".", "")  # 1.299.000
    return float(sign + digits.replace(",", ""))
