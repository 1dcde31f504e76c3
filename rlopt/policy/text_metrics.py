"""Similarity of written titles to references, the same for languages with and without spaces.

BLEU and chrF are sacrebleu's (Post 2018), ROUGE is rouge-score's (Lin 2004) on rlopt's own words, because its tokeniser
drops Chinese altogether.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rouge_score import rouge_scorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from reward.arrays import FloatArray, IntArray
from reward.features.lexicon import Lexicon
from reward.items import Item
from reward.text import is_cjk, same_text_key, words

Draws = npt.NDArray[np.uint8]
DRAWN_CELLS = 4_000_000  # multiplicities that are multiplied at once
ROUGE = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}


@dataclass(frozen=True)
class BootstrapMean:
    """A mean over titles with its 95% bootstrap interval over items."""

    value: float
    low: float
    high: float


class _Words:
    """rouge-score's tokeniser interface over `reward.text.words`."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def against_references(titles: Sequence[str], references: Sequence[str]) -> dict[str, FloatArray]:
    """ROUGE-1, -2, -L (F measures), chrF and exact match of each title against its reference, shape (n,), in [0, 1]."""
    scorer = rouge_scorer.RougeScorer(list(ROUGE.values()), tokenizer=_Words())
    chrf = CHRF()
    out = {name: np.zeros(len(titles)) for name in (*ROUGE, "chrf", "exact")}
    for row, (title, reference) in enumerate(zip(titles, references, strict=True)):
        found = scorer.score(reference, title)
        for name, key in ROUGE.items():
            out[name][row] = found[key].fmeasure
        out["chrf"][row] = chrf.sentence_score(title, [reference]).score / 100
        out["exact"][row] = float(same_text_key(title) == same_text_key(reference))
    return out


def nearest_reference(titles: Sequence[str], references: Sequence[Sequence[str]], metric: str) -> FloatArray:
    """A metric of `against_references` for each title and that one of its references which is nearest, shape (n,)."""
    rows = [k for k, several in enumerate(references) for _ in several]
    found = against_references([titles[k] for k in rows], [one for several in references for one in several])[metric]
    best = np.zeros(len(titles))
    np.maximum.at(best, rows, found)
    return best


def bleu_counts(titles: Sequence[str], references: Sequence[str]) -> FloatArray:
    """Counts that BLEU sums over titles, shape (n, 10): matches and totals of 1- to 4-grams, then both lengths.

    If the references are Chinese, all is cut into characters (sacrebleu's "zh"), else by its standard tokeniser.
    """
    chinese = is_cjk("".join(references[:1000]))
    metric = BLEU(tokenize="zh" if chinese else "13a", effective_order=True)
    out = np.zeros((len(titles), 10))
    for row, (title, reference) in enumerate(zip(titles, references, strict=True)):
        score = metric.sentence_score(title, [reference])
        out[row] = [*score.counts, *score.totals, score.sys_len, score.ref_len]
    return out


def bleu(counts: FloatArray) -> float:
    """Corpus BLEU in [0, 1] of the titles whose `bleu_counts` sum to ``counts``, shape (10,)."""
    whole = [round(float(value)) for value in counts]
    # Of titles of two words there are no 3-grams: orders that no title is long enough for do not count.
    score = BLEU.compute_bleu(
        whole[:4], whole[4:8], whole[8], whole[9], smooth_method="exp", effective_order=not all(whole[4:8])
    )
    return float(score.score) / 100


def about_items(items: Sequence[Item], titles: Sequence[str], lexicon: Lexicon) -> dict[str, FloatArray]:
    """Coverage, precision and length of each title with regard to its item, shape (n,).

    Returns
    -------
    dict
        ``coverage``: share of the item's short values that the title states. ``precision``: of these stated values
        and the title's claims that the item does not state (values, numbers, words), the share of the former; NaN
        for a title with neither, and for an item without fields. ``length``: words.
    """
    out = {name: np.zeros(len(titles)) for name in ("coverage", "precision", "length")}
    for row, (item, title) in enumerate(zip(items, titles, strict=True)):
        tokens = f" {' '.join(words(title))} "
        values = {tuple(words(v)) for vs in item.fields.values() for v in vs if len(v) <= 60} - {()}
        said = sum(f" {' '.join(value)} " in tokens for value in values)
        wrong = len(lexicon.unstated(item, title))
        out["coverage"][row] = said / len(values) if values else np.nan
        out["precision"][row] = said / (said + wrong) if said + wrong else np.nan
        if not item.fields:
            out["precision"][row] = np.nan
        out["length"][row] = len(words(title))
    return out


def distinct(titles: Sequence[str], n: int) -> float:
    """Share of different n-grams among all n-grams of words of all titles (Li et al. 2016); NaN without any."""
    grams: Counter[tuple[str, ...]] = Counter()
    for title in titles:
        tokens = words(title)
        grams.update(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    total = grams.total()
    return len(grams) / total if total else float("nan")


def bootstrap_mean(values: FloatArray, cluster: IntArray, weights: Draws) -> BootstrapMean:
    """Mean of ``values`` (n,), NaN left out, with the interval of resampling items.

    Parameters
    ----------
    cluster
        Item of each value, in 0 .. n_items - 1, shape (n,).
    weights
        Number of times that each draw takes each item, shape (n_draws, n_items); see `item_draws`.
    """
    known = np.isfinite(values)
    total = np.bincount(cluster[known], values[known], minlength=weights.shape[1])
    count = np.bincount(cluster[known], minlength=weights.shape[1])
    if not count.any():
        return BootstrapMean(float("nan"), float("nan"), float("nan"))
    totals, counts = drawn_sums(weights, np.stack([total, count], axis=1)).T
    drawn = totals[counts > 0] / counts[counts > 0]  # a draw of none of the known items says nothing
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (float("nan"), float("nan"))
    return BootstrapMean(float(total.sum() / count.sum()), float(low), float(high))


def item_draws(n_items: int, n_draws: int, seed: int) -> Draws:
    """Multiplicities of items in bootstrap draws, shape (n_draws, n_items)."""
    rng = np.random.default_rng(seed)
    share = np.full(n_items, 1 / n_items)
    return np.stack([rng.multinomial(n_items, share).astype(np.uint8) for _ in range(n_draws)])


def drawn_sums(weights: Draws, values: FloatArray) -> FloatArray:
    """``weights @ values`` for ``values`` of shape (n_items, k), some draws at a time: shape (n_draws, k)."""
    parts = np.array_split(weights, -(-weights.size // DRAWN_CELLS))
    return np.concatenate([part @ values for part in parts])
