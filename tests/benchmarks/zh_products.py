"""Chinese marketplace titles with simulated clicks, through the three commands.

    python tests/benchmarks/zh_products.py ../shared/data/zh_products/title_attributes.parquet --run runs/zh

Each item keeps its real title and gets variants of it; simulated shoppers click on them; then fit-reward, ppo and
offline-eval run as a user would run them. The last table compares logged and new titles by the simulated truth.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from _data import DATA
from _real_titles import RealTitles, clicks_for_titles, title_variants

from reward.items import Item, flatten_fields


def read(path: Path) -> tuple[list[Item], list[list[str]]]:
    """Items with their attributes, and for each its real title with up to five variants."""
    rng = np.random.default_rng(0)
    items, titles = [], []
    for number, row in enumerate(pq.read_table(path).to_pylist()):
        fields = flatten_fields({name: row[name] for name in ("category", "subcategory", "attributes")})
        item = Item(f"zh-{number}", fields, row["title"])
        items.append(item)
        titles.append([row["title"], *title_variants(item, row["title"], 5, rng)])
    return items, titles


def rlopt(*arguments: object) -> str:
    """One command of rlopt, in a process of its own; its stdout."""
    command = [sys.executable, "-m", "rlopt", *map(str, arguments)]
    print("$ rlopt", *arguments, flush=True)
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    """Write logs, run the chain, compare with the truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "titles",
        type=Path,
        nargs="?",
        default=DATA / "zh_products" / "title_attributes.parquet",
        help="parquet with title, category, subcategory, attributes (default: %(default)s)",
    )
    parser.add_argument("--run", type=Path, default=Path("runs/zh-products"), help="run directory")
    parser.add_argument("--model", help="pretrained policy; without one the tiny model refuses: titles are free words")
    parser.add_argument("--steps", type=int, default=400, help="PPO updates")
    arguments = parser.parse_args()
    items, titles = read(arguments.titles)
    logs = arguments.run.parent / f"{arguments.run.name}-logs.parquet"
    logs.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(clicks_for_titles(items, titles, "zh", 0, impressions_per_item=4000), logs)
    place = ("--run", arguments.run)
    print(rlopt("fit-reward", logs, "--config", "configs/zh-products.yaml", *place))
    print(rlopt("ppo", "--steps", arguments.steps, *(("--model", arguments.model) if arguments.model else ()), *place))
    verdict = json.loads(rlopt("offline-eval", "--json", *place))
    print(json.dumps(verdict, ensure_ascii=False, indent=1))

    truth = RealTitles(items, titles, "zh", 0)
    by_id = {item.item_id: item for item in items}
    written = pq.read_table(arguments.run / "eval" / "titles.parquet").to_pylist()
    print("\nsimulated truth on the test items: mean click probability")
    for policy in dict.fromkeys(row["policy"] for row in written):
        rows = [row for row in written if row["policy"] == policy]
        p = truth.click_probability([by_id[row["item_id"]] for row in rows], [row["title"] for row in rows])
        print(f"  {policy:12} {100 * p.mean():.3f}%   for example {rows[0]['title']}")


if __name__ == "__main__":
    main()
