"""Logs added up by two Dask workers beside one process: the same arms, and the seconds.

    python tests/benchmarks/dask_logs.py                          # 10 M impressions in one file
    python tests/benchmarks/dask_logs.py --impressions 1000000 --repeats 3

Logs come from ``rlopt simulate`` and are kept in --folder. One process and each worker have one thread. Starting the
cluster is timed apart: ``--scheduler ADDRESS`` uses one that runs.
"""

import argparse
import statistics
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from fit_reward import logs_of

from reward.arms import Arms
from reward.dask_cluster import dask_client, workers_of
from reward.logs.read import LogData, read_logs


def different(one: LogData, other: LogData) -> list[str]:
    """Names of the fields in which two readings differ."""
    out = []
    for a, b in ((one, other), (one.arms, other.arms)):
        for field in fields(a):
            mine, its = getattr(a, field.name), getattr(b, field.name)
            if isinstance(mine, np.ndarray):
                if not np.array_equal(mine, its, equal_nan=mine.dtype != object):
                    out.append(field.name)
            elif not isinstance(mine, Arms) and repr(mine) != repr(its):
                out.append(field.name)
    return out


def timed(logs: Path, repeats: int, **options: Any) -> tuple[LogData, list[float]]:
    """The reading, and the seconds of each of ``repeats``."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        data = read_logs(logs, threads=1, **options)
        seconds.append(time.perf_counter() - start)
    return data, seconds


def main() -> None:
    """Read with one process, then with the cluster, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impressions", type=int, default=10_000_000)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--scheduler", help="address of a running Dask scheduler")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-logs"), help="where the logs are kept")
    arguments = parser.parse_args()
    logs = logs_of(arguments.folder.resolve(), arguments.impressions, arguments.items)
    wanted, alone = timed(logs, arguments.repeats)
    print(f"{arguments.impressions:,} impressions, {len(wanted.arms):,} arms", flush=True)
    print(f"one process   {statistics.median(alone):8.1f} s", flush=True)
    start = time.perf_counter()
    with dask_client(arguments.scheduler) as client:
        up = time.perf_counter() - start
        found, together = timed(logs, arguments.repeats, client=client)
        print(f"{len(workers_of(client))} workers     {statistics.median(together):8.1f} s (and {up:.1f} s to start)")
    wrong = different(found, wanted)
    print("differs: " + ", ".join(wrong) if wrong else "the same to the last count")


if __name__ == "__main__":
    main()
