"""``rlopt compare``: does PPO earn its place? The run's policies against each other and against best-of-n."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.items import Item
from reward.model.caution import cautious_reward
from reward.model.reward_model import RewardModel
from reward.plain import JsonObject, plain
from rlopt.algorithms import ALGORITHMS, DEFAULT
from rlopt.config import CompareConfig
from rlopt.files import to_json
from rlopt.ope.direct import estimate_lift, item_rate_draws
from rlopt.ope.hidden_arms import UNTESTED_WIDENING, hidden_arm_test
from rlopt.ope.weights import policy_over_logged
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import track
from rlopt.report.figures import PolicyPoint, lift_against_kl
from rlopt.run import Run
from rlopt.stages.common.evaluated import Evaluated, evaluate_titles
from rlopt.stages.common.held_out import check_splits, shown_arms
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.titles import Written, best_of_each_item, kl_to_sft, logged_titles, write_titles
from rlopt.stages.common.truth import Truth


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Parameters
    ----------
    name
        "sft", that of an algorithm, "best of 16", "oracle best of 16".
    lift, low, high
        Judge's lift over the SFT policy with its interval, 0.05 is +5%; None for SFT itself and for oracles.
    true_lift
        The simulator's; None for real logs.
    kl
        Nats a title from the SFT policy. Best-of-n: log n - (n - 1) / n, an upper bound (Beirami et al. 2024).
    faithfulness
        Share of titles without claims that the item does not support; None where no claims are checked.
    titles_written
        Titles a policy has to write for one that is shown: its cost at inference.
    """

    name: str
    lift: float | None
    low: float | None
    high: float | None
    true_lift: float | None
    kl: float
    faithfulness: float | None
    titles_written: int


@dataclass(frozen=True)
class CompareResult:
    """The table, and the folder that holds it with its figure."""

    folder: Path
    contenders: tuple[Contender, ...]
    n_items: int

    def to_dict(self) -> JsonObject:
        """Plain JSON data."""
        return {
            "items": self.n_items,
            "contenders": plain(self.contenders),
            "figure": str(self.folder / "lift_against_kl.svg"),
        }


def compare(run: Run, config: CompareConfig | None = None, *, truth: Truth | None = None) -> CompareResult:
    """Compare SFT, the run's trained policies and best-of-n on test items; writes ``compare/`` of the run.

    Parameters
    ----------
    run
        A run with reward, judge, SFT and at least one trained policy.
    config
        Settings of the stage.
    truth
        Adds true lifts and oracle best-of-n; by default that of the simulated shop whose logs the run was fitted on.

    Raises
    ------
    StageOrderError
        Before ``fit-reward``, ``sft`` and a training.
    EvaluationError
        If the run has no judge or test items, or the test items have no clicks.
    """
    config = config or CompareConfig()
    trained = [name for name in config.policies or ALGORITHMS if config.policies or run.done(name)]
    opened = OpenedRun(run, "sft", *(trained or [DEFAULT.name]))
    truth = truth or opened.truth
    check_splits(opened.splits)
    inputs = {name: run.record(name)["key"] for name in trained}
    with run.stage("compare", config, inputs) as record:
        random = np.random.default_rng(config.seed)
        test = shown_arms(opened.arms, opened.splits.test, config.max_items, random)
        policies = {name: opened.policy(name) for name in ("sft", *trained)}
        model, judge = opened.reward, opened.judge  # a damaged one is found before titles are written
        written = write_all(record.checkpoints, policies, test, config)
        chosen = choose_best(written["sft"], test.items, model, config, truth)
        groups = [*(group.first(config.samples, name) for name, group in written.items()), *chosen, logged_titles(test)]
        blind = judge.draws(test.arm_items, list(map(str, test.title)), config.draws, random)
        evaluated = evaluate_titles(groups, test, judge, model, opened.constraints, config.draws, random)
        contenders = make_table(evaluated, blind, policies, test, config, random, truth)
        result = CompareResult(run / "compare", contenders, len(test.items))
        _save(run, result)
    return result


def _save(run: Run, result: CompareResult) -> None:
    """The table and its figure."""
    with run.replacing("compare") as folder:
        (folder / "comparison.json").write_text(to_json(result.to_dict(), indent=1) + "\n", encoding="utf-8")
        points = [PolicyPoint(c.name, c.kl, c.lift, c.true_lift) for c in result.contenders]
        (folder / "lift_against_kl.svg").write_text(lift_against_kl(points), encoding="utf-8")


def write_all(
    cache: Path, policies: Mapping[str, TitlePolicy], test: Arms, config: CompareConfig
) -> dict[str, Written]:
    """Titles of every policy; the SFT policy writes the candidates of best-of-n too."""
    most = max([config.samples, *config.best_of])
    with track("Writing titles", len(test.items) * (most + config.samples * (len(policies) - 1))) as bar:
        return {
            name: write_titles(
                name,
                policy,
                test.items,
                most if name == "sft" else config.samples,
                temperature=config.temperature,
                seed=config.seed,
                cache=cache / f"{name}.jsonl",
                bar=bar,
            )
            for name, policy in policies.items()
        }


def choose_best(
    candidates: Written, items: Sequence[Item], model: RewardModel, config: CompareConfig, truth: Truth | None
) -> list[Written]:
    """Best of the first n candidates of each item by the cautious reward, and by the truth where there is one."""
    owners = [items[i] for i in candidates.item]
    values = {"best of": cautious_reward(model.predict(owners, candidates.title), config.risk_aversion)}
    if truth is not None:
        values["oracle best of"] = truth(owners, candidates.title)
    chosen = []
    for n in config.best_of:
        tried = candidates.place < n
        for name, value in values.items():
            chosen.append(best_of_each_item(candidates.take(tried, "sft"), value[tried], f"{name} {n}"))
    return chosen


def make_table(
    evaluated: Mapping[str, Evaluated],
    blind: FloatArray,
    policies: Mapping[str, TitlePolicy],
    test: Arms,
    config: CompareConfig,
    random: np.random.Generator,
    truth: Truth | None,
) -> tuple[Contender, ...]:
    """One `Contender` for each group of titles but the logged ones.

    ``blind``, (n_draws, n_arms), are draws for the logged titles by the judge that no test item taught.
    """
    n_items = len(test.items)
    clicks, exposure = (
        np.bincount(test.item_index, weights=x, minlength=n_items).astype(np.float64)
        for x in (test.clicks, test.exposure)
    )
    item_rate = item_rate_draws(clicks, exposure, config.draws, random)
    logged = evaluated["logged"].title_draws(share=test.exposure)
    log_prob = policies["sft"].log_prob(test.arm_items, list(test.title), temperature=config.temperature)
    preference, _ = policy_over_logged(log_prob, test.item_index)
    hidden = hidden_arm_test(blind, test.item_index, test.clicks, test.exposure, preference)
    base_truth = _true_value(evaluated["sft"].written, test.items, truth)

    def contender(name: str, group: Evaluated) -> Contender:
        tried = int(name.rsplit(" ", 1)[1]) if " " in name else 1
        lift = None
        if name != "sft" and not name.startswith("oracle"):
            lift = estimate_lift(
                group.title_draws(),
                evaluated["sft"].title_draws(),
                logged,
                item_rate,
                rng=np.random.default_rng(config.seed),
                confidence=config.confidence,
                widening=hidden.widening if hidden else UNTESTED_WIDENING,
            )
        value = _true_value(group.written, test.items, truth)
        kl = 0.0 if name == "sft" else float(np.log(tried) - (tried - 1) / tried)
        if name in ALGORITHMS:
            kl = kl_to_sft(policies[name], policies["sft"], group.written, test.items, config.temperature).value
        return Contender(
            name=name,
            lift=lift.value if lift else None,
            low=lift.low if lift else None,
            high=lift.high if lift else None,
            true_lift=value / base_truth - 1 if value is not None and base_truth is not None else None,
            kl=kl,
            faithfulness=group.faithfulness,
            titles_written=tried,
        )

    return tuple(contender(name, group) for name, group in evaluated.items() if name != "logged")


def _true_value(written: Written, items: Sequence[Item], truth: Truth | None) -> float | None:
    """Mean over items of the mean true click rate of their titles."""
    if truth is None:
        return None
    values = truth([items[i] for i in written.item], written.title)
    counts = np.bincount(written.item, minlength=len(items))
    return float((np.bincount(written.item, weights=values, minlength=len(items)) / counts).mean())
