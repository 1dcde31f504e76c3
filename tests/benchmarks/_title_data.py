"""Real items with titles that people wrote for them, in folds: what relevance and fluency are measured on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from reward.items import Item, flatten_fields
from reward.logs.splits import groups_by_title
from reward.text import clean, same_text_key

N_FOLDS = 5
UPWORTHY = "upworthy/packages.parquet"
ENGLISH, CHINESE = "en_products/fashion.parquet", "zh_products/title_attributes.parquet"
_CATALOGUES = {
    ENGLISH: ("English fashion", "Product_Name", ("Product_Brand", "Gender", "Primary_Color", "Description")),
    CHINESE: ("Chinese catalogue", "title", ("category", "subcategory", "attributes")),
}


@dataclass(frozen=True)
class TitleData:
    """Items and their titles in `N_FOLDS` folds.

    Parameters
    ----------
    name
        For tables.
    chinese
        True for Chinese titles.
    items
        Each once.
    titles, index
        Titles, and the item of each, shape (n,).
    group
        Items that share a title text, directly or by a chain, have one number; shape (n_items,).
    fold
        Of each item, the same for a group, shape (n_items,).
    """

    name: str
    chinese: bool
    items: list[Item]
    titles: list[str]
    index: np.ndarray
    group: np.ndarray
    fold: np.ndarray

    def part(self, chosen: np.ndarray) -> tuple[list[Item], list[str], np.ndarray]:
        """Items (mask), their titles, and the item of each of those."""
        rows = np.flatnonzero(chosen[self.index])
        items = [self.items[i] for i in np.flatnonzero(chosen)]
        return items, [self.titles[row] for row in rows], (np.cumsum(chosen) - 1)[self.index[rows]]


def upworthy(data: Path, most: int) -> TitleData:
    """At most so many tests with their headlines, each text once a test; lede and excerpt are fields.

    Weeks with faulty randomisation are left out.
    """
    tests: dict[str, dict[str, dict[str, str]]] = {}
    for row in pq.read_table(data / UPWORTHY).to_pylist():
        headline = clean(row["headline"] or "")
        if row["randomization_problem"] or not headline:
            continue
        test = tests.setdefault(row["clickability_test_id"], {"headline": {}, "lede": {}, "excerpt": {}})
        test["headline"].setdefault(same_text_key(headline), headline)
        for field in ("lede", "excerpt"):
            if value := clean(row[field] or ""):
                test[field].setdefault(value, value)
    items = [
        Item(name, {field: tuple(test[field]) for field in ("lede", "excerpt") if test[field]})
        for name, test in tests.items()
    ]
    return _folded("Upworthy", False, items, [list(test["headline"].values()) for test in tests.values()], most)


def catalogue(data: Path, file: str, most: int) -> TitleData:
    """At most so many products with one title each."""
    name, title, fields = _CATALOGUES[file]
    rows = [row for row in pq.read_table(data / file).to_pylist() if clean(str(row[title] or ""))]
    items = [Item(f"{i}", flatten_fields({f: row[f] for f in fields})) for i, row in enumerate(rows)]
    return _folded(name, file == CHINESE, items, [[clean(str(row[title]))] for row in rows], most)


def _folded(name: str, chinese: bool, items: list[Item], titles: list[list[str]], most: int) -> TitleData:
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(items))[:most])
    index = np.repeat(np.arange(len(chosen)), [len(titles[i]) for i in chosen])
    texts = [title for i in chosen for title in titles[i]]
    group = groups_by_title(len(chosen), index, texts)
    fold = (rng.permutation(int(group.max()) + 1) % N_FOLDS)[group]
    return TitleData(name, chinese, [items[i] for i in chosen], texts, index, group, fold)
