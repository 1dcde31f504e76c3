"""Does the judge tell the truth about headlines nobody had shown? The Upworthy archive with hidden arms as new titles.

An item is a test with one image. Five folds of items, weeks with faulty randomisation left out: two train a reward, two
train the judge, and of the fifth every item has half of its headlines hidden. The logs hold the others; a policy that
prefers what the reward prefers, policy(title) ~ exp(t * reward(title)), shows the hidden ones, whose observed clicks
then say what it earned. Each half of the fold is evaluated by itself.

Observed clicks are no truth, they carry click noise (1.29 times binomial, as identical arms of the archive do). Its
variance is added where coverage is counted, and taken off where the RMSE "less noise" is told:

- "judge": the lift on these very items, by the interval without the draw of items;
- "items": the same by the interval as reported, which is for the population of items and therefore wider;
- "others": the observed lift of the same policy on the fold's other half, whose standard error (clicks and the draw of
  items) is added to the interval's.

    python tests/benchmarks/no_overlap_upworthy.py --repetitions 6 --results upworthy.jsonl [--encoder minilm]

Repetitions fold the same items anew, so cells are not independent. A finished fold is a line of --results; the same
command goes on where it was interrupted.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from upworthy_reward import ARCHIVE, N_FOLDS, OVERDISPERSION, folds_of, read_archive

from reward.arms import Arms
from reward.encoders.encoder import Encoder, open_encoder
from reward.model.judge import Judge
from rlopt.config import EvalConfig
from rlopt.ope.direct import TitleDraws, estimate_lift, item_rate_draws, item_ratios
from rlopt.ope.hidden_arms import UNTESTED_WIDENING, hidden_arm_test

TILTS = {"even": 0.0, "preferred": 3.0, "avoided": -3.0}
N_DRAWS = 400
RULE = EvalConfig()

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def hidden_rows(arms: Arms, rng: np.random.Generator) -> np.ndarray:
    """Half of every item's arms, rounded up but never all, shape (n_arms,)."""
    order = np.lexsort((rng.random(len(arms)), arms.item_index))
    count = np.bincount(arms.item_index)
    first = np.cumsum(count) - count
    place = np.empty(len(arms), dtype=np.int64)
    place[order] = np.arange(len(arms)) - first[arms.item_index[order]]
    return place < ((count + 1) // 2)[arms.item_index]


def observed_lift(shown: Arms, hidden: Arms, share: FloatArray) -> tuple[float, float, float]:
    """Log of what the hidden arms earned relative to the shown ones; its standard errors by clicks, and by all.

    The first is for these items; the second, from the items' scores, holds the draw of items and the clicks' noise.
    """
    n = len(shown.items)
    exposure = np.bincount(shown.item_index, shown.exposure)
    weight = 1 / exposure[shown.item_index]
    base = np.bincount(shown.item_index, weight * shown.clicks)
    new = np.bincount(hidden.item_index, share * hidden.clicks / hidden.exposure)
    noise = OVERDISPERSION * (
        float(((share / hidden.exposure) ** 2 * hidden.clicks).sum()) / new.sum() ** 2
        + float((weight**2 * shown.clicks).sum()) / base.sum() ** 2
    )
    scores = new / new.sum() - base / base.sum()
    return float(np.log(new.sum() / base.sum())), float(np.sqrt(noise)), float(np.sqrt(n / (n - 1) * scores @ scores))


def evaluate_half(reward: Judge, judge: Judge, arms: Arms, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Lift of each policy as offline-eval would report it, and as the hidden arms' clicks show it."""
    covered = hidden_rows(arms, rng)
    shown, hidden = arms.take(~covered), arms.take(covered)
    titles, logged_titles = [list(map(str, part.title)) for part in (hidden, shown)]
    blind = judge.draws(shown.arm_items, logged_titles, N_DRAWS, rng)
    learned = judge.updated(shown)
    draws = learned.draws([*hidden.arm_items, *shown.arm_items], [*titles, *logged_titles], N_DRAWS, rng)
    logged = TitleDraws(draws[:, len(hidden) :], shown.item_index, shown.exposure)
    totals = [np.bincount(shown.item_index, x) for x in (shown.clicks, shown.exposure)]
    rate = item_rate_draws(totals[0], totals[1], N_DRAWS, rng)
    supported = judge.support(hidden.arm_items, titles) >= RULE.support_level
    liking = [reward.mean_effect(part.arm_items, list(map(str, part.title))) for part in (hidden, shown)]
    scale = max(float(np.concatenate(liking).std()), 1e-9)
    out = []
    for name, tilt in TILTS.items():
        share, preference = (
            _shares(tilt * x / scale, part.item_index) for x, part in zip(liking, (hidden, shown), strict=True)
        )
        test = hidden_arm_test(blind, shown.item_index, shown.clicks, shown.exposure, preference)
        widening = test.widening if test else UNTESTED_WIDENING
        policy = TitleDraws(draws[:, : len(hidden)], hidden.item_index, share)
        lift = estimate_lift(policy, logged, logged, rate, rng=rng, widening=widening)
        ratios = item_ratios(policy, logged, len(arms.items), widening)
        judge_low, judge_high = np.quantile((rate * ratios).sum(axis=1) / rate.sum(axis=1), [0.025, 0.975])
        observed, noise, error = observed_lift(shown, hidden, share)
        support = float((share * supported).sum() / len(arms.items))
        refused = support < RULE.support_share or (test is not None and abs(test.z) > RULE.max_hidden_arm_z)
        out.append(
            {
                "policy": name,
                "items": len(arms.items),
                "value": float(np.log1p(lift.value)),
                "low": float(np.log1p(lift.low)),
                "high": float(np.log1p(lift.high)),
                "judge_low": float(np.log(judge_low)),
                "judge_high": float(np.log(judge_high)),
                "observed": observed,
                "noise": noise,
                "error": error,
                "widening": widening,
                "z": test.z if test else None,
                "refused": bool(refused),
            }
        )
    return out


def _shares(log_weight: FloatArray, item: np.ndarray) -> FloatArray:
    weight = np.maximum(np.exp(log_weight), 1e-12)
    return weight / np.bincount(item, weight)[item]


def evaluate_fold(arms: Arms, repetition: int, k: int, encoder: Encoder | None) -> list[list[dict[str, Any]]]:
    """Rows of both halves of fold ``k``."""
    fold = folds_of(arms, seed=repetition)
    rng = np.random.default_rng([repetition, k])
    of = [
        arms.take(np.isin(fold[arms.item_index], [(k + a) % N_FOLDS, (k + b) % N_FOLDS])) for a, b in ((1, 2), (3, 4))
    ]
    reward, judge = (Judge.fit(part, seed=i, encoder=encoder) for i, part in enumerate(of))
    test = arms.take(fold[arms.item_index] == k)
    half = rng.permutation(len(test.items)) % 2
    return [evaluate_half(reward, judge, test.take(half[test.item_index] == side), rng) for side in (0, 1)]


def report(lines: list[dict[str, Any]]) -> str:
    """The table; lifts in logarithms, about percent."""
    cells: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = defaultdict(list)
    for line in lines:
        first, second = line["halves"]
        for a, b in zip(first, second, strict=True):
            cells[a["policy"]] += [(a, b), (b, a)]
    out = [
        "policy     cells  items  observed    bias (s.e.)    RMSE  less noise  width   judge   items  others  refused"
    ]
    for name, pairs in cells.items():
        gap = np.array([a["value"] - a["observed"] for a, _ in pairs])
        noise = float(np.mean([a["noise"] ** 2 for a, _ in pairs]))
        kept = [pair for pair in pairs if not pair[0]["refused"]]
        judge = np.mean([_covered(a, a["observed"], a["noise"], "judge_") for a, _ in kept])
        items = np.mean([_covered(a, a["observed"], a["noise"]) for a, _ in kept])
        others = np.mean([_covered(a, b["observed"], b["error"]) for a, b in kept])
        error = float(np.mean(gap**2))
        out.append(
            f"{name:10} {len(pairs):5d} {np.mean([a['items'] for a, _ in pairs]):6.0f}  "
            f"{np.mean([a['observed'] for a, _ in pairs]):+8.2%} {gap.mean():+7.2%} {gap.std() / len(gap) ** 0.5:6.2%} "
            f"{error**0.5:7.2%}  {max(error - noise, 0.0) ** 0.5:10.2%} "
            f"{np.mean([a['high'] - a['low'] for a, _ in pairs]):6.1%} {judge:7.1%} {items:7.1%} {others:7.1%} "
            f"{1 - len(kept) / len(pairs):8.1%}"
        )
    return "\n".join(out)


def _covered(row: dict[str, Any], target: float, error: float, which: str = "") -> bool:
    """True if the interval, widened by the standard error of ``target``, holds ``target``."""
    middle = row["value"]
    reach = row[f"{which}high"] - middle if target > middle else middle - row[f"{which}low"]
    return bool(abs(target - middle) <= np.hypot(reach, 1.96 * error))


def main() -> None:
    """Evaluate the folds that --results lacks, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?", default=ARCHIVE, help="packages.parquet")
    parser.add_argument("--repetitions", type=int, default=6)
    parser.add_argument("--first", type=int, default=0, help="first repetition")
    parser.add_argument("--encoder", help="as in rlopt fit-reward; else the wording alone")
    parser.add_argument("--encodings", type=Path, help="keep encodings in this file between runs")
    parser.add_argument("--results", type=Path, default=Path("no_overlap_upworthy.jsonl"))
    arguments = parser.parse_args()
    lines = (
        [json.loads(line) for line in arguments.results.read_text().splitlines()] if arguments.results.exists() else []
    )
    encoder = open_encoder(arguments.encoder, cache=arguments.encodings) if arguments.encoder else None
    arms = read_archive(arguments.archive)
    arms = arms.take((np.bincount(arms.item_index) > 1)[arms.item_index])
    for repetition in range(arguments.first, arguments.first + arguments.repetitions):
        for k in range(N_FOLDS):
            if not any((line["repetition"], line["fold"]) == (repetition, k) for line in lines):
                lines.append(
                    {"repetition": repetition, "fold": k, "halves": evaluate_fold(arms, repetition, k, encoder)}
                )
                with arguments.results.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
                print(f"repetition {repetition}, fold {k} done", flush=True)
    print(report(lines))


if __name__ == "__main__":
    main()
