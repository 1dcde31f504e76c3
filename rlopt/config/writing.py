"""Settings of what writes: how titles are drawn, the rules for them, ``generate``, and the simulated shop's logs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from reward.features.lexicon import Kind
from reward.features.phraselist import is_file
from rlopt.algorithms import DEFAULT, POLICIES

from .base import StageConfig, setting

WHICH_POLICY = f"The run's policy ({', '.join(POLICIES)}), or a policy folder."


class Decoding(StageConfig):
    """Decoding settings of a policy, whatever it writes: shared by `TitlePolicy.generate` and ``generate``."""

    section: ClassVar[str] = "generate"

    temperature: float = setting(
        1.0, "Sampling temperature: higher gives more varied titles, 0 always takes the likeliest word.", ge=0
    )
    top_p: float = setting(1.0, "Sample from the smallest set of words with this probability.", gt=0, le=1)
    beams: int = setting(1, "Number of beams of a beam search; 1: sampling.", ge=1, le=64)
    batch_size: int = setting(256, "Titles written at once; less memory with fewer.", ge=1)


class RulesConfig(StageConfig):
    """``constraints``: what no title may do, in PPO's reward, in generation and in the reports."""

    section: ClassVar[str] = "constraints"

    max_width: int = setting(160, "Longest title in display columns; a Chinese character takes two.", ge=8)
    max_chars: int | None = setting(None, "Longest title in characters, if you need a limit beside --max-width.", ge=4)
    max_words: int | None = setting(None, "Longest title in words (a Chinese character is a word).", ge=1)
    max_repeats: int = setting(2, "How often one word may occur.", ge=1)
    banned: tuple[str, ...] = setting(
        (), "Phrase that no title may contain; @FILE reads one per line, # begins a comment.", metavar="PHRASE"
    )
    required: tuple[Annotated[str, Field(min_length=1)], ...] = setting(
        (), "Phrase that every title must contain.", metavar="PHRASE"
    )
    superlatives: tuple[str, ...] | None = setting(
        None,
        "Superlative that advertising law forbids, instead of rlopt's lists; @FILE reads one per line.",
        none="rlopt's own lists",
        metavar="PHRASE",
    )
    harmful: tuple[str, ...] | None = setting(
        None,
        "Phrase that may harm people or that the law forbids, instead of rlopt's lists; @FILE reads one per line.",
        none="rlopt's own lists",
        metavar="PHRASE",
    )
    promises: tuple[str, ...] | None = setting(
        None,
        "Promise that a field or the facts must back, instead of rlopt's lists ({n}: any number); "
        "@FILE reads one per line.",
        none="rlopt's own lists",
        metavar="PHRASE",
    )
    facts: str | None = setting(
        None,
        "YAML file of facts that back promises, such as free shipping (docs/promises.md).",
        min_length=1,
        metavar="FILE",
    )
    formatting: bool = setting(True, "Shouting and strings of symbols are violations.")
    support: tuple[Kind, ...] | None = setting(
        None,
        "Kind of claim that the item's fields must state; an empty list in a preset: none.",
        none="promise, and each other kind that at least four fifths of the logged titles respect",
    )
    belonging: bool = setting(
        True,
        "Avoid titles that do not belong to their item or do not read like titles: PPO loses "
        "reward for them, generate takes them last. Needs 200 train items.",
    )

    def files(self) -> list[str]:
        """The word lists that the rules name."""
        phrases = (*self.banned, *(self.superlatives or ()), *(self.harmful or ()), *(self.promises or ()))
        return [phrase[1:] for phrase in phrases if is_file(phrase)] + ([self.facts] if self.facts else [])


class GenerateConfig(RulesConfig, Decoding):
    """``generate``: titles for a catalogue, under the rules of ``constraints``."""

    section: ClassVar[str] = "generate"

    policy: str = setting(DEFAULT.name, WHICH_POLICY, metavar="NAME", min_length=1)
    n: int = setting(1, "Titles per item. With 2 or more, all are new: the current title is left out.", ge=1, le=1000)
    best_of: int = setting(
        1,
        "Titles to write per item, of which the best by reward are kept. Writing more takes longer.",
        ge=1,
        le=1000,
    )
    diverse: bool = setting(
        False,
        "With --n 2 or more: choose titles that differ, not near-copies of the best. Writes four "
        "times as many to choose from, unless --best-of sets the number.",
        flag="--diverse",
    )
    engine: Literal["transformers", "vllm"] = setting(
        "transformers", "Library that generates; vllm needs a pretrained policy and the package vllm."
    )
    shard_items: int = setting(1000, "Items in a shard, the most that an interruption loses.", ge=1)
    risk_aversion: float = setting(1.0, "Standard deviations subtracted from the title's effect.", ge=0)
    confidence: float = setting(
        0.8, "Probability of being better that a new title needs to replace the current one.", ge=0.5, lt=1
    )
    keep_current: bool = setting(
        True,
        "With --n 1: keep a current title that no new one beats.",
        flag="--keep-current/--replace-all",
    )
    ensemble: tuple[str, ...] = setting(
        (), "Folder of another policy that writes together with --policy.", metavar="FOLDER"
    )
    ensemble_by: Literal["tokens", "titles"] = setting(
        "tokens",
        "How an --ensemble writes: average next-token probabilities, or rank the policy's titles "
        "by all members' log-probabilities.",
    )

    @property
    def written(self) -> int:
        """Titles that are written an item."""
        choice = 4 * self.n if self.diverse and self.n > 1 and "best_of" not in self.model_fields_set else self.best_of
        return max(self.n, choice)


class SimulateConfig(StageConfig):
    """``simulate``: logs of a shop that does not exist, with known truth."""

    section: ClassVar[str] = "simulate"

    items: int = setting(2000, "Number of items in the shop.", ge=1)
    impressions: int = setting(1_000_000, "Number of impressions in the logs.", ge=1)
    locale: Literal["en", "zh"] = setting("en", "Language of the shop.")
    rows: Literal["impressions", "arms"] = setting(
        "impressions", "One row per impression, or per arm (an item with one of its titles)."
    )
