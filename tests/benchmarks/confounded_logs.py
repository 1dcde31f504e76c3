"""Can confounded logs fool the verdict? Forty-three kinds of logs from a click model that is not `envs`, truth known.

    python tests/benchmarks/confounded_logs.py                                   # 10 worlds a kind: about an hour
    python tests/benchmarks/confounded_logs.py --worlds 3 --kinds surface hour   # a quick look
    python tests/benchmarks/confounded_logs.py --print FILE                      # run nothing, print what is in FILE

A world is a shop of 500 items with 4 titles each and 1,500 impressions a title (`_click_model.py`), logged in one way
(`_log_kinds.py`): `rlopt fit-reward` learns from that log once, and `rlopt offline-eval --policy FILE --trained-on
nothing` judges four files of titles for its test items (`_confounded_world.py`). Three have a promo phrase that does
harm but, where logs are confounded, was shown when people click: "loser" (truly -8%), "zero" (the nearest lift not
above 0) and "+15"; "+30" has none. All settings are defaults, but that the learning curve, which no verdict reads, is
left out. `--assignment` is passed as the kind says where fit-reward has it. A log that fit-reward refuses counts as
insufficient evidence for all four.

True lifts are over the logged titles at their shares of the traffic, in the same contexts: by traffic and by item. A
third one, "logger", is over what the logs earned, where the titles were chosen by context.

"false" are truly harmful policies (no more clicks, or conversions down by 5% and more) told to launch; "traffic",
"items" and "logger" the shares of the told intervals that hold the true lift of that name, where evidence was not
refused; "bias" is the told less the true lift by traffic, in points, of every candidate whether refused or not
(without any effect of titles, of those with a promo phrase).
"launched" are those of "+15" and "+30" that do no harm. Each finished world is a line of --results; what is there is
not run again. Pin BLAS to one thread (OMP_NUM_THREADS=1): the fits are small.
"""

import argparse
import contextlib
import csv
import io
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _commit import commit
from _confounded_world import Candidate, Columns, World
from _log_kinds import KINDS, Kind

from rlopt.cli.main import run as command_line
from rlopt.files import JsonlWriter

PRESET = "reward: {learning_curve: false}\n"
REFUSED = "insufficient-evidence"
GAINS = ("+15", "+30")
WEIGHTS = ("traffic", "items", "shown")

Row = dict[str, Any]


def world_row(kind: str, seed: int) -> Row:
    """One world: a fit, and what offline-eval says of each candidate beside the truth."""
    began = time.monotonic()
    with TemporaryDirectory() as name:
        folder = Path(name)
        world = World(kind, seed)
        write_log(world, folder / "logs.parquet")
        run, preset = folder / "run", folder / "preset.yaml"
        preset.write_text(PRESET)
        options = ["--run", run, "--config", preset, "--seed", seed, *assignment(world.kind)]
        fit = rlopt("fit-reward", folder / "logs.parquet", *options)
        fitted = time.monotonic()
        if "error" in fit:
            judged: list[Row] = []
        else:
            test = json.loads((run / "data" / "splits.json").read_text(encoding="utf-8"))["test"]
            judged = [verdict(folder, run, candidate) for candidate in world.candidates(test)]
    return {
        "kind": kind,
        "seed": seed,
        "commit": commit(),
        "refused": fit.get("error"),
        "rows": judged,
        "fit_seconds": round(fitted - began, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def write_log(world: World, path: Path) -> None:
    """The log as parquet, the items' fields in every row."""
    rows: Columns = world.log()
    item, slot = rows.pop("item"), rows.pop("slot")
    titles = pa.array([title for titles in world.shop.titles for title in titles])
    columns = {"item_id": pa.array(world.shop.ids).take(pa.array(item))}
    columns["title"] = titles.take(pa.array(item * len(world.shop.titles[0]) + slot))
    for field in world.shop.fields[0]:
        columns[field] = pa.array([fields[field] for fields in world.shop.fields]).take(pa.array(item))
    for name, values in rows.items():
        columns[name] = pa.array(values, from_pandas=True)  # NaN is a missing value
    if "timestamp" in columns:
        columns["timestamp"] = columns["timestamp"].cast(pa.timestamp("s", tz="UTC"))
    pq.write_table(pa.table(columns), path)


def verdict(folder: Path, run: Path, candidate: Candidate) -> Row:
    """Verdict on one candidate, and the truth."""
    path = folder / f"{candidate.name.replace('+', 'plus-')}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("item_id", "title"), *candidate.titles.items()])
    said = rlopt("offline-eval", "--policy", path, "--trained-on", "nothing", "--run", run)
    truth = candidate.truth
    row: Row = {"name": candidate.name, "harmful": truth.harmful}
    row["true"] = {
        name: round(value, 5) for name in (*WEIGHTS, "conversions") if (value := getattr(truth, name)) is not None
    }
    if "error" in said:
        return row | {"verdict": "error", "against": [said["error"]]}
    report = json.loads(Path(said["report"]).with_suffix(".json").read_text(encoding="utf-8"))
    against = [reason["topic"] for reason in report["verdict"]["reasons"] if reason["status"] in ("hold", "doubt")]
    told = {"told": said["over_logged"]["estimated_lift"], "low": said["over_logged"]["low"]}
    told["high"] = said["over_logged"]["high"]
    if (conversions := report["guardrails"]["conversions"]) is not None:
        told |= {f"conversions_{name}": conversions[name] for name in ("value", "low", "high")}
    return row | {name: round(x, 5) for name, x in told.items()} | {"verdict": said["verdict"], "against": against}


def rlopt(*arguments: object) -> Row:
    """The JSON object that a command prints; with the key "error" where it failed.

    Raises
    ------
    RuntimeError
        For an error that is a bug of rlopt or of this script.
    """
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = command_line([*map(str, arguments), "--json"])
    said: Row = json.loads(out.getvalue())
    if code not in (0, 1) or "This is a bug" in said.get("error", ""):
        raise RuntimeError(f"rlopt {' '.join(map(str, arguments))}: {said['error']}")
    return said


def assignment(kind: Kind) -> list[str]:
    """``--assignment`` as the kind says, where this version of fit-reward has the option."""
    return ["--assignment", kind.assignment] if "--assignment" in _fit_reward_help() else []


@cache
def _fit_reward_help() -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        command_line(["fit-reward", "--help"])
    return out.getvalue()


def table(lines: Sequence[Row]) -> str:
    """A line a kind; shares as counts, so that few worlds look like few."""
    out = [
        f"{'what the log holds':48} worlds    false  traffic    items   logger  bias harmful     +15     +30  refused"
        "  launched +15      +30"
    ]
    for name, kind in KINDS.items():
        if mine := [line for line in lines if line["kind"] == name]:
            out.append(f"{kind.says:48} {len(mine):6} {_cells(mine)}")
    seconds = [line["seconds"] for line in lines]
    versions = ", ".join(sorted({line["commit"] for line in lines}))
    out.append(f"{np.median(seconds):.0f} seconds a world in the median, {max(seconds):.0f} at most; rlopt {versions}")
    return "\n".join(out)


def _cells(lines: Sequence[Row]) -> str:
    rows = [row for line in lines for row in line["rows"]]
    judged = [row for row in rows if "told" in row]
    kept = [row for row in judged if row["verdict"] != REFUSED]
    whole = sum(line["refused"] is not None for line in lines)
    bias: dict[str, list[float]] = {"harmful": [], **{name: [] for name in GAINS}}
    for row in judged:
        if not row["name"].startswith("plain"):  # without any effect, bias of titles with a promo phrase is shown
            bias[row["name"] if row["name"] in GAINS else "harmful"].append(row["told"] - row["true"]["traffic"])
    gains = [[row for row in rows if row["name"] == name and not row["harmful"]] for name in GAINS]
    return " ".join(
        [
            _count([row["verdict"] == "launch" for row in rows if row["harmful"]]),
            *(_count([row["low"] <= row["true"][by] <= row["high"] for row in kept]) for by in WEIGHTS),
            f"{_points(bias['harmful']):>13}",
            *(_points(bias[name]) for name in GAINS),
            _count([row["verdict"] in (REFUSED, "error") for row in rows] + [True] * 4 * whole),
            "    ",
            *(_count([row["verdict"] == "launch" for row in mine]) for mine in gains),
        ]
    )


def _count(hits: Sequence[bool]) -> str:
    return f"{sum(hits)}/{len(hits)}".rjust(8) if hits else "       -"


def _points(differences: Sequence[float]) -> str:
    return (f"{100 * np.mean(differences):+.1f}" if differences else "-").rjust(7)


def details(lines: Sequence[Row]) -> Iterator[str]:
    """A line a candidate."""
    for line in lines:
        head = f"{line['kind']:11} {line['seed']:3}"
        if line["refused"]:
            yield f"{head} fit-reward refused: {line['refused']}"
        for row in line["rows"]:
            true = " ".join(f"{name} {100 * value:+.1f}" for name, value in row["true"].items())
            told = "no lift told"
            if "told" in row:
                told = f"told {100 * row['told']:+5.1f} [{100 * row['low']:+5.1f}, {100 * row['high']:+5.1f}]"
            if "conversions_low" in row:
                told += f" conversions {100 * row['conversions_value']:+.1f} from {100 * row['conversions_low']:+.1f}"
            yield f"{head} {row['name']:6} {told}  true {true}  {row['verdict']} {' '.join(row['against'])}"


def main() -> None:
    """Run what is missing, print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=10, help="worlds of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--jobs", type=int, default=1, help="worlds at once, each in a process of its own")
    parser.add_argument("--results", type=Path, default=Path("runs/confounded-logs.jsonl"))
    parser.add_argument("--print", type=Path, metavar="RESULTS", help="run nothing, print what is in this file")
    parser.add_argument("--each", action="store_true", help="print a line a candidate too")
    arguments = parser.parse_args()
    results = JsonlWriter(arguments.print or arguments.results)
    if not arguments.print:
        done = {(line["kind"], line["seed"]) for line in results.rows()}
        seeds = range(arguments.first_seed, arguments.first_seed + arguments.worlds)
        todo = [(kind, seed) for seed in seeds for kind in arguments.kinds if (kind, seed) not in done]
        for line in each(todo, arguments.jobs):
            results.write(line)
            print(f"{line['kind']} {line['seed']}: {line['seconds']:.0f} s", flush=True)
    lines = [line for line in results.rows() if line["kind"] in arguments.kinds]
    print("\n".join([*(details(lines) if arguments.each else ()), table(lines)]))


def each(todo: Sequence[tuple[str, int]], jobs: int) -> Iterator[Row]:
    """Rows of these worlds, in order."""
    if jobs == 1:
        yield from (world_row(kind, seed) for kind, seed in todo)
        return
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawned) as pool:
        yield from pool.map(world_row, *zip(*todo, strict=True)) if todo else ()


if __name__ == "__main__":
    main()
