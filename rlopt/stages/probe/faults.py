"""Titles made worse on purpose: what a reward should like less, or a rule should catch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reward.belonging.script import script_of
from reward.belonging.spoil import garbled, pieces, repeated, shuffled, spliced
from reward.features.promises import NUMBER, PromiseList
from reward.items import Item
from reward.text import same_text_key

_TRIES = 20
_LONGEST_VALUE = 30  # characters of a field's value that a title can name
Attack = Callable[[Item, str, np.random.Generator], str | None]


@dataclass(frozen=True)
class Others:
    """Titles and field values of all the probed items, of which each item's own are left out.

    Parameters
    ----------
    titles
        Item id -> its logged titles.
    """

    items: Sequence[Item]
    titles: Mapping[str, Sequence[str]]

    def title(self, item: Item, like: str, rng: np.random.Generator) -> str | None:
        """A title of another item, in the script of ``like`` where one is drawn; None where there is none."""
        own = {same_text_key(title) for title in self.titles[item.item_id]}
        drawn = [self._any(rng) for _ in range(_TRIES)]
        foreign = [title for title in drawn if same_text_key(title) not in own]
        same = [title for title in foreign if chinese(title) == chinese(like)]
        return next(iter(same or foreign), None)

    def value(self, item: Item, name: str, rng: np.random.Generator) -> str | None:
        """A short value that the field has with another item, and not with this one."""
        own = {same_text_key(value) for value in item.fields.get(name, ())}
        for _ in range(_TRIES):
            values = self.items[int(rng.integers(len(self.items)))].fields.get(name, ())
            fresh = [value for value in values if same_text_key(value) not in own and len(value) <= _LONGEST_VALUE]
            if fresh:
                return fresh[int(rng.integers(len(fresh)))]
        return None

    def _any(self, rng: np.random.Generator) -> str:
        titles = self.titles[self.items[int(rng.integers(len(self.items)))].item_id]
        return titles[int(rng.integers(len(titles)))]


def faults(others: Others, promises: PromiseList) -> dict[str, Attack]:
    """Name -> how a title is made worse; each gives None where it cannot be."""
    alphabet = sorted({c for titles in others.titles.values() for title in titles for c in title if not c.isspace()})
    phrases = {True: spoken(promises, True), False: spoken(promises, False)}

    def with_foreign(
        make: Callable[[str, str, np.random.Generator], str],
    ) -> Attack:
        def attack(item: Item, title: str, rng: np.random.Generator) -> str | None:
            other = others.title(item, title, rng)
            return None if other is None else make(title, other, rng)

        return attack

    def stuffed(item: Item, title: str, rng: np.random.Generator) -> str | None:
        more = [others.title(item, title, rng) for _ in range(2)]
        return None if None in more else " ".join([title, *map(str, more)])

    def promised(_: Item, title: str, rng: np.random.Generator) -> str | None:
        known = phrases[chinese(title)]
        return joined(title, known[int(rng.integers(len(known)))]) if known else None

    return {
        "foreign": with_foreign(lambda _, other, __: other),
        "shuffled": lambda _, title, rng: shuffled(title, rng),
        "spliced": with_foreign(spliced),
        "stuffed": stuffed,
        "repeated": lambda _, title, rng: repeated(title, rng),
        "garbled": lambda _, title, rng: garbled(title, alphabet, rng),
        "cut": lambda _, title, rng: cut(title, rng),
        "false value": lambda item, title, rng: false_value(item, title, others, rng),
        "promise": promised,
    }


def cut(title: str, rng: np.random.Generator) -> str | None:
    """The beginning of the title, 30 to 60% of it; None for a title of one piece."""
    parts, joint = pieces(title)
    kept = max(round(rng.uniform(0.3, 0.6) * len(parts)), 1)
    return joint.join(parts[:kept]) if kept < len(parts) else None


def false_value(item: Item, title: str, others: Others, rng: np.random.Generator) -> str | None:
    """One value that the title names, replaced by another item's of the same field; at its end where it names none."""
    names = list(item.fields)
    fresh = {name: others.value(item, name, rng) for name in names}
    known = [name for name in names if fresh[name] is not None]
    if not known:
        return None
    said = [(name, value) for name in known for value in item.fields[name] if value.casefold() in title.casefold()]
    if not said:
        return joined(title, str(fresh[known[int(rng.integers(len(known)))]]))
    name, value = said[int(rng.integers(len(said)))]
    start = title.casefold().index(value.casefold())
    return f"{title[:start]}{fresh[name]}{title[start + len(value) :]}"


def joined(title: str, more: str) -> str:
    """Both, with a blank between them where the script has blanks."""
    return f"{title}{'' if chinese(title) and ' ' not in title else ' '}{more}"


def chinese(text: str) -> bool:
    """True if the text is of a script without blanks between words."""
    return script_of(text) == "CJK"


def spoken(promises: PromiseList, in_chinese: bool) -> list[str]:
    """The first phrase of each promise in one script, with 2 for any number; English as in a title."""
    found = [group[0].replace(NUMBER, "2") for group in promises.groups if chinese(group[0]) == in_chinese]
    return found if in_chinese else [phrase.title() for phrase in found]
