"""The extractive tagger on Chinese marketplace titles: entity F1, and what titles of at most 15 characters keep.

    python tests/benchmarks/tagger.py ../shared/data/zh_products/titles_entities.parquet --run runs/tagger

Two corpora with their own kinds of entities and their own test titles. `rlopt tag fit` learns from the train and dev
titles, `rlopt tag apply` shortens the test titles; nothing was chosen by the test titles. Entities are scored whole,
over characters, against all that people tagged, also where a unit cannot say it.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reward.text import clean, same_text_key
from rlopt.tagging.metrics import entity_scores
from rlopt.tagging.spans import Span, Units
from rlopt.tagging.tagger import Tagger

BOTH = {"HCCX": "product", "HC": "product", "HPPX": "brand", "HP": "brand", "XH": "", "MISC": ""}
FOUR = {"HCCX": "product", "HPPX": "brand", "XH": "model", "MISC": "other"}
SETTINGS = {
    "both corpora, product and brand": (BOTH, ("allanj", "PhantomGrapes")),
    "one corpus, all its kinds": (FOUR, ("allanj",)),
}
LIMIT = 15
Entities = list[tuple[str, str]]


def rlopt(*arguments: object) -> dict[str, Any]:
    """One command of rlopt, in a process of its own; its JSON result."""
    command = [sys.executable, "-m", "rlopt", *map(str, arguments), "--json"]
    print("$ rlopt", *arguments, flush=True)
    result: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return result


def named(row: dict[str, Any], kinds: dict[str, str]) -> Entities:
    """Entities of a row under their new names."""
    return [(kinds[kind], text) for kind, text in json.loads(row["entities"]) if kinds[kind]]


def true_spans(text: str, entities: Entities) -> list[Span]:
    """Characters of each entity; entities come in the title's order."""
    spans, start = [], 0
    for kind, entity in entities:
        start = text.index(clean(entity), start)
        spans.append(Span(start, start + len(clean(entity)), kind))
        start = spans[-1].end
    return spans


def found_spans(title: Units, spans: Sequence[Span]) -> list[Span]:
    """Characters of what the tagger found."""
    return [Span(title.places[one.start][0], title.places[one.end - 1][1], one.kind) for one in spans]


def keeps(short: str | None, entities: Entities) -> bool | None:
    """True if a short title holds a whole product word; None where none of them fits."""
    words = [text for kind, text in entities if kind == "product" and len(text) <= LIMIT]
    return any(same_text_key(word) in same_text_key(short or "") for word in words) if words else None


def measure(
    name: str, rows: Sequence[dict[str, Any]], entities: Sequence[Entities], folder: Path, tagger: Tagger
) -> None:
    """Print F1 by kind, and what the short titles keep."""
    titles = [clean(row["title"]) for row in rows]
    units = [Units.of(title) for title in titles]
    true = [true_spans(title, found) for title, found in zip(titles, entities, strict=True)]
    said = [found_spans(title, spans) for title, spans in zip(units, tagger.spans(units), strict=True)]
    print(f"\n{name}: {len(rows)} test titles")
    for kind, row in entity_scores(true, said).items():
        print(
            f"  {kind:10} precision {100 * row.precision:5.1f}  recall {100 * row.recall:5.1f}  "
            f"F1 {100 * row.f1:5.1f}  of {row.support}"
        )
    pq.write_table(pa.table({"title": titles}), folder / "test.parquet")
    began = time.monotonic()
    arguments = (folder / "test.parquet", "-o", folder / "short.parquet", "--max-chars", LIMIT, "--run", folder)
    speed = rlopt("tag", "apply", *arguments)["titles_per_second"]
    short = pq.read_table(folder / "short.parquet").to_pylist()
    long = [n for n, title in enumerate(titles) if len(title) > LIMIT]
    kept = [keep for n in long if (keep := keeps(short[n]["short_title"], entities[n])) is not None]
    lengths = [len(short[n]["short_title"]) for n in long if short[n]["short_title"]]
    print(
        f"  {len(long)} titles of more than {LIMIT} characters: {len(lengths)} shortened, to "
        f"{sum(lengths) / len(lengths):.1f} characters; {sum(kept)} of {len(kept)} with a product word that fits "
        f"keep one: {100 * sum(kept) / len(kept):.1f}%"
    )
    assert all(length <= LIMIT for length in lengths)
    print(f"  apply: {time.monotonic() - began:.0f} s, {speed:.0f} titles/s")
    for n in long[:8]:
        print(f"    {titles[n]}  ->  {short[n]['short_title']}  {short[n]['reason'] or ''}")


def main() -> None:
    """Fit, apply and measure for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path("../shared/data/zh_products/titles_entities.parquet")
    parser.add_argument("titles", type=Path, nargs="?", default=default, help="(default: %(default)s)")
    parser.add_argument("--unlabelled", type=Path, default=default.with_name("title_attributes.parquet"))
    parser.add_argument("--run", type=Path, default=Path("runs/tagger"), help="run directories are made in it")
    parser.add_argument("--only", type=int, help="one setting, by number")
    arguments = parser.parse_args()
    everything = pq.read_table(arguments.titles).to_pylist()
    learnable = [row["title"] for row in everything if row["split"] != "test"]
    arguments.run.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"title": learnable}), arguments.run / "titles.parquet")
    for number, (name, (kinds, corpora)) in enumerate(SETTINGS.items()):
        if arguments.only not in (None, number):
            continue
        folder = arguments.run / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [row for row in everything if row["source_repo"].startswith(corpora)]
        fit = [row for row in rows if row["split"] != "test"]
        tagged = [json.dumps(named(row, kinds), ensure_ascii=False) for row in fit]
        data = arguments.run / f"fit-{number}.parquet"
        pq.write_table(pa.table({"title": [row["title"] for row in fit], "entities": tagged}), data)
        more = ("--unlabelled", arguments.run / "titles.parquet", "--unlabelled", arguments.unlabelled)
        began = time.monotonic()
        result = rlopt("tag", "fit", data, "--required", "product", *more, "--run", folder)
        print(
            f"fit: {time.monotonic() - began:.0f} s, {result['parameters']:,} parameters, {result['titles']:,} titles"
        )
        print(
            f"  its own held-out titles: F1 {100 * result['entities']['all']['f1']:.1f}, left out {result['left_out']}"
        )
        tagger = Tagger.load(folder / "tag")
        for corpus in corpora:
            test = [row for row in rows if row["split"] == "test" and row["source_repo"].startswith(corpus)]
            measure(f"{name}, {corpus}", test, [named(row, kinds) for row in test], folder, tagger)


if __name__ == "__main__":
    main()
