"""``rlopt evaluate-text``: titles against references and their items, beside two baselines that need no model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import TfidfVectorizer

from reward.arrays import IntArray
from reward.features.lexicon import Lexicon
from reward.items import Item
from reward.logs.sources.local import Source, local
from reward.model.reward_model import RewardModel
from reward.plain import Plain
from reward.text import words
from rlopt.config import TextConfig
from rlopt.errors import RunError
from rlopt.policy.text_metrics import (
    BootstrapMean,
    Draws,
    about_items,
    against_references,
    bleu,
    bleu_counts,
    bootstrap_mean,
    distinct,
    drawn_sums,
    item_draws,
)
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.common.columns import titles_of
from rlopt.stages.common.opened import OpenedRun

CELLS = 20_000_000  # similarities in memory


@dataclass(frozen=True)
class TextResult(Plain):
    """Metrics of the titles and of the baselines.

    Parameters
    ----------
    titles, items
        Number of titles and items read.
    table
        Name ("titles", and for items with fields "attributes", "neighbour") -> metric -> value, low and high (95%
        bootstrap over items).
    """

    titles: int
    items: int
    table: dict[str, dict[str, BootstrapMean]]


def evaluate_text(
    titles_file: Source,
    config: TextConfig | None = None,
    *,
    run: Run | None = None,
    columns: str | None = None,
    query: str | None = None,
) -> TextResult:
    """BLEU, chrF, ROUGE, exact match, attribute coverage and precision, distinct-n and length of titles.

    Parameters
    ----------
    titles_file
        Parquet, CSV or JSONL with item_id, title, the item's fields and, in ``config.references``, a reference; a
        table in memory, or what else `reward.logs.sources.local` takes.
    run
        With a reward model: predicted CTR and CVR too, and its train titles say which words an item must state.
    columns
        The user's column names, as in ``--columns``.
    query
        SQL, or a file that holds it, where the titles are in a database.

    Raises
    ------
    LogError, RunError
        If the file cannot be read, or has no such column of references.
    StageOrderError
        If ``run`` has no reward model yet.
    """
    config = config or TextConfig()
    opened = OpenedRun(run) if run is not None else None
    named = [config.references] if config.references else []
    with local(titles_file, query=query) as here:
        items, titles, table = titles_of(run, here, columns, named)
        where = str(here)
    if opened is not None:
        items = opened.with_known_fields(items)
    described = any(item.fields for item in items)
    if not described:
        note(
            "The items have no fields: neither coverage and precision are measured nor baselines. A --run may know them"
        )
    references = _references(table, config.references, where)
    kept = [i for i, text in enumerate(references or titles) if text]
    if not kept:
        raise RunError(f"{where} has no row with a {'reference' if config.references else 'title'} to measure.")
    items, titles = [items[i] for i in kept], [titles[i] for i in kept]
    references = [references[i] for i in kept] if references is not None else None
    lexicon = _lexicon(opened, items, references or titles)
    index = _item_index(items)
    draws = item_draws(int(index.max()) + 1, config.draws, config.seed)
    model = opened.reward if opened is not None else None
    rivals = {"titles": titles}
    if described:
        rivals["attributes"] = [attributes_title(item) for item in items]
    if described and references is not None and index.any():  # more than one item
        rivals["neighbour"] = neighbour_titles(items, references)
    found = {name: _metrics(items, texts, references, lexicon, model, index, draws) for name, texts in rivals.items()}
    return TextResult(len(titles), len(set(index.tolist())), found)


def attributes_title(item: Item) -> str:
    """The baseline that writes all short values of the item one after the other."""
    return " ".join(value for values in item.fields.values() for value in values if len(value) <= 60)


def neighbour_titles(items: Sequence[Item], titles: Sequence[str]) -> list[str]:
    """Baseline titles: for each item, that of the most similar other item (cosine of TF-IDF over the fields' words).

    There must be two items at least.
    """
    vectors = TfidfVectorizer(analyzer=words).fit_transform([item.text() or item.item_id for item in items])
    owner = _item_index(items)
    out = []
    block = max(1, CELLS // len(items))
    for start in range(0, len(items), block):
        similar = (vectors[start : start + block] @ vectors.T).toarray()
        similar[owner[start : start + block, None] == owner[None, :]] = -1.0
        out += [titles[int(best)] for best in similar.argmax(axis=1)]
    return out


def _metrics(
    items: Sequence[Item],
    titles: Sequence[str],
    references: Sequence[str] | None,
    lexicon: Lexicon,
    model: RewardModel | None,
    index: IntArray,
    draws: Draws,
) -> dict[str, BootstrapMean]:
    columns = about_items(items, titles, lexicon)
    if references is not None:
        columns = {**against_references(titles, references), **columns}
    if model is not None:
        predicted = model.predict(items, titles)
        columns["p_click"] = predicted.p_click
        if predicted.p_conversion is not None:
            columns["p_conversion"] = predicted.p_conversion
    out = {name: bootstrap_mean(values, index, draws) for name, values in columns.items()}
    if references is not None:
        counts = bleu_counts(titles, references)
        sums = [np.bincount(index, column, minlength=draws.shape[1]) for column in counts.T]
        by_item = np.stack(sums, axis=1, dtype=np.float64)
        low, high = np.quantile([bleu(row) for row in drawn_sums(draws, by_item)], [0.025, 0.975])
        out = {"bleu": BootstrapMean(bleu(counts.sum(axis=0)), float(low), float(high)), **out}
    for n in (1, 2):
        value = distinct(titles, n)
        out[f"distinct_{n}"] = BootstrapMean(value, float("nan"), float("nan"))  # of the whole set: no mean of items
    return out


def _references(table: pa.Table, column: str | None, where: str) -> list[str] | None:
    if column is None:
        return None
    if column not in table.column_names:
        raise RunError(
            f"{where} has no column '{column}' with references. Its columns: {', '.join(table.column_names)}."
        )
    return ["" if value is None else str(value).strip() for value in table[column].to_pylist()]


def _lexicon(opened: OpenedRun | None, items: Sequence[Item], titles: Sequence[str]) -> Lexicon:
    """Words any title may use: from the run's train titles, else from the references (or the titles themselves)."""
    if opened is None:
        return Lexicon.learn(zip(items, titles, strict=True))
    return Lexicon.learn(opened.train_arms.pairs)


def _item_index(items: Sequence[Item]) -> IntArray:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(item.item_id, len(numbers)) for item in items], dtype=np.int64)
