"""More examples from the ones there are, with the meaning kept: fields reordered or left out, other words."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from reward.features.phraselist import PhraseListError, read_word_list
from reward.items import Item
from reward.text import words
from rlopt.config import SftConfig
from rlopt.errors import PolicyError

from .backtranslation import back_translate

Pair = tuple[Item, str]
Rephrase = Callable[[Sequence[Pair]], list[str]]


@dataclass(frozen=True)
class Variants:
    """Groups of words, phrases or units that mean the same."""

    groups: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, path: str | Path) -> "Variants":
        """One group a line, ``a=b=c``; ``#`` begins a comment line.

        Raises
        ------
        PolicyError
            If the file cannot be read, or a line is no group.
        """
        try:
            lines = read_word_list(path)
        except PhraseListError as error:
            raise PolicyError(f"The lexicon of variants {path} cannot be read: {error}") from error
        groups = []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            group = tuple(dict.fromkeys(part.strip() for part in line.split("=")))
            if len(group) < 2 or not all(group):
                raise PolicyError(
                    f"Line {number} of the lexicon of variants {path} must be a group such as sofa=couch. "
                    f"Got {line.strip()!r:.60}."
                )
            groups.append(group)
        return cls(tuple(groups))

    def vary(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """The item and its title with one variant of each group that they mention, the same one in both.

        The title then says of the item what it said before. A variant stands where no Latin letter touches its
        letters ("cm" is found in "10cm"), in any case.
        """
        item, title = pair
        text = f"{title}\n{item.text()}\n{item.current_title or ''}"
        for pattern, group in zip(self._patterns, self.groups, strict=True):
            if not pattern.search(text):
                continue
            chosen = group[int(rng.integers(len(group)))]

            def said(found: re.Match[str], chosen: str = chosen) -> str:
                capital = found.group()[0].isupper() and chosen.islower()
                return chosen[0].upper() + chosen[1:] if capital else chosen

            fields = {name: tuple(pattern.sub(said, value) for value in values) for name, values in item.fields.items()}
            current = item.current_title and pattern.sub(said, item.current_title)
            item, title = replace(item, fields=fields, current_title=current), pattern.sub(said, title)
        return item, title

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile("|".join(map(_alone, sorted(g, key=len, reverse=True))), re.I) for g in self.groups)


@dataclass(frozen=True)
class Augmentation:
    """Alterations in the copies of each example.

    Parameters
    ----------
    config
        Number of copies, shuffling of their fields, and the share of fields left out.
    variants
        Synonyms, in item and title.
    rephrase
        Other titles for (item, title) pairs, such as back-translation's; one that comes back unchanged is left out.
    """

    config: SftConfig
    variants: Variants | None = None
    rephrase: Rephrase | None = None

    @classmethod
    def of(cls, config: SftConfig) -> "Augmentation":
        """With the lexicon and the models that the settings name.

        Raises
        ------
        PolicyError
            If the lexicon cannot be read.
        """
        models = config.back_translation
        return cls(
            config,
            Variants.read(config.variants) if config.variants is not None else None,
            (lambda known: back_translate(known, *models)) if models is not None else None,
        )

    def __bool__(self) -> bool:
        return bool(self.config.shuffle_fields or self.config.drop_fields or self.variants or self.rephrase)

    def apply(self, pairs: Sequence[Pair]) -> list[Pair]:
        """``pairs``, then their altered copies; copies that say the same in the same order are left out."""
        out = list(pairs)
        if not self:
            return out
        rng = np.random.default_rng(self.config.seed)
        if self.rephrase is not None:
            titles = self.rephrase(pairs)
            out += [(item, new) for (item, old), new in zip(pairs, titles, strict=True) if new != old]
        for _ in range(self.config.copies):
            altered = (self._alter(pair, rng) for pair in pairs)
            out += [new for new, old in zip(altered, pairs, strict=True) if _differs(new, old)]
        return out

    def _alter(self, pair: Pair, rng: np.random.Generator) -> Pair:
        item, title = self.variants.vary(pair, rng) if self.variants else pair
        names = list(item.fields)
        if self.config.drop_fields:
            said = set(words(title))
            names = [n for n in names if rng.random() >= self.config.drop_fields or _mentioned(item.fields[n], said)]
        if self.config.shuffle_fields:
            names = [names[i] for i in rng.permutation(len(names))]
        return replace(item, fields={name: item.fields[name] for name in names}), title


def _differs(new: Pair, old: Pair) -> bool:
    return new != old or list(new[0].fields) != list(old[0].fields)


def _mentioned(values: Iterable[str], said: set[str]) -> bool:
    """True if the title has any word of the values: cautious, since the title must stay true of the item."""
    return any(said & set(words(value)) for value in values)


def _alone(phrase: str) -> str:
    """Pattern of ``phrase`` where nothing of its own kind touches it."""
    kinds = ("A-Za-z", "0-9")
    before = next((f"(?<![{kind}])" for kind in kinds if re.match(f"[{kind}]", phrase)), "")
    after = next((f"(?![{kind}])" for kind in kinds if re.search(f"[{kind}]$", phrase)), "")
    return before + re.escape(phrase) + after
