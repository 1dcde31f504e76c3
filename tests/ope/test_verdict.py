"""The rule of the verdict: which evidence leads where, and that every reason carries its figure."""

from dataclasses import replace

import numpy as np
import pytest

from rlopt.config import EvalConfig
from rlopt.ope.diagnostics import KlEstimate, Overlap
from rlopt.ope.direct import LiftEstimate
from rlopt.ope.guardrails import Guardrails
from rlopt.ope.hidden_arms import HiddenArmTest
from rlopt.ope.past_tests import PastTests
from rlopt.ope.text_shift import TextShift
from rlopt.ope.verdict import Grounds, decide

NO_OVERLAP = Overlap(0.0, 0.0, 0.0, 0.0, 1e5, False, "no overlap: exact estimators cannot judge it")


def lift(value: float, low: float, high: float) -> LiftEstimate:
    return LiftEstimate(value, low, high, 0.95, 0.99, 0.001, 0.02, 0.01, 300, np.zeros(300), np.zeros(300))


def hidden(z: float) -> HiddenArmTest:
    return HiddenArmTest(z, 0.10, 0.12, 0.9, 0.1, 1.1, 200, 600)


GOOD = Grounds(
    lifts={"logged": lift(0.25, 0.15, 0.35), "sft": lift(0.2, 0.1, 0.3)},
    n_items=300,
    support_share=0.9,
    hidden_arms=hidden(-0.5),
    overlap=NO_OVERLAP,
    model_against_weights=None,
    kl=KlEstimate(2.4, 0.1, 2.4, 2.0),
    faithfulness=0.99,
    sft_faithfulness=0.99,
)
RULE = EvalConfig()


def test_good_evidence_launches() -> None:
    verdict = decide(GOOD, RULE)
    assert verdict.decision == "launch"
    assert verdict.reasons[0].topic == "lift_over_logged"
    assert "+25.0%" in verdict.reasons[0].message
    assert "+15.0% to +35.0%" in verdict.reasons[0].message


@pytest.mark.parametrize(
    ("evidence", "rule", "decision", "topic"),
    [
        (replace(GOOD, lifts=GOOD.lifts | {"logged": lift(0.1, -0.01, 0.2)}), {}, "hold", "lift_over_logged"),
        (replace(GOOD, lifts=GOOD.lifts | {"sft": lift(0.1, -0.01, 0.2)}), {}, "hold", "lift_over_sft"),
        (GOOD, {"min_lift": 0.12}, "hold", "lift_over_sft"),
        (GOOD, {"min_lift": 0.10}, "hold", "lift_over_sft"),  # at the limit is not above it
        (replace(GOOD, faithfulness=0.9), {}, "hold", "faithfulness"),
        (replace(GOOD, sft_faithfulness=None), {"min_faithfulness": 0.995}, "hold", "faithfulness"),
        (replace(GOOD, support_share=0.59), {}, "insufficient-evidence", "support"),
        (replace(GOOD, hidden_arms=hidden(-2.6)), {}, "insufficient-evidence", "hidden_arms"),
        (replace(GOOD, hidden_arms=hidden(2.6)), {}, "insufficient-evidence", "hidden_arms"),
        (replace(GOOD, n_items=29), {}, "insufficient-evidence", "test_items"),
        (replace(GOOD, model_against_weights=-4.0), {}, "insufficient-evidence", "model_against_weights"),
        (GOOD, {"max_kl": 2.0}, "insufficient-evidence", "kl"),
        (replace(GOOD, text_shift=TextShift(2.0, 0.1, 0.9)), {}, "insufficient-evidence", "text_shift"),
        (replace(GOOD, guardrails=Guardrails(conversions=lift(0.1, -0.06, 0.2))), {}, "hold", "conversions"),
        (
            replace(GOOD, guardrails=Guardrails(revenue=lift(0.1, -0.01, 0.2))),
            {"max_revenue_loss": 0},
            "hold",
            "revenue",
        ),
        (replace(GOOD, guardrails=Guardrails(None, None, {"banned": 0.06}, 0.06)), {}, "hold", "violations"),
        # gibberish in a shop whose SFT policy writes gibberish too: no loss against SFT, and yet no launch
        (replace(GOOD, faithfulness=0.02, sft_faithfulness=0.003), {}, "hold", "faithfulness"),
        # the judge asked about titles unlike any it knows
        (
            replace(GOOD, lifts=GOOD.lifts | {"logged": lift(1.6, 0.38, 114.0)}),
            {},
            "insufficient-evidence",
            "interval_over_logged",
        ),
        # doubt wins over hold: a figure nobody should believe is no reason to hold either
        (replace(GOOD, support_share=0.1, faithfulness=0.5), {}, "insufficient-evidence", "support"),
    ],
)
def test_each_rule_decides(evidence: Grounds, rule: dict[str, float], decision: str, topic: str) -> None:
    verdict = decide(evidence, EvalConfig(**rule))
    assert verdict.decision == decision
    reason = verdict.reasons[0]  # what decided comes first
    assert reason.topic == topic
    assert reason.figure is not None
    assert reason.threshold is not None


def test_baseline_setting_chooses_what_must_be_beaten() -> None:
    worse_than_logged = replace(GOOD, lifts=GOOD.lifts | {"logged": lift(-0.1, -0.2, -0.05)})
    assert decide(worse_than_logged, RULE).decision == "hold"
    assert decide(worse_than_logged, EvalConfig(baseline="sft")).decision == "launch"


def test_nothing_launches_without_a_lift_that_decides() -> None:
    """The baseline asked for is not there: the lifts that are decide."""
    bad = replace(GOOD, lifts={"logged": lift(-0.5, -0.6, -0.4)})
    assert decide(bad, EvalConfig(baseline="sft")).decision == "hold"
    wide = replace(GOOD, lifts={"logged": lift(2.0, 0.01, 30.0)})
    assert decide(wide, EvalConfig(baseline="sft")).decision == "insufficient-evidence"


def test_a_limit_that_cannot_be_checked_is_a_doubt() -> None:
    unknown = replace(GOOD, kl=None)
    assert decide(unknown, EvalConfig()).decision == "launch"
    assert decide(unknown, EvalConfig(max_kl=3.0)).decision == "insufficient-evidence"


def test_high_kl_alone_is_a_note() -> None:
    verdict = decide(replace(GOOD, kl=KlEstimate(40.0, 0.1, 40.0, 39.0)), RULE)
    assert verdict.decision == "launch"
    assert next(r for r in verdict.reasons if r.topic == "kl").status == "note"


def test_missing_tests_are_named_not_assumed_passed() -> None:
    verdict = decide(replace(GOOD, hidden_arms=None, faithfulness=None), RULE)
    assert "could not be tested" in next(r for r in verdict.reasons if r.topic == "hidden_arms").message
    assert not [r for r in verdict.reasons if r.topic == "faithfulness"]


def test_verdict_is_json_ready() -> None:
    data = decide(GOOD, RULE).to_dict()
    assert data["decision"] == "launch"
    assert {"topic", "status", "message", "figure", "threshold"} == set(data["reasons"][0])


def test_from_three_tests_on_a_prediction_is_read_as_they_say() -> None:
    boasting = PastTests(4, 3, 0.2, 0.05)
    halved = decide(replace(GOOD, past=boasting), EvalConfig())
    (reason,) = [reason for reason in halved.reasons if reason.topic == "past_tests"]
    assert reason.figure == pytest.approx(boasting.rescaled(*_limits(GOOD.lifts["logged"]))[1])
    assert "3 of 4 earlier A/B tests" in reason.message
    strict = decide(replace(GOOD, past=boasting), EvalConfig(min_lift=GOOD.lifts["logged"].low * 0.9))
    assert strict.decision == "hold"
    assert "past_tests" not in {reason.topic for reason in decide(GOOD, EvalConfig()).reasons}


def _limits(lift: LiftEstimate) -> tuple[float, float, float]:
    return lift.value, lift.low, lift.high
