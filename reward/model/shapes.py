"""Schema of ``meta.json`` of a reward model or a judge: names and types, as `reward.saved.read_json` checks them.

`reward.model.soundness` checks that the numbers and the arrays beside them agree.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

FloatPair: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class VocabularyShape:
    """`reward.features.vocabulary.Vocabulary`."""

    slots: list[str]
    categories: dict[str, list[str]]
    numerics: list[str]
    claims: list[tuple[list[str], int]]
    values: list[tuple[int, list[str]]]
    generic: list[str]
    known: dict[str, int]
    unusual_slots: list[int]


@dataclass(frozen=True)
class MeaningShape:
    """`reward.encoders.meaning.Meaning`."""

    encoder: str
    fingerprint: str


@dataclass(frozen=True)
class FeaturesShape:
    """`reward.features.transformer.TitleFeatures`."""

    vocabulary: VocabularyShape
    meaning: MeaningShape | None = None


@dataclass(frozen=True)
class TermShape:
    """`reward.model.design.Term`."""

    feature: int
    edges: list[float]
    n_values: int
    group: str


@dataclass(frozen=True)
class MentionShape:
    """`reward.model.design.MentionTerm`."""

    edges: list[float]
    by: Literal["any", "slot", "value"]
    n_kinds: int
    n_values: int
    group: str


@dataclass(frozen=True)
class DesignShape:
    """`reward.model.design.Design`."""

    terms: list[TermShape]
    mentions: list[MentionShape]
    category: int


@dataclass(frozen=True)
class ContextShape:
    """`reward.model.item_context.Context`."""

    numerics: dict[str, FloatPair]
    before: "ContextShape | None" = None
    before_scale: FloatPair | None = None


@dataclass(frozen=True)
class OutcomeShape:
    """`reward.model.outcome.Outcome`."""

    members: int
    design: DesignShape
    level: float
    noise: FloatPair
    slope: float
    spread: FloatPair
    pace: float
    platt: FloatPair
    context_std: float
    context: ContextShape
    known: list[str]


@dataclass(frozen=True)
class OutcomesShape:
    """The outcomes of a reward model."""

    click: OutcomeShape
    conversion: OutcomeShape | None = None


@dataclass(frozen=True)
class SaleShape:
    """`reward.model.sale_value.SaleValue`."""

    mean: float
    by_item: dict[str, float]


@dataclass(frozen=True)
class SettingsShape:
    """Weights of a reward model."""

    click_weight: float
    conversion_weight: float
    revenue_weight: float
    sale: SaleShape | None
    threads: int
    observational: bool = False


@dataclass(frozen=True)
class ModelShape:
    """A reward model."""

    features: FeaturesShape
    settings: SettingsShape
    outcomes: OutcomesShape


@dataclass(frozen=True)
class JudgeShape:
    """A judge."""

    features: FeaturesShape
    design: DesignShape
    variances: list[float]
    noise: FloatPair
    level: float
    pace: float
    wording_by: int | None = None
    observational: bool = False
