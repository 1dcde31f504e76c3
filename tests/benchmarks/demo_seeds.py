"""The demo over several shops: does the interval hold the truth, and does the policy win?

    python tests/benchmarks/demo_seeds.py                          # ten shops, English and Chinese in turn
    python tests/benchmarks/demo_seeds.py --runs runs --shops en-0 zh-3

Runs ``rlopt demo`` for each shop (minutes each; a finished one in --runs is not run again) and prints a table.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SHOPS = [f"{'zh' if seed % 2 else 'en'}-{seed}" for seed in range(10)]


def demo(shop: str, runs: Path) -> dict[str, Any]:
    """The JSON of one demo, kept beside its run."""
    kept = runs / f"{shop}.json"
    if not kept.exists():
        locale, seed = shop.split("-")
        command = [sys.executable, "-m", "rlopt", "demo", "--locale", locale, "--seed", seed, "--json"]
        done = subprocess.run([*command, "--run", str(runs / shop)], stdout=subprocess.PIPE, text=True, check=True)
        kept.write_text(done.stdout, encoding="utf-8")
    result: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return result


def row(shop: str, result: dict[str, Any], fluent: dict[str, float]) -> str:
    """One line of the table; a star marks a truth outside its interval."""

    def lift(estimate: float, low: float, high: float, true: float) -> str:
        inside = " " if low <= true <= high else "*"
        return f"{100 * estimate:+6.1f} [{100 * low:+6.1f}, {100 * high:+6.1f}] true {100 * true:+6.1f}{inside}"

    logged, broken = result["over_logged"], result["broken_promises"]
    return "  ".join(
        [
            f"{shop:5}",
            lift(result["estimated_lift"], result["low"], result["high"], result["true_lift"]),
            lift(logged["estimated"], logged["low"], logged["high"], logged["true"]),
            f"{100 * result['faithfulness']:5.1f} ({100 * result['sft_faithfulness']:.1f})",
            f"{100 * broken['ppo']:4.1f} ({100 * broken['logged']:.1f})",
            f"{100 * fluent['ppo']:3.0f} ({100 * fluent['logged']:.0f})",
            f"{result['kl']:4.2f}",
            f"{sum(result['seconds'].values()):5.0f}",
            result["verdict"],
        ]
    )


def fluency(shop: str, runs: Path) -> dict[str, float]:
    """Share of titles at or above the floor of fluency, by who wrote them."""
    report = json.loads((runs / shop / "eval" / "report.json").read_text(encoding="utf-8"))
    return {who: found["fluent"] for who, found in report["belonging"].items()}


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/demo-seeds"), help="where the runs are kept")
    parser.add_argument("--shops", nargs="+", default=SHOPS, help="locale-seed, such as en-0")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    print("shop   lift over SFT, %                          lift over logged, %                       ", end="")
    print("faithful (SFT), %  broken promises (logged), %  fluent (logged), %  KL  seconds  verdict")
    for shop in arguments.shops:
        print(row(shop, demo(shop, arguments.runs), fluency(shop, arguments.runs)), flush=True)


if __name__ == "__main__":
    main()
