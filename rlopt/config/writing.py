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

    temperature: float = setting(1.0, "Sampling temperature; 0 takes the likeliest word each time.", ge=0)
    top_p: float = setting(1.0, "Sample from the smallest set of words with this probability.", gt=0, le=1)
    beams: int = setting(1, "Beam search with N beams instead of sampling.", ge=1, le=64)
    batch_size: int = setting(256, "Titles at once.", ge=1)


class RulesConfig(StageConfig):
    """``constraints``: what no title may do, in PPO's reward, in generation and in the reports."""

    section: ClassVar[str] = "constraints"

    max_width: int = setting(160, "Longest title in columns; a Chinese character is two.", ge=8)
    max_chars: int | None = setting(None, "Longest title in characters.", ge=4)
    max_words: int | None = setting(None, "Longest title in words (a Chinese character is a word).", ge=1)
    max_repeats: int = setting(2, "How often one word may occur.", ge=1)
    banned: tuple[str, ...] = setting(
        (), "Phrase no title may hold; @FILE: one a line, # for comments.", metavar="PHRASE"
    )
    required: tuple[Annotated[str, Field(min_length=1)], ...] = setting(
        (), "Phrase every title must hold.", metavar="PHRASE"
    )
    superlatives: tuple[str, ...] | None = setting(
        None,
        "Phrase of advertising law, @FILE reads one a line.",
        none="the lists that come with rlopt",
        metavar="PHRASE",
    )
    harmful: tuple[str, ...] | None = setting(
        None,
        "Phrase that may harm people or that the law forbids, @FILE reads one a line.",
        none="the lists that come with rlopt",
        metavar="PHRASE",
    )
    promises: tuple[str, ...] | None = setting(
        None,
        "Promise of the shop that a field or the facts must bear out ({n}: any number), @FILE reads one a line.",
        none="the lists that come with rlopt",
        metavar="PHRASE",
    )
    facts: str | None = setting(
        None, "YAML of what holds for the shop's items (docs/promises.md).", min_length=1, metavar="FILE"
    )
    formatting: bool = setting(True, "Shouting and strings of symbols are violations.")
    support: tuple[Kind, ...] | None = setting(
        None,
        "Claims that the item's fields must state; an empty list: no kind.",
        none="promises, and each other kind that at least four fifths of the logged titles keep to",
    )
    belonging: bool = setting(
        True,
        "A title below the floor of relevance to its item, or of fluency, costs reward in PPO, and generate takes it "
        "only where no other is found (from 200 train items on).",
    )

    def files(self) -> list[str]:
        """The word lists that the rules name."""
        phrases = (*self.banned, *(self.superlatives or ()), *(self.harmful or ()), *(self.promises or ()))
        return [phrase[1:] for phrase in phrases if is_file(phrase)] + ([self.facts] if self.facts else [])


class GenerateConfig(RulesConfig, Decoding):
    """``generate``: titles for a catalogue, under the rules of ``constraints``."""

    section: ClassVar[str] = "generate"

    policy: str = setting(DEFAULT.name, WHICH_POLICY, metavar="NAME", min_length=1)
    n: int = setting(1, "Titles for each item; from 2 on all are new, without the current title.", ge=1, le=1000)
    best_of: int = setting(1, "Titles to write for each item; the best by reward are kept.", ge=1, le=1000)
    diverse: bool = setting(
        False,
        "Of several titles an item, take those with the highest joint value, not near-copies of the best one; writes "
        "four times as many to choose from, unless --best-of sets the number.",
        flag="--diverse",
    )
    engine: Literal["transformers", "vllm"] = setting("transformers", "Library that generates (vllm: if installed).")
    shard_items: int = setting(1000, "Items in a shard, the most that an interruption loses.", ge=1)
    risk_aversion: float = setting(1.0, "Standard deviations subtracted from the title's effect.", ge=0)
    confidence: float = setting(
        0.8, "Probability of being better from which a new title replaces the current one.", ge=0.5, lt=1
    )
    keep_current: bool = setting(
        True,
        "Keep a current title that no new one beats (with one title an item).",
        flag="--keep-current/--replace-all",
    )
    ensemble: tuple[str, ...] = setting((), "Folder of another policy of the ensemble.", metavar="FOLDER")
    ensemble_by: Literal["tokens", "titles"] = setting(
        "tokens", "Average next-token probabilities, or rank the policy's titles by all members' log-probabilities."
    )

    @property
    def written(self) -> int:
        """Titles that are written an item."""
        choice = 4 * self.n if self.diverse and self.n > 1 and "best_of" not in self.model_fields_set else self.best_of
        return max(self.n, choice)


class SimulateConfig(StageConfig):
    """``simulate``: logs of a shop that does not exist, with known truth."""

    section: ClassVar[str] = "simulate"

    items: int = setting(2000, "Items in the shop.", ge=1)
    impressions: int = setting(1_000_000, "Impressions in the logs.", ge=1)
    locale: Literal["en", "zh"] = setting("en", "Language of the shop.")
    rows: Literal["impressions", "arms"] = setting("impressions", "One row for each impression, or for each arm.")
