"""A million units draw titles: frequencies beside probabilities, and the log of assignments beside the answers."""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import stats

from rlopt.serving.assignment_log import AssignmentLog
from rlopt.serving.assignments import Row, TableAssigner

PROBABILITIES = {"even": [0.5, 0.5], "skewed": [0.97, 0.02, 0.01], "many": [0.05] * 20}


def main() -> None:
    """Print a table: seed, item, chi-square, its p-value, and whether the log says the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--logged", type=int, default=100_000, help="so many of them are logged")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    print("seed  item     chi-square  df  p       logged as answered  draws/s")
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        rows = [Row(item, f"{i:02d}", p) for item, ps in PROBABILITIES.items() for i, p in enumerate(ps)]
        table = TableAssigner(rows, seed, "v")
        for item, expected in PROBABILITIES.items():
            with tempfile.TemporaryDirectory() as folder:
                log = AssignmentLog(Path(folder) / "log.jsonl", 1 << 20)
                answered, logged_answers = Counter[str](), Counter[str]()
                began = time.monotonic()
                for unit in range(options.units):
                    drawn = table.draw(item, f"visitor-{unit}")
                    assert drawn is not None
                    answered[drawn.title] += 1
                    if unit < options.logged:
                        log.write({"unit": unit, "title": drawn.title, "probability": drawn.probability})
                        logged_answers[drawn.title] += 1
                speed = options.units / (time.monotonic() - began)
                log.close()
                logged: Counter[str] = Counter()
                for file in Path(folder).iterdir():
                    with file.open(encoding="utf-8") as lines:
                        logged.update(json.loads(line)["title"] for line in lines)
            observed = [answered[f"{i:02d}"] for i in range(len(expected))]
            test = stats.chisquare(observed, options.units * np.array(expected))
            print(
                f"{seed:<5} {item:<8} {test.statistic:10.2f} {len(expected) - 1:3d}  {test.pvalue:.3f}   "
                f"{logged == logged_answers!s:<18} {speed:8.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
