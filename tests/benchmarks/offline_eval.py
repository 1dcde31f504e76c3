"""Speed and memory of the evaluation: all overlap estimators with intervals, and the judge.

    python tests/benchmarks/offline_eval.py [--rounds 1000000 10000000] [--obp PYTHON]

The rival is Open Bandit Pipeline's way, transcribed to plain NumPy: every estimator's round rewards, then 100
bootstrap means of them. (Where a Python 3.10 has obp installed, --obp runs the library itself, with 10 actions.) Its
resamples are timed on fewer draws at 10 M rounds and scaled. rlopt's intervals are by item.
"""

import argparse
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from envs.market import Market
from reward.arms import Arms
from reward.arrays import FloatArray
from reward.model.judge import Judge
from rlopt.ope.direct import TitleDraws, estimate_lift, item_rate_draws
from rlopt.ope.estimators import ESTIMATORS, LoggedRounds
from rlopt.ope.evaluation import OffPolicyEvaluation
from rlopt.ope.hidden_arms import hidden_arm_test

KEYS = [key for key, made in ESTIMATORS.items() if not made.needs_marginal]
RESAMPLES = 100
CHUNK = 100_000


def draw(n: int, n_actions: int, seed: int = 0) -> dict[str, npt.NDArray[np.generic]]:
    """Rounds as `LoggedRounds` takes them; what runs over actions is summed chunk by chunk."""
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, n, CHUNK):
        k = min(CHUNK, n - start)
        wanted = rng.standard_exponential((k, n_actions), dtype=np.float32)
        wanted /= wanted.sum(axis=1, keepdims=True)
        q_hat = 0.05 + 0.02 * rng.random((k, n_actions), dtype=np.float32)
        action = rng.integers(n_actions, size=k)
        row = np.arange(k)
        parts.append((wanted[row, action] * n_actions, q_hat[row, action], (wanted * q_hat).sum(axis=1)))
    weight, q_logged, q_policy = (np.concatenate(c).astype(np.float64) for c in zip(*parts, strict=True))
    reward = (rng.random(n) < q_logged).astype(np.float64)
    item = rng.integers(max(n // 100, 2), size=n)
    return {"reward": reward, "weight": weight, "q_logged": q_logged, "q_policy": q_policy, "cluster": item}


def ours(arrays: dict[str, npt.NDArray[np.generic]]) -> dict[str, float]:
    """Every estimator with its interval."""
    evaluation = OffPolicyEvaluation(LoggedRounds(**arrays), KEYS)
    return {key: estimate.value for key, estimate in evaluation.estimates.items()}


def round_rewards(arrays: dict[str, npt.NDArray[np.generic]]) -> dict[str, FloatArray]:
    """Terms that each estimator averages, in plain NumPy."""
    r, w, q, v = (arrays[name].astype(np.float64) for name in ("reward", "weight", "q_logged", "q_policy"))
    clipped, switched = np.minimum(w, 10.0), np.where(w <= 10.0, w, 0.0)
    shrunk, tamed = 100.0 * w / (w**2 + 100.0), w / (0.9 + 0.1 * w)
    return {
        "ips": w * r,
        "ips_clip": clipped * r,
        "snips": w * r / w.mean(),
        "dm": v,
        "dr": v + w * (r - q),
        "dr_clip": v + clipped * (r - q),
        "sndr": v + w * (r - q) / w.mean(),
        "switch_dr": v + switched * (r - q),
        "dros": v + shrunk * (r - q),
        "sg_ips": tamed * r,
        "sg_dr": v + tamed * (r - q),
    }


def transcription(arrays: dict[str, npt.NDArray[np.generic]], resamples: int) -> tuple[dict[str, float], float]:
    """Values, and the seconds of values and `RESAMPLES` bootstrap means (timed on ``resamples`` of them)."""
    began = time.perf_counter()
    samples = round_rewards(arrays)
    values = {key: float(sample.mean()) for key, sample in samples.items()}
    fixed = time.perf_counter() - began
    began = time.perf_counter()
    rng = np.random.default_rng(0)
    for sample in samples.values():
        means = [float(np.mean(rng.choice(sample, size=len(sample)))) for _ in range(resamples)]
        np.percentile(means, [2.5, 97.5])
    return values, fixed + (time.perf_counter() - began) * RESAMPLES / resamples


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def estimators(n: int, rival: str | None) -> None:
    arrays = draw(n, 10)
    values = ours(arrays)
    spent = min(timed(lambda: ours(arrays)) for _ in range(3 if n <= 1_000_000 else 2))
    theirs, seconds = transcription(arrays, RESAMPLES if n <= 1_000_000 else 5)
    assert all(abs(values[key] - theirs[key]) < 1e-9 for key in KEYS)
    print(
        f"{n:>10,} rounds: {spent:6.2f} s; plain NumPy bootstrap {seconds:7.1f} s: {seconds / spent:.0f} times as fast"
    )
    if rival:
        done = subprocess.run([rival, "-W", "ignore", "-c", RIVAL, str(n)], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"           obp failed: {done.stderr.strip().splitlines()[-1]}")
        else:
            found = json.loads(done.stdout.strip().splitlines()[-1])
            print(
                f"           Open Bandit Pipeline {found['version']}, {found['estimators']} estimators, 10 actions: "
                f"{found['seconds']:.1f} s: {found['seconds'] / spent:.0f} times as fast"
            )


RIVAL = """
import json, sys, time, logging
logging.disable(logging.CRITICAL)
import numpy as np, obp
from obp.ope import OffPolicyEvaluation, DirectMethod, DoublyRobust, DoublyRobustWithShrinkage, SwitchDoublyRobust
from obp.ope import InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting, SelfNormalizedDoublyRobust
from obp.ope import SubGaussianInverseProbabilityWeighting, SubGaussianDoublyRobust
n, k, rng = int(sys.argv[1]), 10, np.random.default_rng(0)
pi = rng.standard_exponential((n, k)); pi /= pi.sum(axis=1, keepdims=True)
q = 0.05 + 0.02 * rng.random((n, k))
action = rng.integers(k, size=n)
reward = (rng.random(n) < q[np.arange(n), action]).astype(int)
feedback = dict(n_rounds=n, n_actions=k, action=action, position=None, reward=reward, pscore=np.full(n, 1 / k),
                context=np.zeros((n, 1)))
named = [InverseProbabilityWeighting(estimator_name="a"), InverseProbabilityWeighting(lambda_=10, estimator_name="b"),
         SelfNormalizedInverseProbabilityWeighting(estimator_name="c"), DirectMethod(estimator_name="d"),
         DoublyRobust(estimator_name="e"), DoublyRobust(lambda_=10, estimator_name="f"),
         SelfNormalizedDoublyRobust(estimator_name="g"), SwitchDoublyRobust(lambda_=10, estimator_name="h"),
         DoublyRobustWithShrinkage(lambda_=100, estimator_name="i"),
         SubGaussianInverseProbabilityWeighting(lambda_=0.1, estimator_name="j"),
         SubGaussianDoublyRobust(lambda_=0.1, estimator_name="k")]
began = time.perf_counter()
ope = OffPolicyEvaluation(bandit_feedback=feedback, ope_estimators=named)
q_hat = q[:, :, None]
ope.estimate_intervals(action_dist=pi[:, :, None], estimated_rewards_by_reg_model=q_hat, n_bootstrap_samples=100)
print(json.dumps({"seconds": time.perf_counter() - began, "version": obp.__version__, "estimators": len(named)}))
"""


def memory(n: int) -> None:
    for n_actions in (10, 100, 1000):
        arrays = draw(n, n_actions)
        tracemalloc.start()
        ours(arrays)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        own = sum(a.nbytes for a in arrays.values())
        print(
            f"{n:>10,} rounds, {n_actions:>5,} actions: {peak / 2**20:6.0f} MiB beside {own / 2**20:.0f} MiB of rounds"
        )


def judge(impressions: int, n_items: int = 700) -> None:
    """Fit, predictions and lift on a simulated shop whose logs hold so many impressions."""
    market, rng = Market(n_items, "en", seed=5), np.random.default_rng(5)
    rows = [(i, title, p) for i, item in enumerate(market.items) for title, p in market.logging_policy(item)]
    index, titles = np.array([i for i, _, _ in rows]), np.array([t for _, t, _ in rows], dtype=object)
    propensity = np.array([p for _, _, p in rows])
    shown = rng.poisson(impressions / n_items * propensity) + 1
    clicks = rng.binomial(shown, market.click_probability([market.items[i] for i in index], list(titles)))
    counts = shown.astype(float)
    logs = Arms(tuple(market.items), index, titles, counts, clicks.astype(float), counts.copy(), propensity, True)
    fitted, test = logs.take(index < n_items // 2), logs.take(index >= n_items // 2)
    new = [title for item in test.items for title in market.human_titles(item, 4, seed=2)]
    owner = np.repeat(np.arange(len(test.items)), 4)
    seconds = {}  # of this process: other processes of a busy machine do not count
    began = time.process_time()
    model = Judge.fit(fitted, seed=0)
    seconds["fit"] = time.process_time() - began
    began = time.process_time()
    blind = model.draws(test.arm_items, list(map(str, test.title)), 400, rng)
    model = model.updated(test)
    draws = model.draws([*(test.items[i] for i in owner), *test.arm_items], [*new, *map(str, test.title)], 400, rng)
    seconds["learn and predict"] = time.process_time() - began
    began = time.process_time()
    logged = TitleDraws(draws[:, len(owner) :], test.item_index, test.exposure)
    totals = [np.bincount(test.item_index, weights=x) for x in (test.clicks, test.exposure)]
    rate = item_rate_draws(totals[0], totals[1], 400, rng)
    estimate_lift(TitleDraws(draws[:, : len(owner)], owner), logged, logged, rate, rng=rng)
    even = 1 / np.bincount(test.item_index)[test.item_index]
    hidden_arm_test(blind, test.item_index, test.clicks, test.exposure, even)
    seconds["lift"] = time.process_time() - began
    total = counts.sum() / 1e6
    told = ", ".join(f"{name} {spent / total:.2f} s" for name, spent in seconds.items())
    print(f"judge, {len(logs):,} arms: {sum(seconds.values()) / total:.2f} CPU s per 1 M impressions ({told})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--obp", metavar="PYTHON", help="interpreter that has obp installed")
    options = parser.parse_args()
    for n in options.rounds:
        estimators(n, options.obp if n <= 1_000_000 else None)
    memory(1_000_000)
    judge(1_000_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
