"""Learning from one title per item: Upworthy with one headline a test, and false launches in simulated one-title shops.

    python tests/benchmarks/observational.py upworthy --first-seed 0 --seeds 1
    python tests/benchmarks/observational.py shops --seeds 3

``upworthy`` draws one headline of every test, learns from differences between tests as ``fit-reward --observational``
does, and is asked about all headlines of the tests of another fold, as in upworthy_reward.py: pair accuracy of all
pairs and of those that differ beyond chance. "An image" draws one of every test and image instead: headlines of one
test may then be seen with different images, which is more than a shop with one title per item has. ``--within`` learns
from all headlines of the same tests, for comparison.

``shops`` are simulated ones, English and Chinese, that have shown one title per item, chosen in two ways: "blind"
is the house's heuristic, which knows nothing of clicks; "unseen" has a cause that nobody logged, which makes items
popular and their titles long. Candidates are taken from eight human titles per item: the best and the worst by the
reward, a random one, the longest, and the ones that truly earn most and least. Each is put to offline-eval: does a
verdict say launch where the truth is a loss (false launch), or at all, and is the true lift in the interval?
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upworthy_reward import ARCHIVE, N_FOLDS, figures, folds_of, read_archive

from envs.market import Market
from reward.arms import Arms
from reward.encoders.encoder import Encoder, open_encoder
from reward.items import Item
from reward.model.reward_model import RewardModel
from rlopt.config import EvalConfig, RewardConfig
from rlopt.run import Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.offline_eval.stage import evaluate


def one_of_each(key: np.ndarray, seed: int) -> np.ndarray:
    """One row of each key, at random."""
    order = np.random.default_rng(seed).permutation(len(key))
    _, first = np.unique(key[order], return_index=True)
    return np.sort(order[first])


def held_out_effects(
    arms: Arms, rows: np.ndarray, encoder: Encoder | None, members: int, *, observational: bool
) -> np.ndarray:
    """Effect of every arm by a model of the other folds that saw the arms ``rows`` alone, shape (n_arms,)."""
    effect = np.zeros(len(arms))
    fold = folds_of(arms)[arms.item_index]
    for k in range(N_FOLDS):
        started = time.monotonic()
        learned = arms.take(rows[fold[rows] != k])
        model = RewardModel.fit(
            learned, seed=k, n_members=members, threads=1, encoder=encoder, observational=observational
        )
        asked = np.flatnonzero(fold == k)
        part = arms.take(asked)
        effect[asked] = model.predict(part.arm_items, [str(title) for title in part.title]).effect
        print(f"  fold {k + 1} of {N_FOLDS}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return effect


def upworthy(arguments: argparse.Namespace) -> None:
    """Print pair accuracy by what was learned from."""
    if not arguments.archive.exists():
        print(f"{arguments.archive} is not there: nothing to measure.")
        return
    arms = read_archive(arguments.archive)
    several = np.bincount(arms.item_index)[arms.item_index] > 1
    encoder = None if arguments.encoder == "none" else open_encoder(arguments.encoder, cache=arguments.encodings)
    print(f"{'learned from':34} {'pairs':>24} {'significant pairs':>24}")
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        test = np.array([item_id.split("+")[0] for item_id in arms.item_ids])
        ways = {
            f"one headline a test, seed {seed}": (one_of_each(test, seed), True),
            f"one headline an image, seed {seed}": (one_of_each(arms.item_index, seed), True),
        }
        if arguments.within and seed == arguments.first_seed:
            ways["all headlines, within tests"] = (np.flatnonzero(several), False)
        for name, (rows, observational) in ways.items():
            effect = held_out_effects(arms, rows, encoder, arguments.members, observational=observational)
            found = figures(arms.take(several), effect[several])
            cells = [
                f"{100 * found[key].value:.1f}% [{100 * found[key].low:.1f}, {100 * found[key].high:.1f}]"
                for key in ("pairs", "significant pairs")
            ]
            print(f"{f'{name} ({len(rows):,})':34} {cells[0]:>24} {cells[1]:>24}", flush=True)


def shop_logs(folder: Path, locale: str, seed: int, items: int, *, unseen: bool) -> Market:
    """Logs with one title per item, some thousand impressions each, and the market beside them."""
    market = Market(items, locale, seed)
    rng = np.random.default_rng([seed, len(locale), unseen])
    policies = [market.logging_policy(item) for item in market.items]
    levels = np.array(
        [np.mean(np.log(market.click_probability([item] * len(p), [t for t, _ in p]))) for item, p in _paired(market)]
    )
    popular = (levels - levels.mean()) / levels.std()
    titles = []
    for policy, pull in zip(policies, popular, strict=True):
        names, share = [title for title, _ in policy], np.array([share for _, share in policy])
        if unseen:
            width = np.array([len(name) for name in names], dtype=float)
            share = share * np.exp(pull * (width - width.mean()) / max(width.std(), 1e-9))
        titles.append(names[int(rng.choice(len(names), p=share / share.sum()))])
    shown = rng.poisson(3000, items) + 1
    clicks = rng.binomial(shown, market.click_probability(market.items, titles))
    fields = sorted({name for item in market.items for name in item.fields})
    columns = {name: [", ".join(item.fields.get(name, ())) or None for item in market.items] for name in fields}
    ids = [item.item_id for item in market.items]
    table = {"item_id": ids, "title": titles, "impressions": shown.tolist(), "clicks": clicks.tolist(), **columns}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), folder / "logs.parquet")
    market.save(folder / "logs.market.json")
    return market


def _paired(market: Market) -> Iterator[tuple[Item, tuple[tuple[str, float], ...]]]:
    return ((item, market.logging_policy(item)) for item in market.items)


def candidates(market: Market, run: Run, rng: np.random.Generator) -> dict[str, dict[str, str]]:
    """Name -> title of each test item."""
    opened = OpenedRun(run)
    asked = set(opened.splits.test)
    found: dict[str, dict[str, str]] = {}
    for item in (item for item in opened.arms.items if item.item_id in asked):
        own = next(one for one in market.items if one.item_id == item.item_id)
        titles = list(dict.fromkeys(market.human_titles(own, 8)))
        reward = opened.reward.predict([item] * len(titles), titles).effect
        truth = market.click_probability([own] * len(titles), titles)
        for name, row in {
            "best by reward": np.argmax(reward),
            "worst by reward": np.argmin(reward),
            "random": rng.integers(len(titles)),
            "longest": np.argmax([len(title) for title in titles]),
            "truly best": np.argmax(truth),
            "truly worst": np.argmin(truth),
        }.items():
            found.setdefault(name, {})[item.item_id] = titles[int(row)]
    return found


def shops(arguments: argparse.Namespace) -> None:
    """Print verdicts, intervals and truth of every candidate in every shop."""
    print(f"{'shop':16} {'candidate':16} {'verdict':24} {'lift':>7} {'interval':>18} {'true':>7}")
    launches = false = inside = asked = 0
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for locale, unseen in ((locale, unseen) for locale in ("en", "zh") for unseen in (False, True)):
            name = f"{locale}-{seed} {'unseen' if unseen else 'blind'}"
            with tempfile.TemporaryDirectory() as folder:
                market = shop_logs(Path(folder), locale, seed, arguments.items, unseen=unseen)
                run = Run.open(Path(folder) / "run", create=True)
                fit_reward(run, Path(folder) / "logs.parquet", RewardConfig(observational=True, seed=seed, members=2))
                for candidate, titles in candidates(market, run, np.random.default_rng(seed)).items():
                    table = pa.table({"item_id": list(titles), "title": list(titles.values())})
                    report = evaluate(run, EvalConfig(seed=seed), titles=table, trained_on="nothing").report
                    lift, true = report.lifts["logged"], (report.true_lifts or {})["logged"]
                    launches += report.verdict.decision == "launch"
                    false += report.verdict.decision == "launch" and true <= 0
                    inside += lift.low <= true <= lift.high
                    asked += 1
                    interval = f"{lift.low:+.1%} to {lift.high:+.1%}"
                    print(
                        f"{name:16} {candidate:16} {report.verdict.decision:24} {lift.value:+7.1%} {interval:>18} "
                        f"{true:+7.1%}",
                        flush=True,
                    )
    print(f"{launches} launches, {false} false, of {asked}; true lift inside the interval in {inside} of {asked}")


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    headlines = parts.add_parser("upworthy", help="pair accuracy on other tests")
    headlines.add_argument("--archive", type=Path, default=ARCHIVE)
    headlines.add_argument("--encoder", default="none", help="none, or as in rlopt fit-reward")
    headlines.add_argument("--encodings", type=Path, help="keep encodings in this file between runs")
    headlines.add_argument("--members", type=int, default=5)
    headlines.add_argument("--within", action="store_true", help="also learn from all headlines, within tests")
    headlines.set_defaults(part=upworthy)
    simulated = parts.add_parser("shops", help="false launches and coverage in simulated shops")
    simulated.add_argument("--items", type=int, default=800, help="items a shop (default: %(default)s)")
    simulated.set_defaults(part=shops)
    for part in (headlines, simulated):
        part.add_argument("--seeds", type=int, default=1)
        part.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.part(arguments)


if __name__ == "__main__":
    main()
