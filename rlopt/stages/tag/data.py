"""Titles from files: labelled ones to learn from, and any number of them to shorten, as a stream."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reward.errors import LogError
from reward.logs.source import FileSource, open_source
from reward.logs.sources.local import LocalSource
from reward.logs.validate import MAX_TITLE_CHARACTERS
from reward.text import same_text_key
from rlopt.config import TagConfig
from rlopt.errors import ConfigError, PolicyError, RunError
from rlopt.progress import note
from rlopt.tagging.alignment import align_entities, align_short
from rlopt.tagging.spans import Span, Units

READ_ROWS = 1024
MIN_TITLES = 20
PRODUCT_KINDS = frozenset(
    {"product", "product_word", "product_type", "type", "category", "品类", "产品", "产品词", "商品"}
)


@dataclass(frozen=True)
class Labelled:
    """A title with the spans that are known in it."""

    title: Units
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Corpus:
    """Labelled titles, each text once, those to learn from apart from those to measure on.

    Parameters
    ----------
    train, held_out
        No text is in both.
    kinds
        Of the spans, in alphabetical order.
    required
        Kind that a short title must keep, None with pairs.
    left_out
        Reason -> rows that nothing is learned from.
    """

    train: tuple[Labelled, ...]
    held_out: tuple[Labelled, ...]
    kinds: tuple[str, ...]
    required: str | None
    left_out: dict[str, int]


def read_corpus(titles_file: LocalSource, config: TagConfig) -> Corpus:
    """Labelled titles of a file, split by title.

    Raises
    ------
    LogError, RunError
        If the file cannot be read, lacks a column, or holds entities of another form.
    PolicyError
        If fewer than `MIN_TITLES` titles are left, or none has an entity.
    """
    left_out: Counter[str] = Counter()
    by_key: dict[str, Labelled] = {}
    with open_source(titles_file) as source:
        column = _label_column(source, config)
        label = "short" if column == config.short else "entities"
        for number, row in enumerate(rows(source, {"title": config.title, label: column}), 1):
            reason, labelled = _label(row, config, f"{source.where}, row {number}")
            if labelled is None:
                left_out[reason] += 1
            elif by_key.setdefault(same_text_key(labelled.title.text), labelled) is not labelled:
                left_out["the title occurs twice"] += 1
    titles = list(by_key.values())
    counts = Counter(kind for labelled in titles for kind in {span.kind for span in labelled.spans})
    if len(titles) < MIN_TITLES or not counts:
        why = "; ".join(f"{n}, because {reason}" for reason, n in left_out.items()) or "none"
        raise PolicyError(
            f"{titles_file} has {len(titles)} usable labelled titles with {counts.total()} labels, and at least "
            f"{MIN_TITLES} are needed. Left out: {why}."
        )
    order = np.random.default_rng(config.seed).permutation(len(titles))
    n_held_out = min(max(1, round(config.held_out * len(titles))), len(titles) - 1)
    held_out = tuple(titles[i] for i in sorted(order[:n_held_out]))
    train = tuple(titles[i] for i in sorted(order[n_held_out:]))
    required = None if column == config.short else _required(counts, config)
    return Corpus(train, held_out, tuple(sorted(counts)), required, dict(left_out))


def read_titles(files: Iterable[LocalSource], column: str) -> list[Units]:
    """Titles of more files, without labels."""
    out = []
    for file in files:
        with open_source(file) as source:
            out += [Units.of(str(row["title"])) for row in rows(source, {"title": column}) if row["title"]]
    return out


def rows(source: FileSource, columns: Mapping[str, str], start: int = 0) -> Iterator[dict[str, Any]]:
    """Rows from the ``start``-th on in the files' order, a few thousand in memory.

    Parameters
    ----------
    columns
        Name in the rows, which is that of the option for the column -> column of the file.

    Raises
    ------
    RunError
        If a column is missing.
    LogError
        If a file is damaged.
    """
    for name, column in columns.items():
        if column not in source.columns:
            raise RunError(
                f"{source.where} has no column '{column}' ({name}). Its columns: {', '.join(source.columns)}. "
                f"Name yours with --{name.replace('_', '-')}."
            )
    wanted = list(dict.fromkeys(columns.values()))
    number = 0
    for path in source.files:
        try:
            with pq.ParquetFile(path) as file:
                if lacking := [column for column in wanted if column not in file.schema_arrow.names]:
                    raise LogError(
                        f"{source.file_name(path)} has no column '{lacking[0]}', which other files of "
                        f"{source.where} have. Give all files the same columns."
                    )
                for batch in file.iter_batches(READ_ROWS, columns=wanted):
                    skip = min(max(start - number, 0), len(batch))
                    number += len(batch)
                    for row in batch.slice(skip).to_pylist():
                        yield {name: row[column] for name, column in columns.items()}
        except (pa.ArrowException, OSError) as error:
            raise LogError(f"Cannot read {source.file_name(path)}: {str(error).splitlines()[0]}.") from error


def _label_column(source: FileSource, config: TagConfig) -> str:
    """The column to learn from."""
    named = {"entities": config.entities, "pairs": config.short}
    if config.labels != "auto":
        return named[config.labels]
    there = [column for column in named.values() if column in source.columns]
    if len(there) != 1:
        what = "both columns" if there else "neither column"
        raise ConfigError(
            f"{source.where} has {what} '{config.entities}' and '{config.short}'. Say what to learn from: "
            "--labels entities or pairs, with --entities or --short for the column's name."
        )
    return there[0]


def _label(row: Mapping[str, Any], config: TagConfig, where: str) -> tuple[str, Labelled | None]:
    """(why it is left out, the labelled title)."""
    text = "" if row["title"] is None else str(row["title"])
    if len(text) > MAX_TITLE_CHARACTERS:
        return f"the title has more than {MAX_TITLE_CHARACTERS:,} characters", None
    title = Units.of(text)
    if not len(title):
        return "the title is empty", None
    if "short" in row:
        spans = align_short(title, Units.of(str(row["short"] or "")[:MAX_TITLE_CHARACTERS]))
        return "the short title does not consist of the long one's words in their order", _labelled(title, spans)
    if row["entities"] is None:
        return "no entities are given", None
    named = [(config.kinds.get(kind, kind), value) for kind, value in _entities(row["entities"], where)]
    spans = align_entities(title, [(kind, value) for kind, value in named if kind])
    return "an entity is not in the title", _labelled(title, spans)


def _labelled(title: Units, spans: Sequence[Span] | None) -> Labelled | None:
    return None if spans is None else Labelled(title, tuple(spans))


def _entities(value: Any, where: str) -> list[tuple[str, str]]:
    """[(kind, text)] from JSON text or nested columns."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
        return [_entity(entity) for entity in found]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunError(
            f"{where}: entities must be a list of [kind, text], or of objects with 'type' and 'text'. "
            f"Got {str(value)!r:.60}."
        ) from error


def _entity(entity: Any) -> tuple[str, str]:
    kind, text = (entity["type"], entity["text"]) if isinstance(entity, Mapping) else entity
    if not (isinstance(kind, str) and isinstance(text, str) and kind.strip()):
        raise ValueError
    return kind.strip(), text


def _required(counts: Counter[str], config: TagConfig) -> str:
    """The kind a short title must keep: the product word is what most titles have.

    Of kinds that as many have, one that is called so; notes an ambiguous choice.
    """
    if config.required is None:
        chosen = min(counts, key=lambda kind: (-counts[kind], kind.casefold() not in PRODUCT_KINDS, kind))
        if tied := sorted(kind for kind in counts if counts[kind] == counts[chosen] and kind != chosen):
            note(f"Short titles keep '{chosen}'; as many titles have {', '.join(tied)} (--required chooses)")
        return chosen
    if config.required not in counts:
        raise ConfigError(f"required must be one of {', '.join(sorted(counts))}. Got {config.required!r}.")
    return config.required
