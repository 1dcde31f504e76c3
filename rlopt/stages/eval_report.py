"""From judged titles to the report: lifts, diagnostics, exact estimates where policy and logs overlap, the verdict."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from reward.arms import Arms
from reward.items import Item
from reward.model.judge import Judge
from rlopt.config import EvalConfig
from rlopt.ope.diagnostics import (
    KlEstimate,
    kl_divergence,
    model_against_weights,
    overlap,
    propensity_calibration,
    sample_ratio_p_value,
)
from rlopt.ope.evaluation import OffPolicyEvaluation
from rlopt.ope.hidden_arms import UNTESTED_WIDENING, hidden_arm_test
from rlopt.ope.text_shift import TextShift, text_shift
from rlopt.ope.verdict import Evidence, decide
from rlopt.policy.title_policy import TitlePolicy
from rlopt.report.content import EvaluationReport
from rlopt.run import Run
from rlopt.stages.eval_lifts import Lifting, item_sums
from rlopt.stages.eval_output import examples, policy_figures
from rlopt.stages.eval_rounds import Clues, logged_preference
from rlopt.stages.eval_titles import Judged, Written

FloatArray = npt.NDArray[np.float64]
Truth = Callable[[Sequence[Item], Sequence[str]], FloatArray]


def make_report(
    run: Run,
    config: EvalConfig,
    test: Arms,
    n_test_items: int,
    judged: Mapping[str, Judged],
    judge: Judge,
    ppo: TitlePolicy,
    sft: TitlePolicy,
    random: np.random.Generator,
    truth: Truth | None,
) -> EvaluationReport:
    """From judged titles to lifts, diagnostics and the verdict; ``judge`` is the one that no test item taught."""
    items, n_items = list(test.items), len(test.items)
    preference, mass, log_prob = logged_preference(ppo, test)
    blind = judge.draws(test.arm_items, list(map(str, test.title)), config.draws, random)
    hidden = hidden_arm_test(blind, test.item_index, test.clicks, test.exposure, preference)
    lifting = Lifting.of(test, judged, config, random, hidden.widening if hidden else UNTESTED_WIDENING)

    lifts = lifting.all_lifts()
    clues = Clues.of(test, judged, judge, log_prob, config)
    rounds = clues.rounds(clues.weight)
    found = overlap(rounds, mass, min_mass=config.min_overlap, min_items=config.min_overlap_items)
    evidence = Evidence(
        lifts={"logged": lifts["ppo"], "sft": lifts["ppo over sft"]},
        n_items=n_items,
        support_share=float(np.mean(judged["ppo"].support >= config.support_level)),
        hidden_arms=hidden,
        overlap=found,
        model_against_weights=model_against_weights(rounds) if found.usable else None,
        kl=kl_to_sft(ppo, sft, judged["ppo"].written, items, config.temperature),
        faithfulness=judged["ppo"].faithfulness,
        sft_faithfulness=judged["sft"].faithfulness,
        text_shift=shift_of(judged, test, config.seed),
        guardrails=lifting.guardrails(),
        propensity_logged=test.propensity_logged,
    )
    stages = run.manifest["stages"]
    return EvaluationReport(
        verdict=decide(evidence, config),
        lifts=evidence.lifts,
        policies=tuple(
            policy_figures(judged[name], judged["logged"], lifts[name], config) for name in judged if name != "logged"
        ),
        kl=evidence.kl,
        cross_checks=clues.cross_checks(),
        ensemble_spread={name: float((g.reward_std / g.reward).mean()) for name, g in judged.items()},
        hidden_arms=hidden,
        overlap=found,
        model_against_weights=evidence.model_against_weights,
        sample_ratio_p_value=(
            sample_ratio_p_value(test.impressions, test.propensity, test.item_index) if test.propensity_logged else None
        ),
        propensity_calibration=(
            propensity_calibration(test.impressions, test.propensity, test.item_index)
            if test.propensity_logged
            else None
        ),
        text_shift=evidence.text_shift,
        guardrails=evidence.guardrails,
        segments=lifting.segments(),
        history=tuple(run.metrics("calibration").rows()),
        estimates=tuple(OffPolicyEvaluation(rounds, confidence=config.confidence, tune=True).estimates.values())
        if found.usable
        else (),
        logged_ctr=float(test.clicks.sum() / test.impressions.sum()),
        propensity_logged=test.propensity_logged,
        n_items=n_items,
        n_arms=len(test),
        n_impressions=float(test.impressions.sum()),
        n_test_items=n_test_items,
        examples=examples(items, judged, test),
        true_lifts=true_lifts(truth, items, judged, test) if truth else None,
        config=config.model_dump(mode="json"),
        fingerprints={**stages["fit-reward"]["inputs"], **{name: stages[name]["key"] for name in stages}},
        versions=run.record("ppo")["versions"],
        seconds={name: stages[name]["seconds"] for name in stages if name != "offline-eval"},
    )


def shift_of(judged: Mapping[str, Judged], test: Arms, seed: int) -> TextShift | None:
    """How far the policy's titles are from the logged ones, as texts."""
    new = judged["ppo"].written
    return text_shift(new.title, new.item, list(map(str, test.title)), test.item_index, test.exposure, seed=seed)


def kl_to_sft(
    ppo: TitlePolicy, sft: TitlePolicy, written: Written, items: Sequence[Item], temperature: float
) -> KlEstimate:
    """KL of the PPO policy to the SFT policy along the titles it wrote."""
    owners = [items[i] for i in written.item]
    path_kl = ppo.kl_to(sft, owners, written.tokens, temperature=temperature)
    reference = sft.log_prob_of_tokens(owners, written.tokens, temperature=temperature)
    return kl_divergence(path_kl, written.log_prob, reference, written.item)


def true_lifts(truth: Truth, items: Sequence[Item], judged: Mapping[str, Judged], test: Arms) -> dict[str, float]:
    """Lifts of the PPO policy by the simulator, defined as the estimated ones are."""

    def value(name: str, share: FloatArray | None = None) -> float:
        written = judged[name].written
        weight = np.ones(len(written)) if share is None else share
        values = truth([items[i] for i in written.item], written.title)
        weighted, total = (item_sums(x, written.item, len(items)) for x in (weight * values, weight))
        return float((weighted / total).sum())

    new = value("ppo")
    return {"logged": new / value("logged", test.exposure) - 1, "sft": new / value("sft") - 1}
