"""The verdict: launch, hold, or insufficient evidence, every reason with its figure and threshold."""

from dataclasses import dataclass, field
from typing import Literal

from reward.evidence.metrics import Interval
from reward.plain import JsonObject, Plain, plain
from rlopt.config import EvalConfig

from .diagnostics import KlEstimate, Overlap
from .direct import LiftEstimate
from .guardrails import RULES, Guardrails
from .hidden_arms import HiddenArmTest
from .log_reasons import LogGrounds, log_reasons
from .past_tests import PastTests, past_reasons
from .rated_shares import RatedShare, rated_reasons
from .reasons import Reason, Status
from .text_shift import TextShift

Decision = Literal["launch", "hold", "insufficient-evidence"]
HEADLINES: dict[Decision, str] = {
    "launch": "Launch: run the A/B test",
    "hold": "Hold: the policy is not shown to be better",
    "insufficient-evidence": "Insufficient evidence: these logs cannot tell",
}
BASELINES = {"logged": "the logged titles", "sft": "the SFT policy"}


@dataclass(frozen=True)
class Verdict(Plain):
    """Decision on a policy, and its reasons; those that decided come first."""

    decision: Decision
    reasons: tuple[Reason, ...]

    @property
    def headline(self) -> str:
        """The decision in words."""
        return HEADLINES[self.decision]

    def to_dict(self) -> JsonObject:
        """Plain values, the headline among them."""
        return {"decision": self.decision, "headline": self.headline, "reasons": plain(self.reasons)}


@dataclass(frozen=True)
class Grounds:
    """The figures the verdict stands on.

    Parameters
    ----------
    lifts
        Name of the baseline ("logged", "sft") -> lift of the evaluation policy over it.
    n_items
        Test items compared.
    support_share
        Share of the policy's titles near logged ones.
    hidden_arms
        The judge on real arms; None where the test items allow no such test.
    overlap
        Overlap of policy and logs.
    model_against_weights
        z of doubly robust against direct method; None without overlap.
    kl
        KL of the policy to the SFT policy; None where it is not known.
    faithfulness, sft_faithfulness
        Share of titles without claims that their item does not state; None where no claims are checked.
    text_shift
        Divergence of the policy's titles from the logged ones; None with too few items to tell.
    guardrails
        Guardrails of a launch.
    logs
        Findings of the log doctor, and the assignment of titles.
    other_lifts
        ``lifts`` with items weighted the other way: equally where ``lifts`` weight by traffic, and the reverse.
    from_run
        True if the titles are a policy's of this run; for others the SFT policy is no baseline that decides.
    relevant, fluent
        Shares of the titles that belong to their item, and whose wording is that of whole titles; None where too few
        titles were there to learn it from.
    past
        Predictions against outcomes of the run's A/B tests so far, from three on.
    rated
        Ratings by people of titles of this policy, drawn at random.
    reward_slope
        Observed share of the reward's predicted differences between an item's titles, held out; None if unknown.
    candidates
        Number of different candidates evaluated on these test items, this one included.
    """

    lifts: dict[str, LiftEstimate]
    n_items: int
    support_share: float
    hidden_arms: HiddenArmTest | None
    overlap: Overlap
    model_against_weights: float | None
    kl: KlEstimate | None
    faithfulness: float | None
    sft_faithfulness: float | None
    text_shift: TextShift | None = None
    guardrails: Guardrails = field(default_factory=Guardrails)
    logs: LogGrounds = field(default_factory=LogGrounds)
    other_lifts: dict[str, LiftEstimate] = field(default_factory=dict)
    from_run: bool = True
    candidates: int = 1
    reward_slope: Interval | None = None
    relevant: float | None = None
    fluent: float | None = None
    past: PastTests | None = None
    rated: tuple[RatedShare, ...] = ()


def decide(grounds: Grounds, rule: EvalConfig) -> Verdict:
    """Apply the rule to the grounds.

    Insufficient evidence where a "doubt" stands; else hold where a "hold" stands; else launch. The lift's interval
    must lie above ``rule.min_lift`` against every baseline of ``rule.baseline``, or of all where it is none of them:
    nothing is launched without a lift.
    """
    reasons = [
        *_lifts(grounds, rule),
        *_other_lifts(grounds, rule),
        *_candidates(grounds),
        *past_reasons(grounds.past, grounds.lifts["logged"], rule.min_lift),
        *_widths(grounds, rule),
        _items(grounds, rule),
        _support(grounds, rule),
        *_judge(grounds, rule),
        *_reward_slope(grounds),
        *_weights(grounds, rule),
        *log_reasons(grounds.logs, grounds.lifts["logged"]),
        *_kl(grounds, rule),
        *_text_shift(grounds, rule),
        *_belonging(grounds, rule),
        *rated_reasons(grounds.rated, rule.max_misleading),
        *_faithfulness(grounds, rule),
        *_guardrails(grounds.guardrails, rule),
    ]
    statuses = {reason.status for reason in reasons}
    decision: Decision = "insufficient-evidence" if "doubt" in statuses else "hold" if "hold" in statuses else "launch"
    decisive: Status = {"insufficient-evidence": "doubt", "hold": "hold", "launch": "ok"}[decision]  # type: ignore[assignment]
    return Verdict(decision, tuple(sorted(reasons, key=lambda reason: reason.status != decisive)))


def _deciding(grounds: Grounds, rule: EvalConfig) -> set[str]:
    """The baselines that the policy must beat."""
    wanted = {"both": {"logged", "sft"} if grounds.from_run else {"logged"}}.get(rule.baseline, {rule.baseline})
    return wanted & set(grounds.lifts) or set(grounds.lifts)


def _lifts(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    out = []
    for baseline, lift in grounds.lifts.items():
        status: Status = "ok" if lift.low > rule.min_lift else "hold"
        if baseline not in _deciding(grounds, rule):
            status = "note"
        where = "above" if lift.low > rule.min_lift else "not above"
        out.append(
            Reason(
                f"lift_over_{baseline}",
                status,
                f"Lift over {BASELINES.get(baseline, baseline)}: {lift.value:+.1%} "
                f"({lift.confidence:.0%} interval {lift.low:+.1%} to {lift.high:+.1%}); "
                f"its lower limit is {where} {rule.min_lift:+.1%}.",
                lift.low,
                rule.min_lift,
            )
        )
    return out


def _other_lifts(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    """The lift with items weighted the other way, which vetoes a gain that is a loss by it."""
    out = []
    which = "With equal weights of the items" if rule.weight == "traffic" else "With items weighted by traffic"
    for baseline, lift in grounds.other_lifts.items():
        decides = baseline in _deciding(grounds, rule)
        loses = lift.value <= rule.min_lift
        out.append(
            Reason(
                f"other_lift_over_{baseline}",
                "hold" if decides and loses else "note",
                f"{which}, the lift over {BASELINES.get(baseline, baseline)} is {lift.value:+.1%} "
                f"({lift.confidence:.0%} interval {lift.low:+.1%} to {lift.high:+.1%})"
                + (f", not above {rule.min_lift:+.1%}: some items pay for the others." if loses else "."),
                lift.value,
                rule.min_lift,
            )
        )
    return out


def _candidates(grounds: Grounds) -> list[Reason]:
    if grounds.candidates < 2:
        return []
    confidence = grounds.lifts["logged"].confidence
    message = (
        f"{grounds.candidates} candidates have been evaluated on these test items, and the best of many looks good by "
        f"chance: intervals have {confidence:.1%} confidence, so that all of them hold simultaneously."
    )
    return [Reason("candidates", "note", message, float(grounds.candidates))]


def _widths(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    """A judge that is asked about titles unlike any it knows answers with an interval that may hold anything."""
    out = []
    for baseline, lift in grounds.lifts.items():
        factor = (1.0 + lift.high) / max(1.0 + lift.low, 1e-9)
        if factor > rule.max_interval_factor and baseline in _deciding(grounds, rule):
            message = (
                f"The interval of the lift over {BASELINES.get(baseline, baseline)} spans a factor of {factor:.1f} "
                f"(at most {rule.max_interval_factor:g})."
            )
            out.append(Reason(f"interval_over_{baseline}", "doubt", message, factor, rule.max_interval_factor))
    return out


def _items(grounds: Grounds, rule: EvalConfig) -> Reason:
    enough = grounds.n_items >= rule.min_items
    return Reason(
        "test_items",
        "passed" if enough else "doubt",
        f"{grounds.n_items} test items that neither the reward nor PPO has seen (at least {rule.min_items} needed).",
        float(grounds.n_items),
        float(rule.min_items),
    )


def _support(grounds: Grounds, rule: EvalConfig) -> Reason:
    enough = grounds.support_share >= rule.support_share
    return Reason(
        "support",
        "passed" if enough else "doubt",
        f"{grounds.support_share:.0%} of the titles are near titles the judge knows "
        f"(at least {rule.support_share:.0%} needed).",
        grounds.support_share,
        rule.support_share,
    )


def _judge(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    test = grounds.hidden_arms
    if test is None:
        message = "The judge could not be tested on real arms: fewer than ten test items have two titles and a click."
        return [Reason("hidden_arms", "note", message)]
    return [_hidden_arms(test, rule), *_slope(test)]


def _hidden_arms(test: HiddenArmTest, rule: EvalConfig) -> Reason:
    if not test.prefers:
        message = (
            "The judge was not tested on titles that resemble these: all logged titles are equally similar to them, so "
            "their clicks tell nothing."
        )
        return Reason("hidden_arms", "note", message)
    passed = abs(test.z) <= rule.max_hidden_arm_z
    return Reason(
        "hidden_arms",
        "passed" if passed else "doubt",
        f"On real, unseen arms the judge predicted {test.predicted_lift:+.1%} for the titles the policy prefers; "
        f"{test.observed_lift:+.1%} was observed: z = {test.z:.1f} "
        f"(at most {rule.max_hidden_arm_z:g} in size).",
        test.z,
        rule.max_hidden_arm_z,
    )


def _slope(test: HiddenArmTest) -> list[Reason]:
    """Reasons from the judge's slope: check that titles the judge prefers get more clicks at all."""
    message = (
        f"For 1% more clicks predicted by the judge for one of an item's logged titles, {test.slope:.2f}% more were "
        f"observed (standard error {test.slope_std_error:.2f}; 1 is right)"
    )
    if test.slope < 0:
        return [Reason("judge_slope", "doubt", f"{message}: it ranks titles the wrong way round.", test.slope, 0.0)]
    return [Reason("judge_slope", "note", f"{message}.", test.slope, 0.0)]


def _reward_slope(grounds: Grounds) -> list[Reason]:
    """Reasons from the reward's slope: check that titles chosen by the reward gain as much as it predicts."""
    slope = grounds.reward_slope
    if slope is None:
        return []
    message = (
        f"For 1% more clicks predicted by the reward for one of an item's titles, {slope.value:.2f}% more were "
        f"observed on held-out items (95% interval {slope.low:.2f} to {slope.high:.2f}; 1 is right)."
    )
    return [Reason("reward_slope", "note", message, slope.value, 1.0)]


def _weights(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    z = grounds.model_against_weights
    if z is None:
        message = grounds.overlap.message
        return [Reason("overlap", "note", message[0].upper() + message[1:] + ".", grounds.overlap.mass)]
    passed = abs(z) <= rule.max_hidden_arm_z
    return [
        Reason(
            "model_against_weights",
            "passed" if passed else "doubt",
            f"Doubly robust {'agrees with' if passed else 'contradicts'} the direct method: z = {z:.1f} "
            f"(at most {rule.max_hidden_arm_z:g} in size).",
            z,
            rule.max_hidden_arm_z,
        )
    ]


def _kl(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    if grounds.kl is None:
        if rule.max_kl is None:
            return []
        message = f"KL to the SFT policy is unknown, so its limit of {rule.max_kl:g} nats cannot be checked."
        return [Reason("kl", "doubt", message, None, rule.max_kl)]
    kl = grounds.kl.value
    if rule.max_kl is None:
        return [Reason("kl", "note", f"KL to the SFT policy: {kl:.2f} nats per title (no limit set).", kl)]
    message = f"KL to the SFT policy: {kl:.2f} nats per title (at most {rule.max_kl:g})."
    return [Reason("kl", "passed" if kl <= rule.max_kl else "doubt", message, kl, rule.max_kl)]


def _faithfulness(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    share = grounds.faithfulness
    if share is None:
        return []
    needed = rule.min_faithfulness
    if grounds.sft_faithfulness is not None:
        needed = max(needed, grounds.sft_faithfulness - rule.max_faithfulness_loss)
    return [
        Reason(
            "faithfulness",
            "passed" if share >= needed else "hold",
            f"{share:.1%} of the titles make no claim that their item does not state (at least {needed:.1%} needed).",
            share,
            needed,
        )
    ]


def _text_shift(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    shift = grounds.text_shift
    if shift is None:
        return []
    near = shift.kl < rule.max_text_kl
    return [
        Reason(
            "text_shift",
            "passed" if near else "doubt",
            f"A classifier finds new and logged titles {shift.kl:.2f} nats apart "
            f"(less than {rule.max_text_kl:g} needed).",
            shift.kl,
            rule.max_text_kl,
        )
    ]


def _belonging(grounds: Grounds, rule: EvalConfig) -> list[Reason]:
    """Titles of other items, and words that are no title, are liked by a reward that knows neither."""
    out = []
    for topic, share, needed, what in (
        ("relevance", grounds.relevant, rule.min_relevance, "belong to their item by its titles, fields and texts"),
        ("fluency", grounds.fluent, rule.min_fluency, "read like whole titles, not like shuffled or spliced ones"),
    ):
        if share is not None:
            message = f"{share:.1%} of the titles {what} (at least {needed:.1%} needed)."
            out.append(Reason(topic, "passed" if share >= needed else "doubt", message, share, needed))
    return out


def _guardrails(guardrails: Guardrails, rule: EvalConfig) -> list[Reason]:
    out = []
    limits = (
        ("conversions", guardrails.conversions, rule.max_conversion_loss),
        ("revenue", guardrails.revenue, rule.max_revenue_loss),
    )
    for name, lift, loss in limits:
        if lift is not None:
            message = (
                f"{name.capitalize()} per impression against the logged titles: {lift.value:+.1%} "
                f"({lift.confidence:.0%} interval {lift.low:+.1%} to {lift.high:+.1%}); "
                f"its lower limit must be above {-loss:+.1%}."
            )
            out.append(Reason(name, "passed" if lift.low > -loss else "hold", message, lift.low, -loss))
    share = guardrails.violation_share
    which = ", ".join(f"{RULES.get(kind, kind)} {part:.1%}" for kind, part in list(guardrails.violations.items())[:3])
    message = (
        f"{share:.1%} of the titles break a rule{f' ({which})' if which else ''} (at most {rule.max_violations:.1%})."
    )
    status: Status = "passed" if share <= rule.max_violations else "hold"
    return [*out, Reason("violations", status, message, share, rule.max_violations)]
