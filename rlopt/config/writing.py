"""Settings of what writes: the rules for titles, ``generate``, and the simulated shop's logs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from reward.features.lexicon import Kind
from reward.features.phraselist import is_file

from .base import StageConfig


class RulesConfig(StageConfig):
    """``constraints``: what no title may do, in PPO's reward, in generation and in the reports."""

    section: ClassVar[str] = "constraints"

    max_width: int = Field(160, ge=8, description="Longest title in columns (a Chinese character counts two).")
    max_chars: int | None = Field(None, ge=4, description="Longest title in characters.")
    max_words: int | None = Field(None, ge=1, description="Longest title in words (a Chinese character is a word).")
    max_repeats: int = Field(2, ge=1, description="How often one word may occur.")
    banned: tuple[str, ...] = Field((), description="Phrases no title may hold; @FILE: one a line, # for comments.")
    required: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), description="Phrases every title must hold.")
    superlatives: tuple[str, ...] | None = Field(
        None, description="Phrases of advertising law, @FILE reads one a line; none: the lists that come with rlopt."
    )
    promises: tuple[str, ...] | None = Field(
        None,
        description="Promises that a field or the facts must bear out ({n} is any number), @FILE reads one a line; "
        "none: the lists that come with rlopt.",
    )
    facts: str | None = Field(
        None, min_length=1, description="YAML file of what holds for the shop's items; see docs/promises.md."
    )
    formatting: bool = Field(True, description="Shouting and strings of symbols are violations.")
    support: tuple[Kind, ...] | None = Field(
        None,
        description="Claims that the item's fields must state: number, unit, brand, value, word, promise. None: "
        "promises, and each other kind that at least four fifths of the logged titles keep to; an empty list: no kind.",
    )

    def files(self) -> list[str]:
        """The word lists that the rules name."""
        phrases = (*self.banned, *(self.superlatives or ()), *(self.promises or ()))
        return [phrase[1:] for phrase in phrases if is_file(phrase)] + ([self.facts] if self.facts else [])


class GenerateConfig(RulesConfig):
    """``generate``: titles for a catalogue, under the rules of ``constraints``."""

    section: ClassVar[str] = "generate"

    policy: str = Field("ppo", min_length=1, description="The run's policy (ppo, sft, grpo, rloo), or a policy folder.")
    n: int = Field(1, ge=1, le=1000, description="Titles an item.")
    best_of: int = Field(1, ge=1, le=1000, description="Titles written an item, of which the best by reward are kept.")
    temperature: float = Field(1.0, ge=0, description="Sampling temperature; 0 takes the likeliest word each time.")
    top_p: float = Field(1.0, gt=0, le=1, description="Sample from the smallest set of words with this probability.")
    beams: int = Field(1, ge=1, le=64, description="Beam search with so many beams instead of sampling.")
    engine: Literal["transformers", "vllm"] = Field("transformers", description="Who computes (vllm: if installed).")
    batch_size: int = Field(256, ge=1, description="Titles at once.")
    shard_items: int = Field(1000, ge=1, description="Items a shard: what an interruption may cost.")
    risk_aversion: float = Field(1.0, ge=0, description="Standard deviations of the title's effect taken off.")
    confidence: float = Field(
        0.8, ge=0.5, lt=1, description="Chance of being better at which a title replaces the item's current one."
    )
    keep_current: bool = Field(True, description="Keep a current title that no new one beats (with one title an item).")
    ensemble: tuple[str, ...] = Field((), description="Folders of policies that write together with `policy`.")
    ensemble_by: Literal["tokens", "titles"] = Field(
        "tokens", description="Average next-token distributions, or rank the policy's titles by all log-probabilities."
    )


class SimulateConfig(StageConfig):
    """``simulate``: logs of a shop that does not exist, with known truth."""

    section: ClassVar[str] = "simulate"

    items: int = Field(2000, ge=1, description="Items in the shop.")
    impressions: int = Field(1_000_000, ge=1, description="Impressions in the logs.")
    locale: Literal["en", "zh"] = Field("en", description="Language of the shop.")
    rows: Literal["impressions", "arms"] = Field("impressions", description="One row an impression, or an arm.")
