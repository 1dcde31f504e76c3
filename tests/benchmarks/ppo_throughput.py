"""Updates a second of this PPO, of trl's GRPOTrainer, and of trl 1.12's PPOTrainer, side by side.

    python tests/benchmarks/ppo_throughput.py
    python tests/benchmarks/ppo_throughput.py --trl112 /tmp/trl112/bin/python      # trl removed its PPOTrainer later
    python tests/benchmarks/ppo_throughput.py --titles shop --length 24

All sides train the same tiny model on the same prompts with the same batch and the same reward, a function of the
text. With ``--titles equal`` the model is untrained and hardly ever ends a title, so that all titles and prompts have
one length; with ``--titles shop`` it has learned the titles of a simulated shop, and prompts and titles are as long as
they are there. The sides take turns, so that a busy machine slows all of them; only the ratios mean anything. This
PPO's figure includes its critic's eight passes and its score of every unfinished title; trl's PPOTrainer has a value
model as large as the policy and always writes --length tokens, and GRPOTrainer writes eight titles a prompt. A token
is counted where it belongs to a title.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

WORDS = [f"w{i}" for i in range(600)]
PROMPT_LENGTH = 20
SHOP_ITEMS, SHOP_STEPS = 1000, 250
WARM = 3  # updates before the clock starts


def reward(text: str) -> float:
    """Different words, a made-up reward that costs next to nothing."""
    return len(set(text.split())) / 10.0


class Clock:
    """Seconds spent in named methods, and the end of every update."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.lengths: list[int] = []
        self.spent: dict[str, float] = defaultdict(float)

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """Count the time in ``owner.method`` under ``name``."""
        inner: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                if len(self.ends) >= WARM:
                    self.spent[name] += time.perf_counter() - began

        setattr(owner, method, timed)

    def callback(self) -> Any:
        """Notes the end of each update."""
        from transformers import TrainerCallback

        ends = self.ends

        class Ends(TrainerCallback):
            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                ends.append(time.perf_counter())

        return Ends()

    def result(self, titles: int) -> dict[str, Any]:
        """Figures of one side; ``titles`` an update."""
        updates = len(self.ends) - WARM
        seconds = (self.ends[-1] - self.ends[WARM - 1]) / updates
        tokens = sum(self.lengths) / len(self.lengths) if self.lengths else 0.0
        return {
            "seconds": seconds,
            "tokens": titles * tokens / seconds,
            "profile": {name: spent / updates / seconds for name, spent in self.spent.items()},
        }


def make_model(folder: Path, titles: str, n_prompts: int) -> None:
    """The tiny default model with its prompts: untrained over made-up words, or trained on a shop's titles."""
    from rlopt.policy.slots import Slots
    from rlopt.policy.tiny import build_model, build_tokenizer

    if titles == "equal":
        tokenizer = build_tokenizer([" ".join(WORDS)] * 3, Slots({}, {}))
        build_model(tokenizer, 0).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        prompts = [
            " ".join(WORDS[(i * 7 + place) % len(WORDS)] for place in range(PROMPT_LENGTH)) for i in range(n_prompts)
        ]
    else:
        prompts = make_shop_policy(folder, n_prompts)
    (folder / "prompts.json").write_text(json.dumps(prompts))


def make_shop_policy(folder: Path, n_prompts: int) -> list[str]:
    """A supervised policy for a simulated shop; the prompts of its items."""
    from envs.market import Market
    from rlopt.policy.prompt import SlotRenderer
    from rlopt.policy.slots import Slots
    from rlopt.policy.tiny import build_model, build_tokenizer
    from rlopt.policy.title_policy import TitlePolicy
    from rlopt.training.arguments import train_settings
    from rlopt.training.sft import fine_tune

    market = Market(max(n_prompts, SHOP_ITEMS), "en", seed=0)
    pairs = [(item, title) for item in market.items for title, _ in market.logging_policy(item)]
    renderer = SlotRenderer(Slots.learn(market.items))
    texts = [renderer.target(item, title) for item, title in pairs]
    tokenizer = build_tokenizer(texts, renderer.slots)
    policy = TitlePolicy(build_model(tokenizer, 0), tokenizer, renderer)
    settings = train_settings(
        policy.model, steps=SHOP_STEPS, batch_size=32, learning_rate=2e-3, save_every=SHOP_STEPS + 1, seed=0
    )
    fine_tune(policy, pairs, settings, folder / "checkpoints").save(folder)
    return [renderer.prompt(item) for item in market.items[:n_prompts]]


def loaded(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder, padding_side="left")


def grpo_like(arguments: argparse.Namespace, folder: Path, ours: bool) -> dict[str, Any]:
    """This PPO, or trl's GRPOTrainer as it comes."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    model, tokenizer = loaded(folder)
    model.config._name_or_path = str(folder)
    generations = 1 if ours else 8
    shared: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "max_steps": arguments.updates + WARM,
        "per_device_train_batch_size": arguments.batch,
        "num_generations": generations,
        "max_completion_length": arguments.length,
        "top_k": 0,
        "learning_rate": 1e-5,
        "shuffle_dataset": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": False,
        "gradient_checkpointing": False,
    }
    prompts = json.loads((folder / "prompts.json").read_text())
    rows = Dataset.from_dict({"prompt": prompts, "item_index": list(range(len(prompts)))})
    clock = Clock()

    def score(completions: Sequence[str], completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        clock.lengths += [len(ids) for ids in completion_ids]
        return [reward(text) for text in completions]

    parts = {
        "model": model,
        "reward_funcs": score,
        "train_dataset": rows,
        "processing_class": tokenizer,
        "callbacks": [clock.callback()],
    }
    if ours:
        import numpy as np

        from rlopt.config import PpoConfig
        from rlopt.training.arguments import train_settings
        from rlopt.training.ppo.settings import PpoSettings
        from rlopt.training.ppo.trainer import PPOTrainer

        config = PpoConfig(batch_size=arguments.batch, kl_target=None)
        run = train_settings(
            model, steps=shared["max_steps"], batch_size=arguments.batch, learning_rate=1e-5, save_every=1, seed=0
        )
        settings = PpoSettings(**vars(run), config=config, generations=generations, critic_warmup=0)
        trainer: Any = PPOTrainer(
            settings,
            lambda _, texts: np.array([reward(text) for text in texts]),
            args=PPOTrainer.arguments(settings, shared),
            **parts,
        )
        trainer.prompt_ids = {prompt: tokenizer(prompt)["input_ids"] for prompt in prompts}
        clock.wrap(trainer, "_write", "rollout")
        clock.wrap(trainer, "_learn_critic", "critic")
        clock.wrap(trainer, "_scores_so_far", "reward of unfinished titles")
    else:
        trainer = GRPOTrainer(**parts, args=GRPOConfig(**shared, beta=0.1))
        clock.wrap(trainer, "_generate", "rollout")
    clock.wrap(trainer, "_calculate_rewards", "reward")
    clock.wrap(trainer, "_compute_loss", "update, forward")
    trainer.train()
    return clock.result(arguments.batch)


def trl112(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """trl 1.12's PPOTrainer; its reward model is replaced by the same function of the text."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    (model, tokenizer), (reference, _) = loaded(folder), loaded(folder)
    value = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    clock = Clock()

    class Reward(torch.nn.Module):
        """Marks the call that asks for the reward and not for values."""

    of_models = ppo_trainer.get_reward

    def get_reward(asked: Any, tokens: torch.Tensor, pad: int, context: int) -> Any:
        if not isinstance(asked, Reward):
            return of_models(asked, tokens, pad, context)
        titles = tokens[:, context:]
        clock.lengths += ((titles != pad).sum(1)).tolist()
        texts = tokenizer.batch_decode(titles, skip_special_tokens=True)
        return None, torch.tensor([reward(text) for text in texts]), None

    ppo_trainer.get_reward = get_reward
    ids = [tokenizer(text)["input_ids"] for text in json.loads((folder / "prompts.json").read_text())]
    made = PPOConfig(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=arguments.batch,
        gradient_accumulation_steps=1,
        num_mini_batches=1,
        num_ppo_epochs=1,
        total_episodes=arguments.batch * (arguments.updates + WARM),
        response_length=arguments.length,
        local_rollout_forward_batch_size=arguments.batch,
        stop_token="eos",
        learning_rate=1e-5,
        num_sample_generations=0,
        save_strategy="no",
        report_to="none",
        bf16=False,
        gradient_checkpointing=False,
    )
    trainer = PPOTrainer(
        args=made,
        processing_class=tokenizer,
        model=model,
        ref_model=reference,
        reward_model=Reward(),
        value_model=value,
        train_dataset=Dataset.from_dict({"input_ids": ids}),
        eval_dataset=Dataset.from_dict({"input_ids": ids[:4]}),
        callbacks=[clock.callback()],
    )
    clock.wrap(ppo_trainer, "batch_generation", "rollout")
    trainer.train()
    return clock.result(arguments.batch)


def side(name: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One side in a process of its own; trl 1.12's in its own environment."""
    python = arguments.trl112 if name == "trl112" else sys.executable
    sizes = ["--updates", arguments.updates, "--batch", arguments.batch, "--length", arguments.length]
    command = [python, __file__, "--side", name, "--folder", folder, *sizes]
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if not arguments.verbose else None,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Run the sides in turns, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl112", help="python of an environment with trl 1.12")
    parser.add_argument("--updates", type=int, default=20, help="timed updates of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--batch", type=int, default=64, help="titles an update")
    parser.add_argument("--length", type=int, default=20, help="tokens a title, at most")
    parser.add_argument("--titles", choices=["equal", "shop"], default="equal", help="lengths of prompts and titles")
    parser.add_argument("--verbose", action="store_true", help="show what the sides say")
    parser.add_argument("--side", choices=["ours", "grpo", "trl112"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        play = {
            "ours": lambda: grpo_like(arguments, arguments.folder, True),
            "grpo": lambda: grpo_like(arguments, arguments.folder, False),
            "trl112": lambda: trl112(arguments, arguments.folder),
        }
        print(json.dumps(play[arguments.side]()))
        return
    names = ["ours", "grpo", *(["trl112"] if arguments.trl112 else [])]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), arguments.titles, arguments.batch * 4)
        for _ in range(arguments.rounds):
            for name in names:
                found[name].append(side(name, arguments, Path(folder)))
    ours = sorted(run["seconds"] for run in found["ours"])[arguments.rounds // 2]
    for name, runs in found.items():
        middle = sorted(runs, key=lambda run: run["seconds"])[arguments.rounds // 2]
        profile = "  ".join(f"{part} {share:.0%}" for part, share in middle["profile"].items())
        print(
            f"{name:7} {1 / middle['seconds']:6.2f} updates/s  {middle['tokens']:8.0f} tokens/s  "
            f"ours is {middle['seconds'] / ours:.2f} times as fast  {profile}"
        )


if __name__ == "__main__":
    main()
