"""Unsupported numbers, brands and attribute values in 10,000 titles of each language, and what the rules stopped.

    python tests/benchmarks/claims.py --items 10000

A small shop is simulated in each language and a policy trained on it (or --runs names runs of simulated shops); then
``rlopt generate`` writes titles for items that the logs do not have. They are read by two readers that know nothing of
the rules: the simulator's, whose truth decides what a shopper believes, and one of plain text search, which looks for
every number and for every brand and value that any item of the shop may have. The same for titles without rules.
"""

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from generate import held_out, trained_run, write_catalogue

from envs.catalog import LocaleSpec, load_locale
from envs.market import Market
from reward.items import Item
from rlopt.config import GenerateConfig
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import Run
from rlopt.stages.generate.stage import generate

NUMBER = re.compile(r"\d+(?:\.\d+)?")


class TextSearch:
    """Finds what a title claims by looking for texts, longest first."""

    def __init__(self, spec: LocaleSpec) -> None:
        brands = {brand for category in spec.categories for brand in category.brands}
        values = {value for c in spec.categories for attribute in c.attributes for value in attribute.values}
        types = {kind for category in spec.categories for kind in (*category.types, *category.heads)}
        self._claims = [(text.casefold(), "brand" if text in brands else "value") for text in brands | values | types]
        self._claims.sort(key=lambda claim: (-len(claim[0]), claim))
        self._free = [text.casefold() for text in (*spec.promo, *spec.function_words)]
        self._heads = {category.name: [*category.heads, category.name] for category in spec.categories}

    def unsupported(self, item: Item, title: str) -> list[str]:
        """``kind: text`` of what the title says and the item does not."""
        own = [value.casefold() for values in item.fields.values() for value in values]
        own += [text.casefold() for text in self._heads[item.fields["category"][0]]]
        everything, left = " ".join(own), title.casefold()
        numbers = NUMBER.findall(everything)
        for text in sorted([*own, *self._free], key=len, reverse=True):
            left = _cut(left, text)
        found = [f"number: {number}" for number in NUMBER.findall(left) if number not in numbers]
        for text, kind in self._claims:
            shorter = _cut(left, text)
            if shorter != left:
                left = shorter
                latin = text.split() if text.isascii() else []
                if not (latin and all(_cut(everything, word) != everything for word in latin)):
                    found.append(f"{kind}: {text}")
        return found


def _cut(text: str, phrase: str) -> str:
    """``text`` without the places where ``phrase`` stands as a whole word."""
    if phrase not in text:
        return text
    before = r"(?<![a-z0-9])" if phrase[0].isascii() else ""
    after = r"(?![a-z0-9])" if phrase[-1].isascii() else ""
    return re.sub(before + re.escape(phrase) + after, " | ", text)


def audit(market: Market, items: Sequence[Item], titles: Sequence[str | None]) -> str:
    """Findings of both readers, in one line."""
    search, seen, words, texts = TextSearch(load_locale(market.locale)), 0, Counter[str](), Counter[str]()
    claims = 0
    for item, title in zip(items, titles, strict=True):
        if title is None:
            continue
        seen += 1
        reading = market.reading(item, title)
        claims += reading.wrong_claims
        words.update(reading.unstated)
        texts.update(search.unsupported(item, title))
    return (
        f"{seen:,} titles; wrong numbers, brands and values: simulator {claims}, text search {texts.total()} "
        f"{texts.most_common(4)}; all words without support: {words.total()} {words.most_common(4)}"
    )


def main() -> None:
    """Both languages, with the rules and without."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="finished runs of simulated shops")
    arguments = parser.parse_args()
    quiet_loading()
    with tempfile.TemporaryDirectory() as name:
        runs = arguments.runs or [trained_run(Path(name) / locale, locale, 300, 50) for locale in ("en", "zh")]
        for run in runs:
            market = json.loads((run / "market.json").read_text(encoding="utf-8"))
            catalogue, out = Path(name) / "items.parquet", Path(name) / "titles.parquet"
            write_catalogue(market, arguments.items, catalogue)
            items = list(held_out(market, arguments.items))
            shop = Market(int(market["n_items"]) + arguments.items, market["locale"], int(market["seed"]))
            result = generate(Run.open(run), catalogue, out, GenerateConfig())
            titles = pq.read_table(out)["title"].to_pylist()
            print(f"{market['locale']} with the rules:    {audit(shop, items, titles)}", flush=True)
            print(f"{market['locale']} stopped:           {result.stopped}; without a title: {result.without_title}")
            free = [one.text for (one,) in TitlePolicy.load(run / "ppo").generate(items, seed=1)]
            print(f"{market['locale']} without the rules: {audit(shop, items, free)}", flush=True)


if __name__ == "__main__":
    main()
