"""Catalogues of real products, one title per item and no clicks: what SFT is measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer

from reward.features.lexicon import Lexicon
from reward.items import Item, flatten_fields
from reward.text import clean, same_text_key
from rlopt.policy.text_metrics import about_items, against_references, bootstrap_mean, item_draws

DRAWS = 1000
ENGLISH, CHINESE = "en_products/fashion.parquet", "zh_products/title_attributes.parquet"
TITLE = {ENGLISH: "Product_Name", CHINESE: "title"}
FIELDS = {
    ENGLISH: ("Product_Brand", "Gender", "Primary_Color", "Description"),
    CHINESE: ("category", "subcategory", "attributes"),
}


@dataclass(frozen=True)
class Catalogue:
    """(item, title) pairs to learn from, and others to be measured on; no title is on both sides."""

    train: list[tuple[Item, str]]
    held_out: list[tuple[Item, str]]
    lexicon: Lexicon

    @property
    def items(self) -> list[Item]:
        """The held-out items."""
        return [item for item, _ in self.held_out]

    @property
    def references(self) -> list[str]:
        """Their real titles."""
        return [title for _, title in self.held_out]


def read(data: Path, name: str, train: int, held_out: int, seed: int = 0) -> Catalogue:
    """``train`` and ``held_out`` products of a catalogue, drawn at random, the same title on one side only."""
    rows = pq.read_table(data / name).to_pylist()
    pairs = []
    for number, row in enumerate(rows):
        title = clean(str(row[TITLE[name]] or ""))
        if title:
            fields = flatten_fields({field: row[field] for field in FIELDS[name]})
            pairs.append((Item(f"{number}", fields), title))
    order = np.random.default_rng(seed).permutation(len(pairs))
    watched, rest = [pairs[i] for i in order[:held_out]], [pairs[i] for i in order[held_out:]]
    taken = {same_text_key(title) for _, title in watched}
    learned = [pair for pair in rest if same_text_key(pair[1]) not in taken][:train]
    return Catalogue(learned, watched, Lexicon.learn(pair for pair in rest if same_text_key(pair[1]) not in taken))


def joined_attributes(items: Sequence[Item]) -> list[str]:
    """Baseline: the short values of each item, joined by blanks."""
    return [
        " ".join(value for values in item.fields.values() for value in values if len(value) <= 60) for item in items
    ]


def nearest_titles(catalogue: Catalogue) -> list[str]:
    """Baseline: the title of the train item with the most similar fields (TF-IDF of character n-grams)."""
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(2, 4), sublinear_tf=True, max_features=100_000)
    known = vectorizer.fit_transform([item.text() for item, _ in catalogue.train])
    similarity = vectorizer.transform([item.text() for item in catalogue.items]) @ known.T
    return [catalogue.train[int(i)][1] for i in np.asarray(similarity.argmax(axis=1)).ravel()]


def measure(catalogue: Catalogue, titles: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """chrF, ROUGE-L, attribute coverage and share of titles with an unsupported claim: mean, and 95% over items."""
    items = catalogue.items
    values = against_references(titles, catalogue.references)
    claims = [bool(catalogue.lexicon.unstated(item, title)) for item, title in zip(items, titles, strict=True)]
    columns = {
        "chrF": values["chrf"],
        "ROUGE-L": values["rouge_l"],
        "coverage": about_items(items, titles, catalogue.lexicon)["coverage"],
        "unsupported": np.array(claims, dtype=float),
    }
    draws = item_draws(len(items), DRAWS, seed=0)
    found = {name: bootstrap_mean(column, np.arange(len(items)), draws) for name, column in columns.items()}
    return {name: (estimate.value, estimate.low, estimate.high) for name, estimate in found.items()}


def cells(measured: dict[str, tuple[float, float, float]], names: Sequence[str]) -> str:
    """Cells of a Markdown table."""
    return " | ".join(f"{100 * v:.1f}% [{100 * lo:.0f}, {100 * hi:.0f}]" for v, lo, hi in (measured[n] for n in names))
