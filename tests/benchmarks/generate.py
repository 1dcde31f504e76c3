"""Titles a second and peak memory of generation, against plain ``model.generate`` loops in input order.

    python tests/benchmarks/generate.py --items 1000 10000 100000

A small shop is simulated and a tiny policy trained on it (or --run names a run of a simulated shop); then titles are
written for held-out items of that shop. Every measurement is a process of its own, the kinds take turns, and the median
of --repeat rounds is printed with its ratio to the plain loop of the same size. On a busy machine compare titles per
CPU second. All loops sample with the same settings and batch size, padded, in the catalogue's order:

one by one      ``model.generate`` item by item, titles only
plain           the same over batches
policy          `TitlePolicy.generate`, titles only: to compare with "plain"
plain, checked  "plain" with what makes the titles as good as the command's: the rules checked, no words twice, what
                fails written again, rewards predicted
rlopt generate  the whole command: reading, rules, rewards, shards; to compare with "plain, checked"

After each size: what the simulator finds unsupported in the titles given out.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from envs.catalog import draw_item, load_locale
from envs.market import Market
from reward.items import Item, flatten_fields

CHUNK = 2000
KINDS = ("one by one", "plain", "policy", "plain, checked", "rlopt generate")


def held_out(market: dict[str, object], n: int) -> Iterator[Item]:
    """Items of the shop that its logs do not have; item ``i`` is the same in a shop of any size."""
    spec, first = load_locale(str(market["locale"])), int(str(market["n_items"]))
    for i in range(first, first + n):
        yield draw_item(spec, int(str(market["seed"])), i)


def write_catalogue(market: dict[str, object], n: int, path: Path) -> None:
    """``n`` held-out items as parquet, in constant memory."""
    schema = pa.schema([("item_id", pa.string()), ("fields", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        rows: list[dict[str, str]] = []
        for number, item in enumerate(held_out(market, n), start=1):
            rows.append({"item_id": item.item_id, "fields": json.dumps(item.fields, ensure_ascii=False)})
            if len(rows) == CHUNK or number == n:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []


def measure(kind: str, run: Path, catalogue: Path, batch_size: int) -> dict[str, float]:
    """One measurement in this process: seconds of what a shop waits for once Python has started, models loaded or not.

    "one by one", "plain" and "policy" have their models and items in memory before the clock starts.
    """
    import torch

    from rlopt.policy.pretrained import quiet_loading
    from rlopt.policy.title_policy import TitlePolicy

    torch.set_num_threads(1)
    quiet_loading()
    if kind == "rlopt generate":
        from rlopt.config import GenerateConfig
        from rlopt.run import Run
        from rlopt.stages.generate.stage import generate

        out = catalogue.with_suffix(".out.parquet")
        wall, cpu = time.monotonic(), time.process_time()
        generate(Run.open(run), catalogue, out, GenerateConfig(batch_size=batch_size))
    else:
        policy = TitlePolicy.load(run / "ppo")
        items = [
            Item(r["item_id"], flatten_fields(json.loads(r["fields"]))) for r in pq.read_table(catalogue).to_pylist()
        ]
        check = checked(policy, run) if kind == "plain, checked" else None
        size = 1 if kind == "one by one" else batch_size
        wall, cpu = time.monotonic(), time.process_time()
        if kind == "policy":
            policy.generate(items, batch_size=batch_size)
        else:
            for start in range(0, len(items), size):
                part = items[start : start + size]
                titles = plain_titles(policy, part)
                if check is not None:
                    check(part, titles)
    return {
        "wall": time.monotonic() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def plain_titles(policy: Any, items: Sequence[Item]) -> list[str]:
    """One batch of transformers' own sampling."""
    import torch

    from rlopt.policy.scoring import left_pad
    from rlopt.policy.slot_mask import OpenSlotsOnly

    pad, eos = int(policy.tokenizer.pad_token_id), int(policy.tokenizer.eos_token_id)
    ids, mask = left_pad(policy.prompt_ids(items), pad)
    with torch.inference_mode():
        found = policy.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            max_new_tokens=policy.max_title_tokens,
            pad_token_id=pad,
            eos_token_id=eos,
            logits_processor=[OpenSlotsOnly(policy.slot_mask, ids.shape[1])],
        )
    texts = policy.tokenizer.batch_decode(found[:, ids.shape[1] :], skip_special_tokens=True)
    return [policy.renderer.title(item, text) for item, text in zip(items, texts, strict=True)]


def checked(policy: Any, run: Path) -> Callable[[Sequence[Item], list[str]], None]:
    """Checks that a plain loop needs besides, for titles as good as the command's."""
    from reward.model.reward_model import RewardModel
    from rlopt.config import GenerateConfig
    from rlopt.run import ENCODINGS, Run
    from rlopt.stages.common.rules import constraints_for
    from rlopt.stages.generate.proposals import ROUNDS, title_hash

    opened = Run.open(run)
    model = RewardModel.load(opened / "reward", encodings=opened / ENCODINGS)
    rules = constraints_for(opened.arms().of_items(opened.splits().train), GenerateConfig())
    used: set[int] = set()

    def check(items: Sequence[Item], titles: list[str]) -> None:
        left = list(range(len(items)))
        for attempt in range(ROUNDS):
            if attempt:
                for i, title in zip(left, plain_titles(policy, [items[i] for i in left]), strict=True):
                    titles[i] = title
            broken = []
            for i in left:
                key = title_hash(titles[i])
                if key in used or rules.check(items[i], titles[i]):
                    broken.append(i)
                used.add(key)
            left = broken
            if not left:
                break
        model.predict(items, titles)

    return check


def trained_run(folder: Path, locale: str, sft_steps: int | None = None, ppo_steps: int = 20) -> Path:
    """A run of a small simulated shop with a short training."""
    folder.mkdir(exist_ok=True)
    run = folder / "run"
    preset = folder / "preset.yaml"
    sft = "" if sft_steps is None else f"sft: {{steps: {sft_steps}}}\n"
    preset.write_text(f"reward: {{members: 2}}\n{sft}ppo: {{steps: {ppo_steps}}}\n", encoding="utf-8")
    logs = folder / "logs.parquet"
    for command in (
        ("simulate", "-o", logs, "--items", 1000, "--impressions", 1_000_000, "--locale", locale),
        ("fit-reward", logs, "--config", preset, "--run", run),
        ("ppo", "--run", run),
    ):
        subprocess.run([sys.executable, "-m", "rlopt", *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    return run


def audit(run: Path, catalogue: Path, market: dict[str, object], n: int) -> None:
    """Count unsupported claims in the titles that were given out, by the simulator."""
    shop = Market(int(str(market["n_items"])) + n, str(market["locale"]), int(str(market["seed"])))
    by_id = {item.item_id: item for item in shop.items}
    rows = pq.read_table(catalogue.with_suffix(".out.parquet")).to_pylist()
    readings = [shop.reading(by_id[row["item_id"]], row["title"]) for row in rows if row["title"]]
    print(
        f"{len(rows):,} rows, {len({row['item_id'] for row in rows}):,} items, {len(readings):,} with a title; "
        f"wrong numbers, brands and values: {sum(one.wrong_claims for one in readings)}; "
        f"other words the simulator does not know: {sum(one.gibberish for one in readings)}"
    )


def main() -> None:
    """Measure every size and kind, one process each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--run", type=Path, help="a finished run of a simulated shop")
    parser.add_argument("--locale", choices=("en", "zh"), default="en")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--plain-up-to", type=int, default=10_000, help="largest size of the loops in memory")
    parser.add_argument("--repeat", type=int, default=3, help="rounds of which the median counts")
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "CATALOGUE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        kind, catalogue = arguments.measure
        print(json.dumps(measure(kind, arguments.run, Path(catalogue), arguments.batch_size)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = arguments.run or trained_run(folder, arguments.locale)
        market = json.loads((run / "market.json").read_text(encoding="utf-8"))
        print(f"{'items':>8} {'what':16} {'titles/s':>9} {'titles/CPU s':>13} {'peak MiB':>9}  CPU time")
        for n in arguments.items:
            catalogue = folder / f"items-{n}.parquet"
            write_catalogue(market, n, catalogue)
            most = {"one by one": 1000, "rlopt generate": n}
            kinds = [kind for kind in KINDS if n <= most.get(kind, arguments.plain_up_to)]
            rounds = arguments.repeat if n <= arguments.plain_up_to else 1
            found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
            for _ in range(rounds):
                for kind in kinds:
                    command = [sys.executable, __file__, "--run", run, "--batch-size", arguments.batch_size]
                    command += ["--measure", kind, catalogue]
                    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
                    found[kind].append(json.loads(done.stdout.splitlines()[-1]))
            seconds = {kind: [median(one[what] for one in found[kind]) for what in ("wall", "cpu")] for kind in kinds}
            for kind in kinds:
                wall, cpu = seconds[kind]
                against = "plain, checked" if kind == "rlopt generate" else "plain"
                times = f"{seconds[against][1] / cpu:6.2f} x {against}" if against in seconds else ""
                peak = max(one["peak_mib"] for one in found[kind])
                print(f"{n:8,} {kind:16} {n / wall:9.0f} {n / cpu:13.0f} {peak:9.0f}  {times}", flush=True)
            audit(run, catalogue, market, n)


if __name__ == "__main__":
    main()
