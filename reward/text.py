"""Words, numbers and widths of titles, alike for languages with and without spaces.

One tokenisation serves features, constraints and metrics: a run of Latin letters or digits is one word, every
CJK character is a word of its own. No segmenter is needed for Chinese.
"""

import re
import unicodedata

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CJK = (
    f"{HAN}"
    "\u3040-\u30ff"  # kana
    "\uac00-\ud7af"  # hangul
)
_UNSPACED = f"{_CJK}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # nor Thai, Lao, Burmese, Khmer set blanks between words
_MARKS = "".join(  # vowel signs and the like, which belong to the letter before them, as in Hindi
    character
    for character in map(chr, range(0x300, 0x3000))
    if unicodedata.category(character) in ("Mn", "Mc") and not re.match(rf"[{_UNSPACED}]", character)
)
_LETTERS = rf"[^\W\d_{_CJK}]+(?:[{_MARKS}]+[^\W\d_{_CJK}]*)*"
_WORD = re.compile(rf"[{_CJK}]|\d+(?:[.,]\d+)*|{_LETTERS}(?:['’]{_LETTERS})*", re.UNICODE)
_ASCII_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*|\d+(?:[.,]\d+)*", re.ASCII)  # the same on lower-case ASCII, twice as fast
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_CJK_CHAR = re.compile(rf"[{_CJK}]")
WORD_CHARACTER = rf"[^\W_{_UNSPACED}]"
_IN_WORD = re.compile(WORD_CHARACTER)
_SPACE = re.compile(r"\s+")
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}


def words(text: str) -> list[str]:
    """Words of ``text`` in order, casefolded after NFKC; a CJK character is one word."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def numbers(text: str) -> list[str]:
    """Numbers of ``text`` in order, as written after NFKC ("1,299.00" stays one number)."""
    return _NUMBER.findall(unicodedata.normalize("NFKC", text))


def clean(text: str) -> str:
    """``text`` without control, format and unassigned characters, white space folded to single blanks."""
    if text.isprintable():  # nothing invisible, and no white space but blanks
        return " ".join(text.split())
    spaced = _SPACE.sub(" ", text)
    return "".join(c for c in spaced if unicodedata.category(c) not in _INVISIBLE).strip()


def same_text_key(text: str) -> str:
    """Key under which two titles count as the same text: cleaned, NFKC, casefolded."""
    return clean(unicodedata.normalize("NFKC", text)).casefold()


def in_word(character: str) -> bool:
    """True for a letter or digit of a script that sets blanks between words."""
    return bool(_IN_WORD.match(character))


def is_cjk(text: str) -> bool:
    """True where at least a third of the letters of ``text`` are Chinese, Japanese or Korean."""
    letters = sum(c.isalpha() for c in text)
    return letters > 0 and 3 * len(_CJK_CHAR.findall(text)) >= letters


def display_width(text: str) -> int:
    """Width in terminal columns: wide and full-width characters count two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
