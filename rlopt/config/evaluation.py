"""Settings of the stages that judge: ``offline-eval``, ``compare`` and ``evaluate-text``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from reward.assignment import Assignment
from rlopt.algorithms import DEFAULT, POLICIES, AlgorithmName

from .base import StageConfig, setting

Weight = Literal["traffic", "items"]


class EvalConfig(StageConfig):
    """``offline-eval``: the judge's comparison on test items, and the rule of the verdict."""

    section: ClassVar[str] = "eval"

    policy: str = setting(
        DEFAULT.name,
        f"Policy to evaluate: the run's policy ({', '.join(POLICIES)}), a policy folder, or a table (parquet, CSV, "
        "JSONL) with item_id and title.",
        metavar="POLICY",
        min_length=1,
    )
    samples: int = setting(4, "Titles sampled per test item and policy.", ge=1)
    temperature: float = setting(1.0, "Sampling temperature: the one the policy would serve with.", gt=0)
    max_items: int = setting(500, "Use at most this many test items, drawn by the seed.", ge=2)
    best_of: int = setting(16, "Rival: best of N SFT titles by the reward; 0 leaves it out.", ge=0)
    draws: int = setting(400, "Posterior draws of the judge, from which intervals are made.", ge=50)
    confidence: float = setting(0.95, "Coverage of the intervals.", gt=0.5, lt=1)
    baseline: Literal["both", "logged", "sft"] = setting(
        "both", "What the policy must beat to launch: the logged titles, the SFT policy, or both."
    )
    weight: Weight = setting(
        "traffic",
        "Weight of an item in the deciding lift: its traffic (the lift of the shop), or equal "
        "(items). The other lift can veto.",
    )
    assignment: Assignment | None = setting(
        None, "How the logged titles were chosen, as in fit-reward --assignment; by default as given there."
    )
    unseen_cause: float = setting(
        1.5,
        "Intervals of an observational reward allow for an unlogged confounder that makes the showing of a title, "
        "and clicks, this many times as likely.",
        ge=1,
    )
    min_lift: float = setting(0.0, "Lift that the whole interval must exceed to launch; 0.02 is +2%.", gt=-1)
    min_items: int = setting(30, "Fewer test items than this: not enough evidence.", ge=2)
    max_kl: float | None = setting(None, "More nats per title than this: not enough evidence.", gt=0)
    support_level: float = setting(0.5, "A title with this much support is near logged ones.", ge=0, le=1)
    support_share: float = setting(
        0.6, "Share of new titles that must be near logged ones; with fewer, evidence is insufficient.", ge=0, le=1
    )
    max_hidden_arm_z: float = setting(2.5, "Judge against real arms: a larger |z| means not enough evidence.", gt=0)
    min_overlap: float = setting(0.05, "Policy mass on logged titles that exact estimators need.", gt=0, le=1)
    min_overlap_items: float = setting(20, "Effective number of items that exact estimators need.", ge=2)
    min_faithfulness: float = setting(0.5, "Share of titles needed whose claims are all stated.", ge=0, le=1)
    max_interval_factor: float = setting(
        3.0, "An interval whose ends differ by more than this factor: not enough evidence.", gt=1
    )
    min_relevance: float = setting(0.5, "Share of titles that belong to their item that evidence needs.", ge=0, le=1)
    min_fluency: float = setting(0.5, "Share of titles that read like whole titles that evidence needs.", ge=0, le=1)
    max_faithfulness_loss: float = setting(0.05, "That share may be lower than SFT's by this.", ge=0, le=1)
    max_text_kl: float = setting(2.0, "New titles this many nats from logged ones: not enough evidence.", gt=0)
    max_conversion_loss: float = setting(0.05, "Conversions per impression may fall by this share.", ge=0)
    max_revenue_loss: float = setting(0.05, "Revenue per impression may fall by this share.", ge=0)
    by: tuple[str, ...] = setting((), "Also report the lift by this item field, numbers in bands.", metavar="FIELD")
    traffic: float | None = setting(
        None, "Impressions per day, to express the lift in clicks per day.", none="those of the logs", metavar="N", gt=0
    )
    lang: Literal["en", "zh"] = setting("en", "Language of report.html and of the verdict in the terminal.")
    max_violations: float = setting(0.05, "Share of titles that may break a rule.", ge=0, le=1)
    max_misleading: float | None = setting(
        None,
        "With --reviews: largest share of titles that people may find misleading; if the interval "
        "reaches above it, no launch.",
        ge=0,
        le=1,
    )


class CompareConfig(StageConfig):
    """``compare``: the run's policies and best-of-n side by side on test items."""

    section: ClassVar[str] = "compare"

    samples: int = setting(4, "Titles sampled per test item and policy.", ge=1)
    policies: tuple[AlgorithmName, ...] = setting((), "Which ones; none: all the run has.")
    best_of: tuple[Annotated[int, Field(ge=2)], ...] = setting(
        (4, 16, 64), "Also compare the best of N SFT titles by the reward.", metavar="N"
    )
    risk_aversion: float = setting(1.0, "Standard deviations subtracted from the reward in best-of-n.", ge=0)
    temperature: float = setting(1.0, "Sampling temperature.", gt=0)
    max_items: int = setting(200, "Use at most this many test items, drawn by the seed.", ge=2)
    draws: int = setting(400, "Posterior draws of the judge, from which intervals are made.", ge=50)
    confidence: float = setting(0.95, "Coverage of the intervals.", gt=0.5, lt=1)


class TextConfig(StageConfig):
    """``evaluate-text``: titles against references and their items."""

    section: ClassVar[str] = "text"

    references: str | None = setting(
        None, "Column with the reference title, such as one that a person wrote.", metavar="COLUMN"
    )
    draws: int = setting(1000, "Bootstrap draws of the items.", ge=100)


class ProbeConfig(StageConfig):
    """``probe``: what fools the run."""

    section: ClassVar[str] = "probe"

    max_items: int = setting(300, "Use at most this many test items, drawn by the seed.", ge=2)
    best_of: int = setting(
        16,
        "How many titles of other items to try per item; the one with the highest reward is an attack.",
        ge=1,
        le=1000,
    )
    attacks: str | None = setting(
        None,
        'YAML file of your own attacks, such as gift: "{title} + free gift" (docs/probing.md).',
        min_length=1,
        metavar="FILE",
    )
    synonyms: str | None = setting(
        None,
        "File of words that mean the same, one sofa=couch per line, for rephrased titles.",
        none="rlopt's own lists",
        min_length=1,
        metavar="FILE",
    )

    def files(self) -> list[str]:
        """The files that are named."""
        return [file for file in (self.attacks, self.synonyms) if file is not None]
