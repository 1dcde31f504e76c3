"""A report as the evaluation stage would build it, with whatever titles a test wants in it."""

import numpy as np

from rlopt.config import EvalConfig
from rlopt.ope.cross_checks import CrossCheck
from rlopt.ope.diagnostics import KlEstimate, Overlap, PropensityCalibration
from rlopt.ope.direct import LiftEstimate
from rlopt.ope.estimators import ESTIMATORS, LoggedRounds
from rlopt.ope.guardrails import Guardrails
from rlopt.ope.hidden_arms import HiddenArmTest
from rlopt.ope.segments import Segment
from rlopt.ope.text_shift import TextShift
from rlopt.ope.verdict import Grounds, decide
from rlopt.report.attacks import AttackFigures
from rlopt.report.content import AbTestSize, BelongingShares, EvaluationReport, Example, Origin, Outcome, PolicyFigures

HISTORY = {
    "metric": "clicks",
    "last_date": "2026-03-14",
    "prediction": {"lift": 0.2, "low": 0.1, "high": 0.3},
    "outcome": {"lift": 0.15, "low": 0.05, "high": 0.26, "decision": "better"},
    "agrees": True,
}

ATTACKS = (
    AttackFigures("as logged", "control", 200, 0.0, 0.5, 0.0, 0.49, {}, 0.0, 0.5, "control", "Red dress"),
    AttackFigures(
        "foreign", "fault", 199, 0.1, 0.7, -0.2, 0.3, {"relevance": 0.97}, 0.97, 0.02, "caught", "Blue skirt"
    ),
    AttackFigures("cut", "fault", 200, 0.05, 0.6, None, None, {"fluency": 0.1}, 0.1, 0.53, "open", "Red"),
)


def lift(value: float, low: float, high: float) -> LiftEstimate:
    item_lift = np.random.default_rng(0).normal(value, 0.2, 200)
    return LiftEstimate(value, low, high, 0.95, 0.99, 0.001, 0.02, 0.01, 200, item_lift, np.full(200, 0.1))


def figures(policy: str, value: float) -> PolicyFigures:
    return PolicyFigures(
        policy=policy,
        n_titles=800,
        n_items=200,
        lift_over_logged=lift(value, value - 0.08, value + 0.08),
        reward=0.034,
        reward_std=0.002,
        faithfulness=0.99,
        support_share=0.93,
        novel_share=0.97,
        distinct_share=0.8,
        finished_share=None if policy == "best_of" else 0.999,
    )


def sample_report(
    title: str = "Red cotton dress", *, simulated: bool = True, overlap: bool = True, lang: str = "en"
) -> EvaluationReport:
    found = Overlap(0.2, 5e3, 80.0, 4.0, 1e5, overlap, "overlap: 20.0% of what the policy writes was shown in the logs")
    rounds = LoggedRounds(reward=[0.1, 0.2, 0.0], weight=[1.0, 2.0, 0.5], cluster=["a", "b", "c"])
    lifts = {"logged": lift(0.25, 0.15, 0.35), "sft": lift(0.18, 0.09, 0.28)}
    evidence = Grounds(
        lifts=lifts,
        n_items=200,
        support_share=0.93,
        hidden_arms=HiddenArmTest(-0.4, 0.1, 0.12, 0.9, 0.1, 1.1, 190, 600),
        overlap=found,
        model_against_weights=-0.7 if overlap else None,
        kl=KlEstimate(2.41, 0.05, 2.38, 30.0),
        faithfulness=0.99,
        sft_faithfulness=0.99,
        text_shift=TextShift(1.2, 0.1, 0.87) if simulated else None,
        guardrails=Guardrails(lift(0.1, 0.02, 0.2), lift(0.08, -0.02, 0.2), {"repeated": 0.01}, 0.01)
        if simulated
        else Guardrails(),
        relevant=0.98,
        fluent=0.94,
        other_lifts={"logged": lift(0.21, 0.1, 0.3), "sft": lift(0.15, 0.05, 0.26)},
    )
    segments = tuple(
        Segment("brand", value, 40, center, center - 0.1, center + 0.1, 0.01, 0.02)
        for value, center in (("Acme", -0.2), (title, 0.05), ("红", 0.3))
    )
    examples = tuple(
        Example(
            kind,
            "item-7",
            "brand Acme · 颜色 红",
            title,
            title,
            title,
            title,
            0.5,
            0.4,
            0.1,
            0.04,
            0.003,
            (title,),
            ("repeated",),
        )
        for kind in ("gain", "loss", "drawn")
    )
    return EvaluationReport(
        candidate="ppo",
        verdict=decide(evidence, EvalConfig()),
        lifts=lifts,
        other_lifts=evidence.other_lifts,
        policies=(figures("ppo", 0.25), figures("sft", 0.06), figures("best_of", 0.2)),
        kl=evidence.kl,
        hidden_arms=evidence.hidden_arms,
        overlap=found,
        model_against_weights=evidence.model_against_weights,
        sample_ratio_p_value=0.4,
        estimates=tuple(ESTIMATORS[k]().estimate(rounds) for k in ("ips", "snips")) if overlap else (),
        logged_ctr=0.031,
        propensity_logged=True,
        n_items=200,
        n_arms=620,
        n_impressions=123456.0,
        n_test_items=250,
        examples=examples,
        origin=Origin("spring", "logs.parquet", "2026-01-05", "2026-03-01", "2026-03-02"),
        outcomes=(
            Outcome("clicks", 0.031, 0.25, 0.15, 0.35),
            Outcome("conversions", 0.002, 0.1, 0.02, 0.2),
            Outcome("revenue", 0.05, 0.08, -0.02, 0.2),
        ),
        ab_sizes=(AbTestSize(0.25, 8_000, 3.2, 5_000.0), AbTestSize(0.15, None, None, None)),
        true_lifts={"logged": 0.22, "sft": 0.17} if simulated else None,
        propensity_calibration=PropensityCalibration(0.98, 0.02, 0.004),
        text_shift=evidence.text_shift,
        cross_checks=(
            CrossCheck("dm", 0.24, 0.2, 0.28, None, 190.0),
            CrossCheck("kernel_dr", 0.2, 0.05, 0.36, -0.6, 120.0),
            CrossCheck("balanced_dr", 0.22, 0.1, 0.35, -0.3, 90.0),
            CrossCheck("cells_dr", 0.27, 0.1, 0.45, 0.4, 100.0, 0.8),
            CrossCheck("mips", 0.05, -0.1, 0.2, None, 100.0, 0.8),
        ),
        ensemble_spread={"ppo": 0.061, "sft": 0.055, "best_of": 0.06, "logged": 0.048},
        guardrails=evidence.guardrails,
        checked_claims=("number", "brand"),
        promises={"ppo": 0.0, "sft": 0.012, "best_of": 0.0, "logged": 0.249},
        belonging={"ppo": BelongingShares(0.98, 0.94), "logged": BelongingShares(0.951, 0.947)},
        probe=ATTACKS,
        segments=segments if simulated else (),
        history=(HISTORY,) if simulated else (),
        config=EvalConfig(lang=lang).model_dump(mode="json"),
        fingerprints={"fit-reward": "0123abcd", title: "ffff"},
        versions={"rlopt": "0.1.0", "python": "3.11"},
        seconds={"fit-reward": 12.3},
    )


METRICS = [
    {"step": step, "objective/scores": 0.01 * step + 0.1 * np.sin(step), "objective/kl": 0.02 * step}
    for step in range(1, 121)
]
