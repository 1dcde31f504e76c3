"""Shelf of items, read once: their fields and their own titles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..items import Item
from ..text import same_text_key, words
from .similarity import Source
from .views import FIELDS, TITLE, Reader, Texts

IntArray = npt.NDArray[np.int64]

_MOST_ITEMS = 4096  # items kept in memory


@dataclass(frozen=True)
class _Entry:
    """One item: its row among the fields, and the rows and keys of its titles."""

    item: Item  # kept alive, so that its id stays its own
    row: int
    titles: range
    keys: tuple[str, ...]


class Shelf:
    """Vectors of items' fields and own titles, read when first asked for.

    Parameters
    ----------
    reader
        Makes the vectors.
    own
        Item id -> its titles. An item that is not there has its current title.
    """

    def __init__(self, reader: Reader, own: Mapping[str, tuple[str, ...]]) -> None:
        self._reader, self._own = reader, own
        self._entries: dict[int, _Entry] = {}
        self._fields: Texts = reader.read([], FIELDS)
        self._titles: Texts = reader.read([], TITLE)

    def sources(self, items: Sequence[Item], apart: Sequence[str]) -> tuple[Source, Source]:
        """Fields, and own titles, that n titles can be compared with.

        Parameters
        ----------
        items
            Item of each title, length n.
        apart
            Title of each item that is left out: the very one that is judged.
        """
        self._read(list({id(item): item for item in items}.values()))
        entries = [self._entries[id(item)] for item in items]
        rows = np.array([entry.row for entry in entries], dtype=np.int64)
        says = np.flatnonzero(self._fields.says[rows])
        found: list[tuple[int, int]] = []
        for pair, (entry, title) in enumerate(zip(entries, apart, strict=True)):
            key = same_text_key(title)
            found += [(pair, row) for row, own in zip(entry.titles, entry.keys, strict=True) if own != key]
        owner, row = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return Source(self._fields.take(rows[says]), says, FIELDS), Source(self._titles.take(row), owner, TITLE)

    def _read(self, items: Sequence[Item]) -> None:
        """Read those items that are not there; when the shelf is full, it is emptied first."""
        missing = [item for item in items if id(item) not in self._entries]
        if len(self._entries) + len(missing) > _MOST_ITEMS:
            self._entries, missing = {}, list(items)
            self._fields, self._titles = self._reader.read([], FIELDS), self._reader.read([], TITLE)
        if not missing:
            return
        titles: list[str] = []
        for number, item in enumerate(missing):
            own = self._titles_of(item)
            first = len(self._titles) + len(titles)
            keys = tuple(map(same_text_key, own))
            self._entries[id(item)] = _Entry(item, len(self._fields) + number, range(first, first + len(own)), keys)
            titles += own
        self._fields = self._fields.joined(self._reader.read([item.text() for item in missing], FIELDS))
        self._titles = self._titles.joined(self._reader.read(titles, TITLE))

    def _titles_of(self, item: Item) -> tuple[str, ...]:
        own = self._own.get(item.item_id)
        if own is None:
            own = (item.current_title,) if item.current_title else ()
        return tuple(title for title in own if words(title))
