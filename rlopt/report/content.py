"""Content of an evaluation report, as plain data: written to report.json, rendered to report.html."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reward.plain import JsonObject, Plain, plain
from rlopt.ope.cross_checks import CrossCheck
from rlopt.ope.diagnostics import KlEstimate, Overlap, PropensityCalibration
from rlopt.ope.direct import LiftEstimate
from rlopt.ope.estimators import Estimate
from rlopt.ope.guardrails import Guardrails
from rlopt.ope.hidden_arms import HiddenArmTest
from rlopt.ope.rated_shares import RatedShare
from rlopt.ope.segments import Segment
from rlopt.ope.text_shift import TextShift
from rlopt.ope.verdict import Verdict

from .attacks import AttackFigures

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class PolicyFigures(Plain):
    """One policy's titles on the test items.

    Parameters
    ----------
    policy
        Its name: "sft", "best_of", or that of the evaluated one ("ppo", or a folder's or file's).
    n_titles, n_items
        Titles evaluated, and items they are for.
    lift_over_logged
        By the judge.
    reward, reward_std
        Mean prediction of the reward model PPO optimised, and its mean ensemble spread: what the judge is a check on.
    faithfulness
        Share of titles without claims that their item does not state; None where no claims are checked.
    support_share
        Share of titles near titles the judge knows.
    novel_share
        Share of titles the logs never showed for their item.
    distinct_share
        Different titles among all, by item.
    finished_share
        Share of titles that ended by themselves before the length limit; None where not sampled directly.
    """

    policy: str
    n_titles: int
    n_items: int
    lift_over_logged: LiftEstimate
    reward: float
    reward_std: float
    faithfulness: float | None
    support_share: float
    novel_share: float
    distinct_share: float
    finished_share: float | None


@dataclass(frozen=True)
class Origin(Plain):
    """Origin of a report.

    Parameters
    ----------
    run, logs
        Name of the run's folder, and of the logs' file or folder.
    first_day, last_day
        Days that the logs span (UTC), "2026-03-02"; None without timestamps.
    evaluated
        Day of the evaluation.
    """

    run: str
    logs: str
    first_day: str | None
    last_day: str | None
    evaluated: str


@dataclass(frozen=True)
class Outcome(Plain):
    """Earnings per impression of the test items, and the change by the new titles.

    Parameters
    ----------
    name
        "clicks", "conversions" or "revenue".
    rate
        Logged, per impression.
    lift, low, high
        Relative change over the logged titles, with its interval.
    """

    name: str
    rate: float
    lift: float
    low: float
    high: float


@dataclass(frozen=True)
class AbTestSize(Plain):
    """Size of a visitors' A/B test that finds a lift, with one look at the end, at ab-plan's defaults.

    Parameters
    ----------
    lift
        The lift to find.
    impressions
        Of each arm; None where no number suffices.
    days
        With all of the traffic; None where that is not known.
    impressions_a_day
        The traffic.
    """

    lift: float
    impressions: int | None
    days: float | None
    impressions_a_day: float | None


@dataclass(frozen=True)
class Example:
    """One test item before and after.

    Parameters
    ----------
    kind
        "gain", "loss", or "drawn" for one drawn at random.
    item_id, context
        The item and its fields in one line.
    logged, sft, title
        Most shown logged title, an SFT title (None without an SFT policy), and the evaluated title.
    nearest, similarity
        The logged title nearest to ``title``, and their word overlap in [0, 1].
    lift, lift_std
        The item's lift over its logged titles by the judge.
    reward, reward_std
        Prediction of the reward model for ``title``.
    unsupported
        Words of ``title`` that its item does not state.
    violations
        Other rules it breaks.
    """

    kind: str
    item_id: str
    context: str
    logged: str
    sft: str | None
    title: str
    nearest: str
    similarity: float
    lift: float
    lift_std: float
    reward: float
    reward_std: float
    unsupported: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()


@dataclass(frozen=True)
class BelongingShares(Plain):
    """Shares of one policy's titles; None where the train titles do not tell.

    Parameters
    ----------
    relevant
        Share similar to their item's titles, fields and texts, and not to those of others.
    fluent
        Share with the wording of whole titles, not of shuffled or spliced ones.
    """

    relevant: float | None
    fluent: float | None


@dataclass(frozen=True)
class EvaluationReport(Plain):
    """Everything the report shows; see the fields' own classes.

    Parameters
    ----------
    candidate
        Name of the policy that is evaluated.
    verdict
        Decision and reasons.
    origin
        Run, logs, days.
    outcomes
        The lift in clicks, conversions and revenue, where the logs have them.
    ab_sizes
        Size of an A/B test for the predicted lift and for its lower limit; empty where there is no gain.
    lifts
        Baseline ("logged", and "sft" where there is an SFT policy) -> lift of the candidate over it, by the judge.
    true_lifts
        The same by the simulator; None on real logs.
    other_lifts, other_true_lifts
        Both with items weighted the other way (``weight`` of the settings: by traffic, or all alike).
    candidates
        Number of different candidates evaluated on these test items.
    policies
        Figures of each policy.
    kl
        KL of the candidate to the SFT policy; None where it is not known.
    hidden_arms, overlap, model_against_weights, sample_ratio_p_value
        Diagnostics; None where the logs allow no such test.
    propensity_calibration, text_shift
        More of them.
    cross_checks
        Lifts by logged clicks beside the judge, by similarity of titles; the judge on the same impressions first.
    ensemble_spread
        Policy, "logged" included -> how unsure the reward model is of its titles' effects, in nats; the mean.
    guardrails
        Guardrails of a launch.
    checked_claims
        Kinds of claims that a faithful title's item states; empty where none are checked.
    promises
        Policy, "logged" included -> share of its titles that promise what nothing of their item bears out; empty where
        that is not checked.
    belonging
        Policy, "logged" included -> shares of its titles that belong to their items and read like titles; empty where
        the run has no model that tells.
    probe
        Attacks by ``rlopt probe``; empty where it was not run.
    rated
        Ratings by people of the candidate's titles, drawn at random; empty where nobody was asked.
    segments
        Lift by segment, the worst first; empty where none were asked for.
    history
        Earlier A/B tests of this run: prediction beside outcome, oldest first.
    estimates
        Exact off-policy estimates per impression; empty without overlap.
    logged_ctr
        Clicks per impression of the test items.
    propensity_logged
        False where propensities are estimated from traffic shares.
    n_items, n_arms, n_impressions
        Size of the test logs that were used.
    n_test_items
        Test items in the run, of which ``n_items`` were used.
    examples
        Largest predicted gains and losses, and items drawn at random.
    config, fingerprints, versions, seconds
        Settings of this stage; stage -> its key; package -> version; stage -> seconds.
    """

    candidate: str
    verdict: Verdict
    lifts: dict[str, LiftEstimate]
    policies: tuple[PolicyFigures, ...]
    kl: KlEstimate | None
    hidden_arms: HiddenArmTest | None
    overlap: Overlap
    model_against_weights: float | None
    sample_ratio_p_value: float | None
    estimates: tuple[Estimate, ...]
    logged_ctr: float
    propensity_logged: bool
    n_items: int
    n_arms: int
    n_impressions: float
    n_test_items: int
    examples: tuple[Example, ...]
    origin: Origin
    outcomes: tuple[Outcome, ...] = ()
    ab_sizes: tuple[AbTestSize, ...] = ()
    true_lifts: dict[str, float] | None = None
    other_lifts: dict[str, LiftEstimate] = field(default_factory=dict)
    other_true_lifts: dict[str, float] | None = None
    candidates: int = 1
    propensity_calibration: PropensityCalibration | None = None
    text_shift: TextShift | None = None
    cross_checks: tuple[CrossCheck, ...] = ()
    ensemble_spread: dict[str, float] = field(default_factory=dict)
    guardrails: Guardrails = field(default_factory=Guardrails)
    checked_claims: tuple[str, ...] = ()
    promises: dict[str, float] = field(default_factory=dict)
    belonging: dict[str, BelongingShares] = field(default_factory=dict)
    probe: tuple[AttackFigures, ...] = ()
    rated: tuple[RatedShare, ...] = ()
    segments: tuple[Segment, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    config: JsonObject = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> JsonObject:
        """JSON-ready, as report.schema.json describes it."""
        layout = {
            "schema_version": SCHEMA_VERSION,
            "candidate": self.candidate,
            "verdict": self.verdict,
            "origin": self.origin,
            "outcomes": self.outcomes,
            "ab_sizes": self.ab_sizes,
            "lifts": self.lifts,
            "true_lifts": self.true_lifts,
            "other_lifts": self.other_lifts,
            "other_true_lifts": self.other_true_lifts,
            "candidates": self.candidates,
            "policies": self.policies,
            "kl": self.kl,
            "diagnostics": {
                "hidden_arms": self.hidden_arms,
                "overlap": self.overlap,
                "model_against_weights": self.model_against_weights,
                "sample_ratio_p_value": self.sample_ratio_p_value,
                "propensity_calibration": self.propensity_calibration,
                "text_shift": self.text_shift,
                "item_lift_spread": self.lifts["logged"].item_spread,
                "ensemble_spread": self.ensemble_spread,
            },
            "cross_checks": self.cross_checks,
            "guardrails": self.guardrails,
            "checked_claims": self.checked_claims,
            "promises": self.promises,
            "belonging": self.belonging,
            "probe": self.probe,
            "rated": self.rated,
            "segments": self.segments,
            "history": self.history,
            "estimates": self.estimates,
            "test": {
                "items": self.n_items,
                "items_in_run": self.n_test_items,
                "arms": self.n_arms,
                "impressions": self.n_impressions,
                "logged_ctr": self.logged_ctr,
                "propensity_logged": self.propensity_logged,
            },
            "examples": self.examples,
            "config": self.config,
            "fingerprints": self.fingerprints,
            "versions": self.versions,
            "seconds": self.seconds,
        }
        return {name: plain(value) for name, value in layout.items()}
