"""Does the verdict launch titles that belong to other articles? The Upworthy archive, through the command line.

    python tests/benchmarks/foreign_headlines.py --seeds 7 --results foreign.jsonl
    python tests/benchmarks/foreign_headlines.py --seeds 7 --results foreign.jsonl --encoder minilm

For each seed, `rlopt fit-reward` learns from logs that lack one headline of each item that has three or more. Then
`rlopt offline-eval` is asked, each time in a copy of the run that has seen no other candidate, about titles for the
same test items:

- best of 4, 16, 64: of so many headlines of other articles the one that `rlopt score` rewards most;
- shuffled, spliced, cut: an own headline's words in random order; half of it and half of a foreign one; its beginning;
- one for all: the headline with the highest mean reward over some items, for every article;
- own: the withheld headlines, the control. What they earned in the archive is told beside what was said of them.

A finished row is a line of --results; the same command goes on where it was interrupted.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from _commit import commit
from _data import DATA
from upworthy_reward import ARCHIVE, COLUMNS, EXCLUDE

from reward.belonging.spoil import pieces, shuffled, spliced
from rlopt.run import Run

BEST_OF = (4, 16, 64)
FOR_ALL = 40  # headlines that are tried on so many items, to find the one for all
LEAST = 3  # headlines of an item of which one is withheld
Titles = dict[str, str]


def rlopt(*arguments: str | Path) -> dict[str, Any]:
    """Run one command with --json and return its answer."""
    command = [sys.executable, "-m", "rlopt", *map(str, arguments), "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)}\n{found.stderr}")
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def withhold(folder: Path, rng: np.random.Generator) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Logs without one headline of each item that has enough, and those rows by item."""
    rows = [row for row in pq.read_table(ARCHIVE).to_pylist() if row["headline"] and not row["randomization_problem"]]
    by_item: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if all(row[name] for name in COLUMNS["item_id"]):
            by_item["+".join(row[name] for name in COLUMNS["item_id"])].append(number)
    withheld = {}
    for item, numbers in by_item.items():
        different = len({rows[n]["headline"].strip().casefold() for n in numbers})
        if different >= LEAST and different == len(numbers):
            withheld[item] = int(rng.choice(numbers))
    gone = set(withheld.values())
    path = folder / "logs.parquet"
    pq.write_table(pa.Table.from_pylist([row for n, row in enumerate(rows) if n not in gone]), path)
    return path, {item: rows[n] for item, n in withheld.items()}


def fitted(folder: Path, logs: Path, seed: int, encoder: str | None) -> Path:
    """A run with a reward and a judge."""
    reward = {"assignment": "randomized", "learning_curve": False, **({"encoder": encoder} if encoder else {})}
    preset = folder / "preset.yaml"
    preset.write_text(yaml.safe_dump({"columns": COLUMNS, "exclude": EXCLUDE, "reward": reward}), encoding="utf-8")
    rlopt("fit-reward", logs, "--config", preset, "--run", folder / "run", "--seed", str(seed))
    return folder / "run"


def scored(folder: Path, run: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Reward of (item, title) pairs by `rlopt score`."""
    table = pa.table({"item_id": [item for item, _ in pairs], "title": [title for _, title in pairs]})
    pq.write_table(table, folder / "pairs.parquet")
    names = ("--columns", "item_id=item_id,title=title")
    rlopt("score", folder / "pairs.parquet", "-o", folder / "scored.parquet", *names, "--run", run)
    return pq.read_table(folder / "scored.parquet", columns=["reward"])["reward"].to_numpy()


def candidates(folder: Path, run: Path, own: dict[str, list[str]], rng: np.random.Generator) -> dict[str, Titles]:
    """Row of the table -> a title for each item; ``own`` are the logged headlines of the test items."""
    items = list(own)
    everyone = [title for titles in own.values() for title in titles]
    pairs = [
        (item, title)
        for item in items
        for title in rng.choice(everyone, max(BEST_OF) + 8, replace=False).tolist()
        if title not in own[item]
    ]
    reward = scored(folder, run, pairs)
    drawn: dict[str, list[int]] = defaultdict(list)
    for row, (item, _) in enumerate(pairs):
        drawn[item].append(row)
    out: dict[str, Titles] = {}
    for n in BEST_OF:
        best = {item: max(rows[:n], key=lambda row: reward[row]) for item, rows in drawn.items()}
        out[f"best of {n}"] = {item: pairs[row][1] for item, row in best.items()}
    base = {item: str(rng.choice(titles)) for item, titles in own.items()}
    out["shuffled"] = {item: shuffled(title, rng) for item, title in base.items()}
    out["spliced"] = {item: spliced(title, pairs[drawn[item][0]][1], rng) for item, title in base.items()}
    out["cut"] = {item: beginning(title, rng) for item, title in base.items()}
    tried, some = rng.choice(everyone, FOR_ALL, replace=False).tolist(), rng.choice(items, FOR_ALL).tolist()
    mean = (
        scored(folder, run, [(item, title) for title in tried for item in some]).reshape(FOR_ALL, FOR_ALL).mean(axis=1)
    )
    out["one for all"] = dict.fromkeys(items, tried[int(mean.argmax())])
    return out


def beginning(title: str, rng: np.random.Generator) -> str:
    """30 to 60% of the title."""
    parts, joint = pieces(title)
    return joint.join(parts[: max(round(rng.uniform(0.3, 0.6) * len(parts)), 1)])


def judged(folder: Path, run: Path, name: str, titles: Titles) -> dict[str, Any]:
    """Result of `rlopt offline-eval` for titles, in a run that was asked about no others."""
    file = folder / f"{name.replace(' ', '-')}.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerows([("item_id", "title"), *titles.items()])
    copy = folder / "asked"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    names = ("--columns", "item_id=item_id,title=title")
    said = rlopt("offline-eval", "--policy", file, "--trained-on", "nothing", *names, "--run", copy)
    report = json.loads((Path(said["report"]).parent / "report.json").read_text(encoding="utf-8"))
    lift = said["over_logged"]
    return {
        "verdict": said["verdict"],
        "lift": lift["estimated_lift"],
        "low": lift["low"],
        "high": lift["high"],
        "belonging": report["belonging"].get(report["candidate"]),
        "against": [r["topic"] for r in report["verdict"]["reasons"] if r["status"] in ("doubt", "hold")],
        "items": said["items"],
    }


def observed(run: Path, withheld: dict[str, dict[str, Any]], items: list[str]) -> dict[str, float]:
    """Observed lift of the withheld headlines over the others, items weighted by traffic, and its 95% interval."""
    arms = Run.open(run).arms()
    place = {item.item_id: i for i, item in enumerate(arms.items)}
    shown, clicks = (np.bincount(arms.item_index, x) for x in (arms.impressions, arms.clicks))
    rows = np.array([place[item] for item in items])
    new = np.array([withheld[item]["clicks"] / withheld[item]["impressions"] for item in items])
    mine, logged = shown[rows] * new, clicks[rows]
    scores = mine / mine.sum() - logged / logged.sum()
    error = float(np.sqrt(len(rows) / (len(rows) - 1) * scores @ scores))
    ratio = float(mine.sum() / logged.sum())
    return {
        "seen": ratio - 1,
        "seen_low": ratio * np.exp(-1.96 * error) - 1,
        "seen_high": ratio * np.exp(1.96 * error) - 1,
    }


def one_seed(seed: int, encoder: str | None, most: int, done: set[str], write: Any) -> None:
    """All rows of one seed that are not there yet."""
    rng = np.random.default_rng([seed, 7])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs, withheld = withhold(folder, rng)
        run = fitted(folder, logs, seed, encoder)
        opened = Run.open(run)
        arms, test = opened.arms(), list(opened.splits().test)
        own: dict[str, list[str]] = defaultdict(list)
        chosen = set(rng.permutation(test)[:most].tolist())
        for item, title in zip(arms.arm_items, arms.title, strict=True):
            if item.item_id in chosen:
                own[item.item_id].append(str(title))
        rows = candidates(folder, run, dict(own), rng)
        kept = [item for item in test if item in withheld]
        rows["own"] = {item: withheld[item]["headline"] for item in kept}
        for row, titles in rows.items():
            if row not in done:
                told = judged(folder, run, row, titles)
                seen = observed(run, withheld, kept) if row == "own" else {}
                write({"seed": seed, "encoder": encoder, "row": row, "commit": commit(), **told, **seen})


def report(lines: list[dict[str, Any]]) -> str:
    """The table."""
    out = ["row            encoder  launch  hold  no evidence  lift told (median)  belong  read well  against it"]
    for encoder in dict.fromkeys(line["encoder"] for line in lines):
        for row in dict.fromkeys(line["row"] for line in lines):
            found = [line for line in lines if (line["row"], line["encoder"]) == (row, encoder)]
            if not found:
                continue
            count = [sum(x["verdict"] == v for x in found) for v in ("launch", "hold", "insufficient-evidence")]
            share = [np.mean([(x["belonging"] or {}).get(k) or np.nan for x in found]) for k in ("relevant", "fluent")]
            against = sorted({topic for x in found for topic in x["against"]})
            out.append(
                f"{row:13}  {encoder or '-':7}  {count[0]:3}/{len(found):<2}  {count[1]:4}  {count[2]:11}  "
                f"{np.median([x['lift'] for x in found]):+18.1%}  {share[0]:6.0%}  {share[1]:9.0%}  "
                + ", ".join(against)
            )
            if "seen" in found[0]:
                seen = [np.mean([x[k] for x in found]) for k in ("seen", "seen_low", "seen_high")]
                out.append(f"{'':13}  seen {seen[0]:+.1%} [{seen[1]:+.1%}, {seen[2]:+.1%}] (means over seeds)")
    return "\n".join(out)


def main() -> None:
    """Measure what is missing, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--encoder", help="as in rlopt fit-reward")
    parser.add_argument("--items", type=int, default=500, help="test items at most")
    parser.add_argument("--results", type=Path, help="keep rows in this file between runs")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"{DATA} is not there: nothing to measure.")
        return
    file = arguments.results
    lines = [json.loads(text) for text in file.read_text().splitlines()] if file and file.exists() else []

    def write(line: dict[str, Any]) -> None:
        lines.append(line)
        if file:
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
        print(json.dumps(line), file=sys.stderr, flush=True)

    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        done = {line["row"] for line in lines if (line["seed"], line["encoder"]) == (seed, arguments.encoder)}
        if len(done) < len(BEST_OF) + 5:
            one_seed(seed, arguments.encoder, arguments.items, done, write)
    print(report(lines))


if __name__ == "__main__":
    main()
