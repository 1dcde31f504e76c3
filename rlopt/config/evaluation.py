"""Settings of the stages that judge: ``offline-eval``, ``compare`` and ``evaluate-text``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import StageConfig

Weight = Literal["traffic", "items"]


class EvalConfig(StageConfig):
    """``offline-eval``: the judge's comparison on test items, and the rule of the verdict."""

    section: ClassVar[str] = "eval"

    policy: str = Field(
        "ppo",
        min_length=1,
        description="Who is judged: ppo, grpo, rloo or sft of the run, a policy folder, or a file of titles.",
    )
    samples: int = Field(4, ge=1, description="Titles sampled for each test item and policy.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature: the one the policy would serve with.")
    max_items: int = Field(500, ge=2, description="Test items used at most (drawn by the seed).")
    best_of: int = Field(16, ge=0, description="Rival: best of so many SFT titles by the reward; 0 leaves it out.")
    draws: int = Field(400, ge=50, description="Posterior draws of the judge.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    baseline: Literal["both", "logged", "sft"] = Field("both", description="What the policy must beat to launch.")
    weight: Weight = Field(
        "traffic",
        description="What an item counts in the lift that decides: by its traffic, or all alike; the other can veto.",
    )
    assignment: Literal["randomized", "logged", "unknown"] | None = Field(
        None, description="How titles of the logs were chosen, where fit-reward was not told. None: as it was told."
    )
    min_lift: float = Field(0.0, gt=-1, description="The interval must lie above this lift to launch.")
    min_items: int = Field(30, ge=2, description="Fewer test items than this: not enough evidence.")
    max_kl: float | None = Field(None, gt=0, description="More nats a title than this: not enough evidence.")
    support_level: float = Field(0.5, ge=0, le=1, description="A title with this much support is near logged ones.")
    support_share: float = Field(0.6, ge=0, le=1, description="Share of titles near logged ones that evidence needs.")
    max_hidden_arm_z: float = Field(2.5, gt=0, description="Judge against real arms: larger |z| is no evidence.")
    min_overlap: float = Field(0.05, gt=0, le=1, description="Policy mass on logged titles that exact estimators need.")
    min_overlap_items: float = Field(20, ge=2, description="Effective number of items that exact estimators need.")
    min_faithfulness: float = Field(0.5, ge=0, le=1, description="Share of titles with no unsupported word needed.")
    max_interval_factor: float = Field(
        3.0, gt=1, description="An interval whose ends differ by more than this factor is no evidence."
    )
    max_faithfulness_loss: float = Field(0.05, ge=0, le=1, description="That share may be lower than SFT's by this.")
    max_text_kl: float = Field(2.0, gt=0, description="New titles as many nats from logged ones as this: no evidence.")
    max_conversion_loss: float = Field(0.05, ge=0, description="Conversions per impression may fall by this share.")
    max_revenue_loss: float = Field(0.05, ge=0, description="Revenue per impression may fall by this share.")
    by: tuple[str, ...] = Field((), description="Item fields whose values make the segments of the report.")
    lang: Literal["en", "zh"] = Field("en", description="Language of report.html.")
    max_violations: float = Field(0.05, ge=0, le=1, description="Share of titles that may break a rule.")


class CompareConfig(StageConfig):
    """``compare``: the run's policies and best-of-n side by side on test items."""

    section: ClassVar[str] = "compare"

    samples: int = Field(4, ge=1, description="Titles sampled for each test item and policy.")
    policies: tuple[Literal["ppo", "grpo", "rloo"], ...] = Field((), description="Which ones; none: all the run has.")
    best_of: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (4, 16, 64), description="Best of so many SFT titles by the reward."
    )
    risk_aversion: float = Field(1.0, ge=0, description="Spreads taken off the reward that best-of-n goes by.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    max_items: int = Field(200, ge=2, description="Test items used at most (drawn by the seed).")
    draws: int = Field(400, ge=50, description="Posterior draws of the judge.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")


class TextConfig(StageConfig):
    """``evaluate-text``: titles against references and their items."""

    section: ClassVar[str] = "text"

    references: str | None = Field(None, description="Column with the reference of each title; none: there are none.")
    draws: int = Field(1000, ge=100, description="Bootstrap draws of the items.")
