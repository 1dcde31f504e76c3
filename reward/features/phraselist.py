"""Lists of phrases that users replace: found in a text as they stand, never as patterns."""

import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import RewardError
from ..text import HAN, clean, in_word

MAX_PHRASES = 20_000
MAX_PHRASE_CHARACTERS = 200
MAX_BYTES = 4 * MAX_PHRASES * (MAX_PHRASE_CHARACTERS + 1)  # UTF-8 takes four bytes a character at most
_DATA = Path(__file__).parent / "data"
_SAME = str.maketrans(
    dict.fromkeys("-‐‑‒–—―⸺⸻〜〰", " ")
    | dict.fromkeys("’ʼ‘`", "'")
    | dict.fromkeys(map(chr, (0x034F, 0x115F, 0x1160, 0x3164, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10))))
)  # hyphens, apostrophes, and marks without a shape
_BETWEEN_HAN = re.compile(f"(?<=[{HAN}])[ ·•‧∙⋅・_*~]+(?=[{HAN}])")


class PhraseListError(RewardError):
    """A phrase list that cannot be read."""


@dataclass(frozen=True)
class PhraseList:
    """Phrases to look for, and longer phrases in which they mean something else.

    Case, width (full-width letters), the kind of hyphens and apostrophes, a hyphen for a blank, runs of blanks,
    invisible marks, and blanks or dots inside Chinese make no difference. A phrase that begins or ends with a letter or
    digit stands only where no other one touches it; CJK phrases stand anywhere.

    Parameters
    ----------
    phrases
        Texts, whatever characters they hold.
    exceptions
        An occurrence inside one of these does not count ("第一" in "第一次").
    """

    phrases: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | Path) -> "PhraseList":
        """One phrase a line; ``#`` begins a comment line (``#1`` is a phrase), ``!`` an exception.

        Raises
        ------
        PhraseListError
            If the file is missing, no regular file, too large or no UTF-8 text, or holds a line too long or too many
            of them.
        """
        lines = read_word_list(path)
        if len(lines) > MAX_PHRASES:
            raise PhraseListError(f"The word list {path} has {len(lines):,} lines, at most {MAX_PHRASES:,} are read.")
        for number, line in enumerate(lines, start=1):
            if len(line) > MAX_PHRASE_CHARACTERS:
                raise PhraseListError(
                    f"Line {number} of the word list {path} has {len(line):,} characters, at most "
                    f"{MAX_PHRASE_CHARACTERS}. Write one phrase a line."
                )
        kept = [line.strip() for line in lines if line.strip() and not _is_comment(line.strip())]
        return cls.of(kept)

    @classmethod
    def of(cls, lines: Iterable[str]) -> "PhraseList":
        """From phrases and, with ``!`` in front, exceptions."""
        phrases: list[str] = []
        exceptions: list[str] = []
        for line in lines:
            exception = len(line) > 1 and line.startswith("!")
            (exceptions if exception else phrases).append(line[1:] if exception else line)
        return cls(tuple(phrases), tuple(exceptions))

    @classmethod
    def collect(cls, entries: Iterable[str]) -> "PhraseList":
        """From phrases and names of files: ``@words.txt`` stands for the lines of that file (see `read`)."""
        lists = [cls.read(e[1:]) if is_file(e) else cls.of([e]) for e in entries]
        return cls(tuple(p for one in lists for p in one.phrases), tuple(e for one in lists for e in one.exceptions))

    @classmethod
    def superlatives(cls) -> "PhraseList":
        """The shipped lists of superlatives that advertising law forbids or wants proved, English and Chinese."""
        return cls.collect(f"@{path}" for path in sorted(_DATA.glob("superlatives_*.txt")))

    def __bool__(self) -> bool:
        return bool(self.phrases)

    def found(self, text: str) -> list[str]:
        """The phrases that occur in ``text``, as the list spells them."""
        folded = fold(text)
        hidden = [span for phrase in self._exceptions for span in _spans(phrase, folded)]
        return [
            self.phrases[number]
            for number, phrase in enumerate(self._phrases)
            if phrase in folded and any(not _inside(span, hidden) for span in _spans(phrase, folded))
        ]

    @cached_property
    def _phrases(self) -> tuple[str, ...]:
        return tuple(fold(phrase) or "\0" for phrase in self.phrases)

    @cached_property
    def _exceptions(self) -> tuple[str, ...]:
        return tuple(filter(None, map(fold, self.exceptions)))


def read_word_list(path: str | Path) -> list[str]:
    """Lines of a user's list of words, after a look at what it is: a pipe is not waited for, a disk image not read.

    Raises
    ------
    PhraseListError
        If it is missing, no regular file, larger than `MAX_BYTES` or no UTF-8 text.
    """
    try:
        with open(path, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise PhraseListError(f"Cannot read the word list {path}: it is no regular file.")
            if found.st_size > MAX_BYTES:
                raise PhraseListError(
                    f"The word list {path} has {found.st_size:,} bytes, at most {MAX_BYTES:,} are read. Is it "
                    "the right file?"
                )
            return file.read(MAX_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise PhraseListError(f"Cannot read the word list {path}: it is not UTF-8 text; save it as such.") from error
    except OSError as error:
        raise PhraseListError(f"Cannot read the word list {path}: {error.strerror}.") from error


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def is_file(entry: str) -> bool:
    """True where ``entry`` is ``@FILE`` and no phrase; see `PhraseList.collect`."""
    return entry.startswith("@") and len(entry) > 1


def fold(text: str) -> str:
    """``text`` as phrases are compared: NFKC, casefolded, hyphens as blanks, blanks folded, none inside Chinese."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_SAME)
    return _BETWEEN_HAN.sub("", clean(folded))


def _is_comment(line: str) -> bool:
    return line.startswith("#") and not line[1:2].isdigit()


def _spans(phrase: str, text: str) -> list[tuple[int, int]]:
    """Spans where ``phrase`` stands as a whole."""
    spans = []
    start = text.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        left = start > 0 and in_word(phrase[0]) and in_word(text[start - 1])
        right = end < len(text) and in_word(phrase[-1]) and in_word(text[end])
        if not left and not right:
            spans.append((start, end))
        start = text.find(phrase, start + 1)
    return spans


def _inside(span: tuple[int, int], spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in spans)
