"""PPO's functions against one update of trl 1.12's PPOTrainer, recorded by record_trl_ppo.py.

The formulas are the same; where trl's habits differ they are arguments here:

- trl pays the score one place *after* the last token, where its critic has a value too; a title is thus one state
  longer for rewards, advantages and the value loss (``padding_mask_p1``) than for the policy loss (``padding_mask``).
  rlopt pays it with the end-of-sentence token, after which nothing is left to be earned.
- trl takes a sampled padding token for the end; rlopt's tokenizers never let one be sampled unseen.
- Both use the log-ratio of the sampled token (k1) in the rewards and whiten advantages to mean 0, variance 1.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rlopt.training.ppo.advantages import gae, token_rewards
from rlopt.training.ppo.losses import clipped_policy_loss, clipped_value_loss
from rlopt.training.ppo.masked import masked_mean, whiten

RECORDED = json.loads((Path(__file__).parent / "data" / "trl_1_12_ppo.json").read_text(encoding="utf-8"))
SETTINGS = RECORDED["settings"]
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def rollout() -> dict[str, torch.Tensor]:
    made = {name: tensor(values) for name, values in RECORDED["rollout"].items()}
    made["mask"], made["longer_mask"] = 1 - made.pop("padding_mask"), 1 - made.pop("padding_mask_p1")
    return made


def test_the_recorded_titles_end_at_different_places(rollout: dict[str, torch.Tensor]) -> None:
    assert len(set(rollout["mask"].sum(-1).tolist())) >= 4
    assert (rollout["longer_mask"].sum(-1) - rollout["mask"].sum(-1)).max() == 1


def test_rewards_of_tokens(rollout: dict[str, torch.Tensor]) -> None:
    log_ratio = rollout["logprobs"] - rollout["ref_logprobs"]
    rewards = token_rewards(rollout["scores"], log_ratio, rollout["longer_mask"], SETTINGS["kl_coef"])
    torch.testing.assert_close(rewards, rollout["rewards"], **TOLERANCE)


def test_advantages_and_returns(rollout: dict[str, torch.Tensor]) -> None:
    advantages, returns = gae(
        rollout["rewards"], rollout["values"], rollout["longer_mask"], SETTINGS["gamma"], SETTINGS["lam"]
    )
    white = whiten(advantages, rollout["mask"])
    torch.testing.assert_close(white, rollout["advantages"], **TOLERANCE)
    torch.testing.assert_close(returns, rollout["returns"], **TOLERANCE)


@pytest.mark.parametrize("update", range(len(RECORDED["updates"])))
def test_losses(rollout: dict[str, torch.Tensor], update: int) -> None:
    seen = RECORDED["updates"][update]
    rows = torch.tensor(seen["rows"])
    policy, _ = clipped_policy_loss(
        tensor(seen["new_logprobs"]), rollout["logprobs"][rows], rollout["advantages"][rows], SETTINGS["cliprange"]
    )
    assert float(masked_mean(policy, rollout["mask"][rows])) == pytest.approx(seen["pg_loss"], abs=1e-5)
    value = clipped_value_loss(
        tensor(seen["vpred"]), rollout["values"][rows], rollout["returns"][rows], SETTINGS["cliprange_value"]
    )
    assert float(masked_mean(value, rollout["longer_mask"][rows])) == pytest.approx(seen["vf_loss"], abs=1e-5)


def test_both_clips_were_at_work(rollout: dict[str, torch.Tensor]) -> None:
    last = RECORDED["updates"][-1]
    rows = torch.tensor(last["rows"])
    ratio = torch.exp(tensor(last["new_logprobs"]) - rollout["logprobs"][rows])[rollout["mask"][rows] == 1]
    moved = (tensor(last["vpred"]) - rollout["values"][rows]).abs()[rollout["longer_mask"][rows] == 1]
    assert ((ratio - 1).abs() > SETTINGS["cliprange"]).any()
    assert (moved > SETTINGS["cliprange_value"]).any()
