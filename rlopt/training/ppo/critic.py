"""The critic: the expected score of the title that a prompt and its first tokens will become.

It is a model of its own, never part of the policy: its trunk is a copy of the SFT policy's, or stays frozen, and its
optimiser is separate, so that a large value error cannot pull the policy about. It may take several passes over each
rollout, because a value fitted once to 64 titles lags behind (Cobbe et al. 2021, "Phasic Policy Gradient").
"""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from .losses import clipped_value_loss

CRITIC_FILE = "critic.safetensors"
CRITIC_OPTIMIZER_FILE = "critic_optimizer.safetensors"


class Critic(nn.Module):
    """Value of every state of a title.

    Parameters
    ----------
    policy
        The SFT policy whose trunk is copied (or shared, when frozen). A PEFT model's adapters are left out.
    train_trunk
        True copies the trunk and trains it; False reads a frozen trunk and trains the head alone.
    """

    def __init__(self, policy: PreTrainedModel, train_trunk: bool) -> None:
        super().__init__()
        base = policy.base_model
        self.train_trunk = train_trunk
        # A frozen trunk is shared with the reference, hence kept out of this module's parameters and checkpoints.
        self._trunk: list[nn.Module] = [] if train_trunk else [base]
        if train_trunk:
            self.trunk = copy.deepcopy(base)
        hidden = policy.config.get_text_config().hidden_size
        self.head = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, completion_width: int) -> Tensor:
        """Value before each completion token, shape (B, T); ids and mask (B, P + T) as the policy sees them."""
        trunk = self.trunk if self.train_trunk else self._trunk[0]
        with contextlib.nullcontext() if self.train_trunk else torch.no_grad():
            hidden = trunk(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        states = hidden[:, -completion_width - 1 : -1].float()
        values: Tensor = self.head(states).squeeze(-1)
        return values

    def learn(
        self,
        optimizer: torch.optim.Optimizer,
        batch: dict[str, Tensor],
        *,
        epochs: int,
        minibatch: int,
        clip_range: float | None,
        max_grad_norm: float = 1.0,
    ) -> float:
        """Regress on the returns of one rollout; the last pass's mean loss is returned.

        ``batch`` holds input_ids, attention_mask (B, P + T) and values, returns, mask (B, T).
        """
        width = batch["returns"].shape[1]
        loss_of_pass = 0.0
        for _ in range(epochs):
            total = 0.0
            for part in _parts(batch, minibatch):
                values = self(part["input_ids"], part["attention_mask"], width)
                losses = clipped_value_loss(values, part["values"], part["returns"], clip_range)
                loss = (losses * part["mask"]).sum() / part["mask"].sum().clamp(min=1)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters(), max_grad_norm)
                optimizer.step()
                total += float(loss.detach()) * len(part["mask"])
            loss_of_pass = total / len(batch["mask"])
        return loss_of_pass


def _parts(batch: dict[str, Tensor], size: int) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(batch["mask"]), size):
        yield {name: tensor[start : start + size] for name, tensor in batch.items()}


def save_critic(critic: Critic, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write the critic and the moments of its optimiser as safetensors."""
    save_file({name: t.detach().contiguous().clone() for name, t in critic.state_dict().items()}, folder / CRITIC_FILE)
    moments = {
        f"{index}.{key}": torch.as_tensor(value).detach().clone()
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }
    save_file(moments, folder / CRITIC_OPTIMIZER_FILE)


def load_critic(critic: Critic, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Inverse of `save_critic`, in place."""
    critic.load_state_dict(load_file(folder / CRITIC_FILE))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in load_file(folder / CRITIC_OPTIMIZER_FILE).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
