"""A problem whose answer is known: the KL-regularised optimum of a bandit is pi_ref * exp(score / beta)."""

from pathlib import Path

import numpy as np
import torch
from toy import ppo_settings, saved
from transformers import TrainerCallback

from reward.items import Item
from rlopt.policy.prompt import TextRenderer
from rlopt.policy.scoring import completion_log_softmax
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.ppo.learn import improve
from rlopt.training.rewards import TitleRewards

ITEMS = [Item(str(i), {}) for i in range(64)]
BETA = 0.5


class Bandit(TitleRewards):
    """Pays a fixed amount for each token of the vocabulary; a title is one token."""

    def __init__(self, pay: np.ndarray) -> None:
        object.__setattr__(self, "pay", pay)

    def functions(self) -> list:
        def pay(completion_ids: list[list[int]], **_: object) -> list[float]:
            return [float(self.pay[ids[0]]) for ids in completion_ids]  # type: ignore[attr-defined]

        return [pay]

    def so_far(self, item_index, completions):
        return np.zeros(len(completions))


def distribution(policy: TitlePolicy) -> np.ndarray:
    """Chance of each token after the prompt."""
    ids = torch.tensor([[*policy.prompt_ids(ITEMS[:1])[0], 0]])
    with torch.no_grad():
        return completion_log_softmax(policy.model, ids, torch.ones_like(ids), 1)[0, 0].exp().double().numpy()


class Average(TrainerCallback):
    """Mean of the policy over the last half of the run: what is left then is the noise of single updates."""

    def __init__(self, policy: TitlePolicy, start: int) -> None:
        self.policy, self.start = policy, start
        self.seen: list[np.ndarray] = []

    def on_step_end(self, args, state, control, **_):
        if state.global_step > self.start:
            self.seen.append(distribution(self.policy))


def test_ppo_converges_to_the_kl_regularised_optimum(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    tokenizer = build_tokenizer(["ab cd ef"] * 3, Slots({}, {}), vocab_size=12)
    model = build_model(tokenizer, 0, hidden_size=16, layers=1, heads=1)
    policy = TitlePolicy(model, tokenizer, TextRenderer("a"), max_title_tokens=1)
    folder = saved(policy, tmp_path / "sft")
    pay = np.random.default_rng(0).normal(size=len(tokenizer))
    reference = distribution(policy)
    optimum = reference * np.exp(pay / BETA)
    optimum /= optimum.sum()
    assert 0.5 * np.abs(optimum - reference).sum() > 0.3  # there is something to learn
    average = Average(policy, 150)
    # whitening would rescale the advantages and with them the weight of reward against KL in the step size only
    settings = ppo_settings(
        250,
        batch_size=64,
        micro_batch_size=64,
        kl_coef=BETA,
        learning_rate=5e-3,
        save_every=1000,
        critic_epochs=1,
        whiten=False,
    )
    improve(policy, folder, ITEMS, Bandit(pay), settings, tmp_path / "checkpoints", [average])
    total_variation = 0.5 * np.abs(np.mean(average.seen, axis=0) - optimum).sum()
    assert total_variation < 0.05
