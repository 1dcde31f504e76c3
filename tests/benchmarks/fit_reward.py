"""``rlopt fit-reward`` beside the obvious pipeline: seconds, rows/s and peak memory, each in a process of its own.

    python tests/benchmarks/fit_reward.py                                     # 1 M and 10 M impressions
    python tests/benchmarks/fit_reward.py --impressions 100000000 --only rlopt

Logs come from ``rlopt simulate`` (one row an impression; the default 2,000 items) and are kept in --folder.

The obvious pipeline is what a notebook would do: pandas reads the log, TfidfVectorizer turns the title of every row
into word weights, category, brand and surface become codes, LGBMClassifier with its defaults learns the click. It
gives P(click) and nothing else. "rlopt" does the same job with rlopt's functions: the log checked and aggregated, one
model of P(click) fitted on all titles. "command" is ``fit-reward`` as a user runs it: an ensemble of five for clicks
and one for conversions, the judge, and the evidence on held-out items. All sides get the same --threads.

Seconds are wall clock; CPU seconds stand beside them, since other work on the machine stretches the former only. Peak
memory is the resident set of the process and its children, sampled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

SIDES = ("rlopt", "command", "obvious")
ROOT = Path(__file__).resolve().parent.parent.parent


def logs_of(folder: Path, impressions: int, items: int) -> Path:
    """Simulated logs of that size, written if they are not there yet."""
    path = folder / f"logs-{items}-{impressions}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sizes = ["--items", str(items), "--impressions", str(impressions)]
        subprocess.run([sys.executable, "-m", "rlopt", "simulate", "-o", str(path), *sizes], check=True, cwd=ROOT)
    return path


def measured(arguments: Sequence[str], threads: int, limit_gib: float) -> dict[str, Any]:
    """Run this file as ``arguments`` say and watch its memory; past the limit it is stopped and said so."""
    environment = dict(os.environ, RLOPT_THREADS=str(threads), OMP_NUM_THREADS=str(threads), PYTHONPATH=str(ROOT))
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    peak, stopped = [0], threading.Event()

    def watch() -> None:
        root = psutil.Process(process.pid)
        while process.poll() is None and not stopped.wait(0.1):
            try:
                family = [root, *root.children(recursive=True)]
                peak[0] = max(peak[0], sum(member.memory_info().rss for member in family))
            except psutil.Error:
                continue
            if peak[0] > limit_gib * 2**30:
                process.kill()

    watcher = threading.Thread(target=watch)
    watcher.start()
    text, _ = process.communicate()
    stopped.set()
    watcher.join()
    found: dict[str, Any] = {"peak_gib": peak[0] / 2**30}
    if process.returncode == 0:
        return found | json.loads(text.decode().strip().splitlines()[-1])
    return found | {"failed": f"past {limit_gib:g} GiB" if peak[0] > limit_gib * 2**30 else process.returncode}


class Clock:
    """Wall and CPU seconds of each step."""

    def __init__(self) -> None:
        self.steps: dict[str, list[float]] = {}
        self._since = (time.perf_counter(), time.process_time())

    def lap(self, name: str) -> None:
        """Call the time since the last lap ``name``."""
        now = (time.perf_counter(), time.process_time())
        before = self.steps.get(name, [0.0, 0.0])
        self.steps[name] = [b + n - s for b, n, s in zip(before, now, self._since, strict=True)]
        self._since = now


def run_rlopt(logs: Path, threads: int) -> Clock:
    """One model of P(click) from the whole log, as the obvious pipeline makes."""
    clock = Clock()
    from reward.logs.read import read_logs
    from reward.model.reward_model import RewardModel

    clock.lap("import")
    arms = read_logs(logs, threads=threads).arms
    clock.lap("read")
    clicks = replace(arms, conversions=None, matured_clicks=None, revenue=None)
    RewardModel.fit(clicks, seed=0, n_members=1, threads=threads)
    clock.lap("fit")
    return clock


def run_command(logs: Path, threads: int) -> Clock:
    """``rlopt fit-reward`` into a fresh run, with the aggregation timed apart."""
    clock = Clock()
    from rlopt.config import RewardConfig
    from rlopt.run import Run
    from rlopt.stages.fit_reward import fitting, stage

    clock.lap("import")
    read = fitting.read_logs

    def timed(*arguments: Any, **options: Any) -> Any:
        clock.lap("fit")  # fingerprint of the logs: little
        data = read(*arguments, **options)
        clock.lap("read")
        return data

    fitting.read_logs = timed  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        stage.fit_reward(Run.open(Path(folder) / "run", create=True), logs, RewardConfig())
    clock.lap("fit")
    return clock


def run_obvious(logs: Path, threads: int) -> Clock:
    """One row an impression through pandas, TfidfVectorizer and LGBMClassifier."""
    clock = Clock()
    import pandas as pd
    import scipy.sparse as sp
    from lightgbm import LGBMClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer

    clock.lap("import")
    table = pd.read_parquet(logs)
    clock.lap("read")
    words = TfidfVectorizer().fit_transform(table["title"])
    codes = table[["category", "brand", "surface"]].apply(lambda column: column.astype("category").cat.codes)
    features = sp.hstack([words, sp.csr_matrix(codes.to_numpy(dtype="float32"))], format="csr")
    clock.lap("features")
    LGBMClassifier(n_jobs=threads, verbosity=-1).fit(features, table["click"])
    clock.lap("fit")
    return clock


def line(side: str, impressions: int, found: dict[str, Any]) -> str:
    """One row of the table."""
    if "failed" in found:
        return f"{side:8} {impressions:12,}  stopped: {found['failed']}  (peak {found['peak_gib']:.2f} GiB)"
    wall, cpu = (sum(step[i] for step in found["steps"].values()) for i in (0, 1))
    steps = ", ".join(f"{name} {step[0]:.1f} ({step[1]:.1f})" for name, step in found["steps"].items())
    rate, peak = impressions / wall, found["peak_gib"]
    return f"{side:8} {impressions:12,}  {wall:9.1f} {cpu:9.1f} {rate:12,.0f}  {peak:6.2f}   {steps}"


def main() -> None:
    """Measure both sides at every size, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impressions", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-logs"), help="where the logs are kept")
    parser.add_argument("--only", choices=SIDES, help="one side alone")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--memory-limit-gib", type=float, default=12.0, help="a side that needs more is stopped")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--logs", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        sides: dict[str, Callable[[Path, int], Clock]] = {
            "rlopt": run_rlopt,
            "command": run_command,
            "obvious": run_obvious,
        }
        print(json.dumps({"steps": sides[arguments.side](arguments.logs, arguments.threads).steps}))
        return
    print(f"{arguments.items:,} items, {arguments.threads} threads a side")
    print("side      impressions  seconds s  CPU s       rows/s  peak GiB  steps: wall (CPU) s", flush=True)
    for impressions in arguments.impressions:
        logs = logs_of(arguments.folder.resolve(), impressions, arguments.items)
        results = {}
        for side in SIDES if arguments.only is None else (arguments.only,):
            command = ["--side", side, "--logs", str(logs), "--threads", str(arguments.threads)]
            results[side] = measured(command, arguments.threads, arguments.memory_limit_gib)
            print(line(side, impressions, results[side]), flush=True)
        print(ratios(results), flush=True)


def ratios(results: dict[str, dict[str, Any]]) -> str:
    """Speed and memory relative to the obvious pipeline."""
    done = {side: found for side, found in results.items() if "failed" not in found}
    if "obvious" not in done:
        return ""
    lines = []
    for side in (side for side in done if side != "obvious"):
        wall, cpu = (
            sum(step[i] for step in done["obvious"]["steps"].values())
            / sum(step[i] for step in done[side]["steps"].values())
            for i in (0, 1)
        )
        memory = done[side]["peak_gib"] / done["obvious"]["peak_gib"]
        lines.append(f"         {side}: {wall:.1f} times as fast ({cpu:.1f} in CPU time), {memory:.0%} of the memory")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
