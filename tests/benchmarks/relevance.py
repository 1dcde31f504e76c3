"""Does a title belong to its item, and does it read like one? On items that nothing was fitted on, in five folds.

    python tests/benchmarks/relevance.py
    python tests/benchmarks/relevance.py --encoder minilm --encodings /tmp/encodings.sqlite

Relevance: AUC of each held-out title beside its own item against a title of another item beside the same one; neither
is compared with the first of the two, so both see the same texts. "best cosine" is the largest TF-IDF cosine of
character n-grams (3 to 5; Chinese 1 to 3) to the item's other titles or its fields, "encoder alone" the largest of
sentence vectors; "relevance" is `Relevance`, without and with that encoder. Shares are those below the threshold that
5% of the logged titles were to miss: of held-out logged titles, and of titles with a fault. Spliced: part of the
title, part of a foreign one. Stuffed: the title with two foreign ones behind it. Shuffled: its words in another order,
which is no matter of relevance. Other numbers: each digit replaced, in titles that have one; no matter of it either.

Fluency: AUC of held-out logged titles against the same ones spoilt, and shares as above.

Intervals are 95%, items drawn with replacement.
"""

import argparse
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _data import DATA
from _title_data import CHINESE, ENGLISH, N_FOLDS, TitleData, catalogue, upworthy
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score

from reward.belonging.faults import Soundness
from reward.belonging.fluency import FAULTS, Fluency, spoil
from reward.belonging.relevance import Relevance
from reward.belonging.spoil import shuffled, spliced
from reward.belonging.views import rowwise
from reward.encoders.encoder import Encoder, open_encoder
from reward.items import Item
from reward.text import same_text_key

DRAWS = 200
BESIDE = ("own", "foreign", "spliced", "stuffed", "shuffled", "other numbers")
ASKED = {  # an encoder reads a hundred titles a second
    "best cosine": BESIDE[:2],
    "relevance": BESIDE,
    "encoder alone": BESIDE[:2],
    "relevance with encoder": BESIDE[:3],
}


class Scores:
    """Scores of titles over all folds: method, kind of title -> scores, faulty or not, and items."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = defaultdict(list)

    def add(self, way: str, kind: str, found: Soundness, item: np.ndarray) -> None:
        """Titles of one kind in one fold, each of an item."""
        self._found[way, kind].append((found.score, found.faulty, item))

    def auc(self, way: str, kind: str, chosen: np.ndarray) -> str:
        """AUC of own titles against those of ``kind`` with its interval, among the items (mask) chosen."""
        parts = [self._of(way, k, chosen) for k in ("own", kind)]
        score, item = (np.concatenate([part[k] for part in parts]) for k in (0, 2))
        label = np.repeat([1, 0], [len(part[0]) for part in parts])
        rng, share = np.random.default_rng(0), chosen / chosen.sum()
        weights = (rng.multinomial(chosen.sum(), share)[item] for _ in range(DRAWS))
        low, high = np.quantile([roc_auc_score(label, score, sample_weight=w) for w in weights], [0.025, 0.975])
        return f"{roc_auc_score(label, score):.3f} [{low:.3f}, {high:.3f}]"

    def share(self, way: str, kind: str, chosen: np.ndarray) -> str:
        """Share of these titles below the threshold."""
        return f"{100 * self._of(way, kind, chosen)[1].mean():.1f}%"

    def _of(self, way: str, kind: str, chosen: np.ndarray) -> list[np.ndarray]:
        joined = [np.concatenate(column) for column in zip(*self._found[way, kind], strict=True)]
        return [column[chosen[joined[2]]] for column in joined]


class BestCosine:
    """The largest cosine of a title to its item's fields or other titles: no threshold, nothing learned."""

    def __init__(self, vectors: Callable[[Sequence[str]], Any], own: dict[str, list[str]]) -> None:
        self._vectors, self._own = vectors, own

    def predict(self, items: Sequence[Item], titles: Sequence[str], *, apart: Sequence[str]) -> Soundness:
        """Cosines as scores."""
        texts = [[item.text(), *self._others(item, title)] for item, title in zip(items, apart, strict=True)]
        owner = np.repeat(np.arange(len(items)), [len(own) for own in texts])
        known = self._vectors([text for own in texts for text in own])
        score = np.full(len(titles), -1.0)
        np.maximum.at(score, owner, rowwise(self._vectors(titles)[owner], known))
        return Soundness(score, np.full(len(titles), -1.0), np.full(len(titles), "", dtype=object))

    def _others(self, item: Item, title: str) -> list[str]:
        return [text for text in self._own[item.item_id] if same_text_key(text) != same_text_key(title)]


def ways_of_telling(data: TitleData, fold: int, encoder: Encoder | None) -> dict[str, Relevance | BestCosine]:
    """Fitted on the other folds, and told the titles of this one's items."""
    rest, held = data.part(data.fold != fold), data.part(data.fold == fold)
    own: dict[str, list[str]] = {item.item_id: [] for item in held[0]}
    for title, index in zip(held[1], held[2], strict=True):
        own[held[0][index].item_id].append(title)
    lengths = (1, 3) if data.chinese else (3, 5)
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=lengths, sublinear_tf=True)
    vectorizer.fit([*rest[1], *(item.text() for item in rest[0])])
    started = time.process_time()
    ways = {
        "best cosine": BestCosine(vectorizer.transform, own),
        "relevance": Relevance.fit(*rest).with_titles(*held),
    }
    print(f"  {len(rest[1]):,} titles: fitted in {time.process_time() - started:.1f} s of processor time", flush=True)
    if encoder is not None:
        ways["encoder alone"] = BestCosine(encoder.about, own)
        ways["relevance with encoder"] = Relevance.fit(*rest, encoder=encoder).with_titles(*held)
    return ways


def titles_beside(data: TitleData, rows: np.ndarray, rng: np.random.Generator) -> dict[str, list[str | None]]:
    """Titles of each kind for the items of these ones; None where nothing changes."""
    titles, group = [data.titles[row] for row in rows], data.group[data.index[rows]]
    foreign = [titles[rng.choice(np.flatnonzero(group != own))] for own in group]
    other = [foreign[i] for i in rng.permutation(len(foreign))]
    both = [(a, b) if rng.random() < 0.5 else (b, a) for a, b in zip(titles, foreign, strict=True)]
    renumbered = [re.sub(r"\d", lambda m: f"{(int(m[0]) + int(rng.integers(1, 9))) % 10}", title) for title in titles]
    made: list[list[str | None]] = [
        [*titles],
        [*foreign],
        [spliced(a, b, rng) for a, b in both],
        [f"{a} {b} {c}" for a, b, c in zip(titles, foreign, other, strict=True)],
        [shuffled(title, rng) for title in titles],
        [new if new != old else None for new, old in zip(renumbered, titles, strict=True)],
    ]
    return dict(zip(BESIDE, made, strict=True))


def measure_relevance(data: TitleData, encoder: Encoder | None) -> Scores:
    """Held-out titles, own and others, by every way of telling them apart."""
    scores = Scores()
    for fold in range(N_FOLDS):
        rows = np.flatnonzero(data.fold[data.index] == fold)
        made = titles_beside(data, rows, np.random.default_rng(fold))
        ways = ways_of_telling(data, fold, encoder)
        for kind, titles in made.items():
            kept = np.array([title is not None for title in titles])
            item = data.index[rows[kept]]
            asked = [str(title) for title in titles if title is not None]
            apart = [data.titles[row] for row in rows[kept]]
            for way, tell in ways.items():
                if kind in ASKED[way]:
                    scores.add(way, kind, tell.predict([data.items[i] for i in item], asked, apart=apart), item)
    return scores


def show_relevance(data: TitleData, encoder: Encoder | None) -> None:
    """AUC and shares of one set of items."""
    print(f"\n{data.name}: {len(data.titles):,} titles of {len(data.items):,} items")
    scores = measure_relevance(data, encoder)
    several = np.bincount(data.index, minlength=len(data.items)) > 1
    groups = {"all": np.ones(len(several), dtype=bool), "items of several titles": several, "items of one": ~several}
    if not several.any():
        groups = {"items of one": ~several}
    ways = ["best cosine", "relevance", *(["encoder alone", "relevance with encoder"] if encoder else [])]
    for name, chosen in groups.items():
        print(f"{name}, {chosen.sum():,}")
        for way in ways:
            line = f"  {way:24} AUC {scores.auc(way, 'foreign', chosen)}"
            if way.startswith("relevance"):
                line += f", spliced {scores.auc(way, 'spliced', chosen)}; below the threshold: "
                line += ", ".join(f"{kind} {scores.share(way, kind, chosen)}" for kind in ASKED[way])
            print(line, flush=True)


def show_fluency(data: TitleData) -> None:
    """AUC and shares of held-out titles, as they are and spoilt."""
    scores = Scores()
    for fold in range(N_FOLDS):
        _, titles, index = data.part(data.fold != fold)
        model = Fluency.fit(titles, index)
        rows = np.flatnonzero(data.fold[data.index] == fold)
        made = spoil([data.titles[row] for row in rows], np.random.default_rng(fold))
        for fault, spoilt in made.items():
            kept = np.array([title is not None for title in spoilt])
            asked = [title for title in spoilt if title is not None]
            scores.add("fluency", fault or "own", model.predict(asked), data.index[rows[kept]])
    everything = np.ones(len(data.items), dtype=bool)
    line = f"{data.name:20} false alarms {scores.share('fluency', 'own', everything)}"
    for fault in FAULTS:
        found = scores.auc("fluency", fault, everything), scores.share("fluency", fault, everything)
        line += f"; {fault} AUC {found[0]}, below {found[1]}"
    print(line, flush=True)


def main() -> None:
    """All sets of items, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data (default: %(default)s)")
    parser.add_argument("--encoder", help="as in rlopt fit-reward")
    parser.add_argument("--encodings", type=Path, help="keep encodings in this file between runs")
    parser.add_argument("--items", type=int, default=1_000_000, help="at most so many of each set")
    parser.add_argument("--only", choices=("relevance", "fluency"))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"{arguments.data} is not there: nothing to measure.")
        return
    encoder = open_encoder(arguments.encoder, cache=arguments.encodings) if arguments.encoder else None
    sets = [
        upworthy(arguments.data, arguments.items),
        catalogue(arguments.data, ENGLISH, arguments.items),
        catalogue(arguments.data, CHINESE, arguments.items),
    ]
    if arguments.only != "fluency":
        for data in sets:
            show_relevance(data, encoder)
    if arguments.only != "relevance":
        print("\nfluency")
        for data in sets:
            show_fluency(data)


if __name__ == "__main__":
    main()
