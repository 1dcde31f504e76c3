"""A shop of forty items, a policy that wrote no title yet, and rewards whose best titles are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reward.arrays import FloatArray
from reward.items import Item
from rlopt.config import PpoConfig
from rlopt.policy.constraints import Constraints
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.ppo.settings import PpoSettings
from rlopt.training.rewards import LiftScale, TitleRewards

COLOURS = ("red", "blue", "green", "white")
ITEMS = [
    Item(str(i), {"color": (COLOURS[i % 4],), "type": (("dress", "lamp")[i % 2],), "brand": ("Acme",)})
    for i in range(40)
]
PAIRS = [
    (item, title)
    for item in ITEMS
    for title in (
        f"{item.fields['color'][0]} {item.fields['type'][0]}",
        f"Acme {item.fields['type'][0]} new",
        f"new {item.fields['color'][0]} {item.fields['type'][0]}",
    )
]


@dataclass(frozen=True)
class Predicted:
    """Fields of a reward model's prediction that training reads."""

    reward: FloatArray
    effect_std: FloatArray


def likes_new(items: Sequence[Item], titles: Sequence[str]) -> Predicted:
    """A shop whose customers click twice as often where the title says "new"."""
    reward = np.array([0.02 if "new" in title else 0.01 for title in titles])
    return Predicted(reward, np.zeros(len(titles)))


def fresh_policy(seed: int = 0) -> TitlePolicy:
    """An untrained policy of about 50,000 parameters."""
    renderer = SlotRenderer(Slots.learn(ITEMS))
    texts = [renderer.target(item, title) for item, title in PAIRS]
    tokenizer = build_tokenizer(texts, renderer.slots)
    return TitlePolicy(build_model(tokenizer, seed, hidden_size=32, layers=2, heads=2), tokenizer, renderer, 12)


def toy_rewards(policy: TitlePolicy) -> TitleRewards:
    """`likes_new` on the toy shop, on the scale of its two kinds of titles."""
    scale = LiftScale(np.full(len(ITEMS), 0.015), 1 / 3)
    eos = int(policy.tokenizer.eos_token_id)
    return TitleRewards(ITEMS, policy.renderer, likes_new, scale, Constraints(), 0.0, eos)


def ppo_settings(steps: int, adapters: Any = None, micro_batch_size: int = 16, **changes: Any) -> PpoSettings:
    """Small and quick."""
    values: dict[str, Any] = {
        "batch_size": 16,
        "generations": 1,
        "learning_rate": 3e-3,
        "kl_coef": 0.05,
        "kl_target": None,
        "critic_epochs": 4,
        "critic_warmup": 1,
        "save_every": 2,
    }
    config = PpoConfig(steps=steps, **{**values, **changes})
    return PpoSettings(
        config=config,
        steps=steps,
        batch_size=config.batch_size,
        micro_batch_size=micro_batch_size,
        generations=config.generations or 1,
        learning_rate=config.learning_rate or 0.0,
        critic_warmup=config.critic_warmup,
        save_every=config.save_every,
        seed=config.seed,
        adapters=adapters,
        bf16=False,
        gradient_checkpointing=False,
        report_to=config.report_to,
    )


def saved(policy: TitlePolicy, folder: Path) -> Path:
    """``folder`` with ``policy`` in it."""
    folder.mkdir(parents=True)
    policy.save(folder)
    return folder
