"""From evaluated titles to the report: lifts, diagnostics, exact estimates where there is overlap, the verdict."""

from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray
from rlopt.config import EvalConfig
from rlopt.config.evaluation import Weight
from rlopt.ope.diagnostics import (
    model_against_weights,
    overlap,
    propensity_calibration,
    sample_ratio_p_value,
)
from rlopt.ope.direct import LiftEstimate
from rlopt.ope.evaluation import OffPolicyEvaluation
from rlopt.ope.hidden_arms import UNTESTED_WIDENING, hidden_arm_test
from rlopt.ope.log_reasons import LogGrounds
from rlopt.ope.past_tests import HISTORY, last_analyses, past_tests
from rlopt.ope.rounds import LoggedRounds
from rlopt.ope.text_shift import TextShift, text_shift
from rlopt.ope.verdict import Grounds, decide
from rlopt.ope.weights import policy_over_logged
from rlopt.policy.title_policy import TitlePolicy
from rlopt.report.content import BelongingShares, EvaluationReport
from rlopt.run import DATA, Run, package_versions
from rlopt.stages.common.evaluated import Evaluated
from rlopt.stages.common.evidence import EVIDENCE, read_evidence
from rlopt.stages.common.log_report import read_report
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.probed import probed
from rlopt.stages.common.titles import Written
from rlopt.stages.common.truth import Truth
from rlopt.stages.offline_eval.belonging import shares_of
from rlopt.stages.offline_eval.candidate import Candidate
from rlopt.stages.offline_eval.candidates import candidates_so_far
from rlopt.stages.offline_eval.case import Case
from rlopt.stages.offline_eval.first_page import ab_sizes, origin_of, outcomes_of
from rlopt.stages.offline_eval.lifts import Lifting, item_sums
from rlopt.stages.offline_eval.output import examples, policy_figures
from rlopt.stages.offline_eval.rounds import Clues


@dataclass(frozen=True)
class Found:
    """Findings of the evaluation of a case, before the verdict; ``over_logged`` has the lift of every policy."""

    lifting: Lifting
    clues: Clues
    rounds: LoggedRounds
    over_logged: dict[str, LiftEstimate]
    belonging: dict[str, BelongingShares]
    grounds: Grounds

    @classmethod
    def of(
        cls, opened: OpenedRun, case: Case, candidate: Candidate, sft: TitlePolicy | None, random: np.random.Generator
    ) -> "Found":
        """Lifts by the run's judge, which no test item taught, and everything that speaks for or against them."""
        test, mine, config, judge = case.test, case.mine, case.config, opened.judge
        log_prob = candidate.log_prob(test, config.temperature)
        preference, mass = policy_over_logged(log_prob, test.item_index)
        blind = judge.draws(test.arm_items, list(map(str, test.title)), config.draws, random)
        hidden = hidden_arm_test(blind, test.item_index, test.clicks, test.exposure, preference)
        candidates = candidates_so_far(opened.run, case)
        unseen = config.unseen_cause if opened.observational else 1.0
        lifting = Lifting.of(case, random, hidden.widening if hidden else UNTESTED_WIDENING, candidates, unseen)
        clues = Clues.of(case, judge, log_prob)
        rounds = clues.rounds(clues.weight)
        found = overlap(rounds, mass, min_mass=config.min_overlap, min_items=config.min_overlap_items)
        belonging = shares_of(opened.belonging, case)
        evidence = read_evidence(opened.run / "reward" / EVIDENCE)
        over_logged, over_sft = lifting.over_logged(), lifting.over_sft()
        grounds = Grounds(
            lifts={"logged": over_logged[case.new], **({} if over_sft is None else {"sft": over_sft})},
            n_items=len(test.items),
            support_share=float(np.mean(mine.support >= config.support_level)),
            hidden_arms=hidden,
            overlap=found,
            model_against_weights=model_against_weights(rounds) if found.usable else None,
            kl=None if sft is None else candidate.kl_to(sft, mine.written, test.items, config.temperature),
            faithfulness=mine.faithfulness,
            sft_faithfulness=None if case.sft is None else case.sft.faithfulness,
            text_shift=shift_of(mine.written, test, config.seed),
            guardrails=lifting.guardrails(),
            logs=log_grounds(opened.run, config, unseen),
            other_lifts=lifting.other_lifts(),
            from_run=case.from_run,
            candidates=candidates,
            reward_slope=evidence.effect_slope if evidence else None,
            relevant=belonging[case.new].relevant if belonging else None,
            fluent=belonging[case.new].fluent if belonging else None,
            past=past_tests(opened.run.metrics(HISTORY).rows()),
            rated=case.rated,
        )
        return cls(lifting, clues, rounds, over_logged, belonging, grounds)


def make_report(
    opened: OpenedRun,
    case: Case,
    candidate: Candidate,
    sft: TitlePolicy | None,
    random: np.random.Generator,
    truth: Truth | None,
) -> EvaluationReport:
    """From evaluated titles to lifts, diagnostics and the verdict.

    ``sft`` is None where the run has no SFT policy to compare the candidate with.
    """
    run, test, config = opened.run, case.test, case.config
    found = Found.of(opened, case, candidate, sft, random)
    grounds, usable = found.grounds, found.grounds.overlap.usable
    estimates = OffPolicyEvaluation(found.rounds, confidence=config.confidence, tune=True).estimates if usable else {}
    evaluated, stages = case.evaluated, run.manifest["stages"]
    assigned = (test.impressions, test.propensity, test.item_index)
    over_logged = grounds.lifts["logged"]
    by_traffic = over_logged if config.weight == "traffic" else grounds.other_lifts["logged"]
    return EvaluationReport(
        candidate=case.new,
        verdict=decide(grounds, config),
        origin=origin_of(run, opened.arms),
        outcomes=outcomes_of(test, by_traffic, grounds.guardrails),
        ab_sizes=ab_sizes(run, opened.arms, over_logged, over_logged.item_spread, config.traffic),
        lifts=grounds.lifts,
        other_lifts=grounds.other_lifts,
        policies=tuple(
            policy_figures(evaluated[name], case.logged, lift, config) for name, lift in found.over_logged.items()
        ),
        kl=grounds.kl,
        cross_checks=found.clues.cross_checks(),
        ensemble_spread={name: float(g.reward_effect_std.mean()) for name, g in evaluated.items()},
        hidden_arms=grounds.hidden_arms,
        overlap=grounds.overlap,
        model_against_weights=grounds.model_against_weights,
        sample_ratio_p_value=sample_ratio_p_value(*assigned) if test.propensity_logged else None,
        propensity_calibration=propensity_calibration(*assigned) if test.propensity_logged else None,
        text_shift=grounds.text_shift,
        guardrails=grounds.guardrails,
        checked_claims=case.mine.checked,
        promises={n: g.promise_share for n, g in evaluated.items()} if "promise" in case.mine.checked else {},
        belonging=found.belonging,
        probe=probed(run),
        rated=case.rated,
        segments=found.lifting.segments(),
        history=last_analyses(run.metrics(HISTORY).rows()),
        estimates=tuple(estimates.values()),
        logged_ctr=float(test.clicks.sum() / test.impressions.sum()),
        propensity_logged=test.propensity_logged,
        n_items=grounds.n_items,
        n_arms=len(test),
        n_impressions=float(test.impressions.sum()),
        n_test_items=len(opened.splits.test),
        examples=examples(case),
        true_lifts=true_lifts(truth, case, config.weight) if truth else None,
        other_true_lifts=true_lifts(truth, case, _other(config.weight)) if truth else None,
        candidates=grounds.candidates,
        config=config.model_dump(mode="json"),
        fingerprints={**stages["fit-reward"]["inputs"], **{name: stages[name]["key"] for name in stages}},
        versions=package_versions(),
        seconds={name: stages[name]["seconds"] for name in stages if not name.startswith("offline-eval")},
    )


def shift_of(new: Written, test: Arms, seed: int) -> TextShift | None:
    """Shift of the policy's titles from the logged ones, as texts."""
    return text_shift(new.title, new.item, list(map(str, test.title)), test.item_index, test.exposure, seed=seed)


def log_grounds(run: Run, config: EvalConfig, unseen: float = 1.0) -> LogGrounds:
    """Grounds from the logs: the log doctor's findings, how titles were assigned, and what intervals allow for."""
    report = read_report(run / DATA)
    return LogGrounds(config.assignment or report.assignment, report.findings, unseen)


def _other(weight: Weight) -> Weight:
    return "items" if weight == "traffic" else "traffic"


def true_lifts(truth: Truth, case: Case, weight: Weight) -> dict[str, float]:
    """Lifts of the evaluated policy by the simulator, defined as the estimated ones are."""
    items = case.test.items
    traffic = item_sums(case.test.impressions, case.test.item_index, len(items))
    counts = traffic if weight == "traffic" else np.ones(len(items))

    def value(titles: Evaluated, share: FloatArray | None = None) -> float:
        written = titles.written
        shown = np.ones(len(written)) if share is None else share
        values = truth([items[i] for i in written.item], written.title)
        weighted, total = (item_sums(x, written.item, len(items)) for x in (shown * values, shown))
        return float((counts * weighted / total).sum())

    mine = value(case.mine)
    lifts = {"logged": mine / value(case.logged, case.test.exposure) - 1}
    if case.sft is not None:
        lifts["sft"] = mine / value(case.sft) - 1
    return lifts
