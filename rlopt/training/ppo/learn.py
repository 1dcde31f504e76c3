"""One run of PPO, or of a rival: settings in, improved policy out. What trl's trainers need is put together here."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback

from reward.arrays import BoolArray
from reward.items import Item
from rlopt.algorithms import ALGORITHMS
from rlopt.errors import PolicyError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.adapters import AllocateRanks
from rlopt.training.arguments import shared_arguments
from rlopt.training.callbacks import quiet
from rlopt.training.checkpoints import MarkComplete, train
from rlopt.training.early_stopping import EarlyStopping
from rlopt.training.example_order import training_order
from rlopt.training.rewards import MONITOR, TitleRewards

from .replay import replay_order
from .settings import Held, PpoSettings


def improve(
    policy: TitlePolicy,
    reference_folder: Path,
    items: Sequence[Item],
    rewards: TitleRewards,
    settings: PpoSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
    stopping: EarlyStopping | None = None,
    held: Held | None = None,
    replayed: BoolArray | None = None,
) -> TitlePolicy:
    """``policy`` after learning from ``rewards`` on ``items``.

    Parameters
    ----------
    policy
        The SFT policy; it is trained in place.
    reference_folder
        Folder of the SFT policy: trl loads the frozen reference from there.
    items
        Items to write titles for; the ``item_index`` that reward functions get points into it.
    checkpoints
        An interrupted run goes on from the newest whole checkpoint here, and ends with the same weights as an
        uninterrupted one.
    stopping
        Ends the training past the monitor's peak; the policy returned is then that of the peak.
    held
        References of a training that continues; ``policy`` is then a copy of ``held.last``.
    replayed
        Mask of the items that every rollout holds a share of (`PpoConfig.replay`), shape (n_items,); None: no replay.

    Raises
    ------
    PolicyError
        If a step cannot be shared out as the settings ask, something asked for is not installed, or the training
        breaks down.
    """
    if settings.config.vllm != "off" and policy.slot_mask is not None:
        raise PolicyError(
            f"--vllm {settings.config.vllm} is for pretrained models (--model): the tiny policy writes slots under a "
            "mask that vLLM does not know. Leave --vllm out."
        )
    policy.model.config._name_or_path = str(reference_folder)
    functions = rewards.functions()
    made = ALGORITHMS[settings.config.algorithm].load_trainer()
    trainer = made(
        settings,
        rewards.so_far,
        **({"held": held} if held is not None else {}),
        model=policy.model,
        reward_funcs=functions,
        args=made.arguments(
            settings,
            _arguments(settings, policy, checkpoints, [float(f.__name__ != MONITOR) for f in functions]),
        ),
        train_dataset=_prompts(policy, items, settings, replayed),
        processing_class=policy.tokenizer,
        callbacks=[*callbacks, *([stopping] if stopping else []), AllocateRanks(), MarkComplete()],
        peft_config=settings.adapters,  # trl wraps the model, and takes it without its adapters as the reference
    )
    trainer.slot_mask = policy.slot_mask
    prompts = [policy.renderer.prompt(item) for item in items]
    trainer.prompt_ids = dict(zip(prompts, policy.prompt_ids(items), strict=True))
    quiet(trainer)
    return TitlePolicy(
        train(trainer, checkpoints, stopping), policy.tokenizer, policy.renderer, policy.max_title_tokens
    )


def _prompts(policy: TitlePolicy, items: Sequence[Item], settings: PpoSettings, replayed: BoolArray | None) -> Dataset:
    """Prompts in the order they are used; ``item_index`` says whose they are."""
    rows = Dataset.from_dict(
        {"prompt": [policy.renderer.prompt(item) for item in items], "item_index": list(range(len(items)))}
    )
    rollouts = -(-settings.steps // settings.updates_a_rollout)
    prompts_a_rollout = settings.titles_a_rollout // settings.generations
    if replayed is None:
        return rows.select(training_order(len(items), rollouts, prompts_a_rollout, settings.seed))
    return rows.select(replay_order(replayed, rollouts, prompts_a_rollout, settings.config.replay, settings.seed))


def _arguments(settings: PpoSettings, policy: TitlePolicy, checkpoints: Path, weights: list[float]) -> dict[str, Any]:
    """Arguments that trl's trainers share; ``weights`` of the reward functions."""
    _check(settings)
    config = settings.config
    shared = shared_arguments(settings, checkpoints, multiple=settings.updates_a_rollout)
    return {
        **shared,
        "num_generations": settings.generations,
        "num_iterations": config.epochs,
        "steps_per_generation": config.minibatches * shared["gradient_accumulation_steps"],
        "max_completion_length": policy.max_title_tokens,
        "temperature": config.temperature,
        "top_k": 0,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 1.0,
        "epsilon": config.clip,
        "shuffle_dataset": False,
        "disable_dropout": True,
        "reward_weights": weights,
        "use_vllm": config.vllm != "off",
        "vllm_mode": "colocate" if config.vllm == "off" else config.vllm,
    }


def _check(settings: PpoSettings) -> None:
    algorithm, vllm = ALGORITHMS[settings.config.algorithm], settings.config.vllm
    if settings.batch_size % settings.generations:
        raise PolicyError(
            f"A batch of {settings.batch_size} titles cannot hold whole groups of {settings.generations} titles an "
            "item. Set --batch-size to a multiple of --generations."
        )
    if not algorithm.needs_group and settings.generations == 1 and settings.titles_a_rollout % 2:
        raise PolicyError(
            f"A rollout must hold an even number of titles. Got {settings.config.minibatches} batches of "
            f"{settings.batch_size}. Set an even --batch-size."
        )
    if algorithm.needs_group and settings.generations < 2:
        raise PolicyError(
            f"{algorithm.label} compares titles of one item with each other and needs at least 2 of them. "
            f"Got --generations {settings.generations}."
        )
    if vllm != "off" and importlib.util.find_spec("vllm") is None:
        raise PolicyError(
            f"--vllm {vllm} needs the package vllm, which is not installed: pip install vllm (on a machine "
            "with a GPU), or leave --vllm out."
        )
