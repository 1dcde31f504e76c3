"""Counterfactual titles and items: the same for the other sex, or of another place; what changes with them is a bias.

Reference: Kusner et al. (2017), *Counterfactual fairness*; here of words in the title and in the item's fields.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from reward.items import Item
from reward.text import HAN
from reward.yaml_files import read_yaml
from rlopt.errors import ConfigError
from rlopt.stages.probe.changes import Attack

_DATA = Path(__file__).parent / "data"
_OTHER_HAN = f"[{HAN}]"


@cache
def shipped_swaps() -> dict[str, dict[str, str]]:
    """Kind ("gender", "place") -> word -> what takes its place, English and Chinese."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(_DATA.glob("swaps_*.yaml")):
        for kind, pairs in read_yaml(path, "list of swaps", ConfigError).items():
            words = found.setdefault(kind, {})
            for pair in pairs:
                one, other = (part.strip() for part in pair.split("="))
                words.setdefault(one.casefold(), other)
                words.setdefault(other.casefold(), one)
    return found


def swaps(lists: Mapping[str, Mapping[str, str]]) -> dict[str, Attack]:
    """Name -> attack that swaps all words of one kind; None where a title has none."""

    def attack(words: Mapping[str, str]) -> Attack:
        return lambda _item, title, _random: swapped(words, title)

    return {kind: attack(words) for kind, words in lists.items()}


def swapped(words: Mapping[str, str], title: str) -> str | None:
    """The title with each word in the other's place, capitals as they were; None where it has none of them.

    Parameters
    ----------
    words
        Word in small letters -> other word.
    """
    longest_first = sorted(words, key=len, reverse=True)
    parts = [re.escape(w) if re.match(_OTHER_HAN, w) else rf"(?<!\w){re.escape(w)}(?!\w)" for w in longest_first]
    out = re.sub("|".join(parts), lambda match: _like(match[0], words[match[0].casefold()]), title, flags=re.IGNORECASE)
    return None if out == title else out


def swapped_item(words: Mapping[str, str], item: Item) -> Item:
    """The item with the same words swapped in its fields; its id and its clicks stay."""
    fields = {name: tuple(swapped(words, value) or value for value in values) for name, values in item.fields.items()}
    return Item(item.item_id, fields, item.current_title)


def _like(old: str, new: str) -> str:
    """``new`` with the capitals of ``old``."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new
