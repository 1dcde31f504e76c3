"""Words that may harm people, or that the law forbids: slurs, stereotypes, claims of healing, promises of gain."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from .phraselist import PhraseList, is_file

_DATA = Path(__file__).parent / "data"
_PREFIX, _SUFFIXES = "harm_", ("_en", "_zh")
LISTED = "listed"
"""Category of phrases that no file names."""


@dataclass(frozen=True)
class HarmList:
    """Phrases by category.

    Parameters
    ----------
    phrases
        All of them, with their exceptions; `PhraseList` says how they are compared.
    categories
        The category of each phrase, as long as ``phrases.phrases``.
    """

    phrases: PhraseList = field(default_factory=PhraseList)
    categories: tuple[str, ...] = ()

    @classmethod
    def collect(cls, entries: Iterable[str]) -> "HarmList":
        """From phrases and names of files (``@words.txt``, one phrase a line); a file's name is its category.

        Raises
        ------
        PhraseListError
            If a file cannot be read as a list of phrases.
        """
        entries = list(entries)
        lists = [PhraseList.collect([entry]) for entry in entries]
        names = [_category(Path(entry[1:])) if is_file(entry) else LISTED for entry in entries]
        return cls(
            PhraseList(
                tuple(phrase for one in lists for phrase in one.phrases),
                tuple(phrase for one in lists for phrase in one.exceptions),
            ),
            tuple(name for name, one in zip(names, lists, strict=True) for _ in one.phrases),
        )

    @classmethod
    @lru_cache
    def shipped(cls) -> "HarmList":
        """The lists that come with rlopt, English and Chinese; each names the law or code that it goes by."""
        return cls.collect(f"@{path}" for path in sorted(_DATA.glob(f"{_PREFIX}*.txt")))

    def found(self, text: str) -> list[str]:
        """``category: phrase`` of each phrase that occurs in ``text``."""
        found = set(self.phrases.found(text)) if self.phrases else set()
        pairs = zip(self.categories, self.phrases.phrases, strict=True)
        return [f"{category}: {phrase}" for category, phrase in pairs if phrase in found]


def _category(file: Path) -> str:
    name = file.stem.removeprefix(_PREFIX)
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name
