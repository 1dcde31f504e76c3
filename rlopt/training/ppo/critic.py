"""The critic: the expected score of the title that a prompt and its first tokens will become.

It reads two things: the hidden states of a trunk (a frozen reference policy, or a copy that learns), and what the
reward function says of the title *as written so far*. The second does most of the work: the value of a half-written
title is close to the score of its words, and a critic that has to learn that from 64 titles an update explains
almost nothing for hundreds of updates. Any function of the state is a valid baseline, so this changes the variance
of the advantages and not their mean (Ng, Harada and Russell 1999, "Policy invariance under reward transformations",
use the same quantity as a shaping potential). The critic is never part of the policy and has its own optimiser.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlopt.policy.scoring import positions

from .losses import clipped_value_loss

CRITIC_FILE = "critic.safetensors"
N_SIGNALS = 2
MIX_WIDTH = 64
CRITIC_OPTIMIZER_FILE = "critic_optimizer.safetensors"


class Critic(nn.Module):
    """Value of every state of a title.

    Parameters
    ----------
    hidden_size
        Width of the hidden states that it reads.
    trunk
        A transformer without a language-model head, which is then this critic's own and learns. None: the states are
        the frozen reference's, and only the head learns.
    """

    def __init__(self, hidden_size: int, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.norm = nn.LayerNorm(hidden_size)
        self.mix = nn.Linear(hidden_size + N_SIGNALS, MIX_WIDTH)
        self.out = nn.Linear(MIX_WIDTH, 1)
        self.direct = nn.Linear(N_SIGNALS, 1)
        for layer in (self.out, self.direct):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def states(self, input_ids: Tensor, attention_mask: Tensor, completion_width: int) -> Tensor:
        """States of its own trunk before each completion token, (B, T, H); ids and mask (B, P + T)."""
        if self.trunk is None:
            raise ValueError("This critic has no trunk of its own: its states are what the reference reads.")
        read = self.trunk(
            input_ids=input_ids,
            attention_mask=attention_mask,
            use_cache=False,
            **positions(self.trunk, attention_mask),
        )
        states: Tensor = read.last_hidden_state[:, -completion_width - 1 : -1].float()
        return states

    def forward(self, states: Tensor, so_far: Tensor) -> Tensor:
        """Value of each state, (B, T), from its hidden state (B, T, H) and the score so far (B, T)."""
        return self._values(states, so_far, _places(so_far))

    def _values(self, states: Tensor, so_far: Tensor, places: Tensor) -> Tensor:
        """Values of any number of states, (...), of shape (..., H), which stand at ``places`` (...) of their titles."""
        signals = torch.stack([so_far, so_far * places / 10.0], dim=-1)
        mixed = torch.tanh(self.mix(torch.cat([self.norm(states), signals], dim=-1)))
        values: Tensor = (self.out(mixed) + self.direct(signals)).squeeze(-1)
        return values

    def learn(
        self, optimizer: torch.optim.Optimizer, rollout: "Rollout", passes: "Passes", share: "Share | None" = None
    ) -> float:
        """Regress on the returns of one rollout; the mean loss of the last pass is returned.

        Every process is given the whole rollout, works through its ``share`` of each portion and takes the step of
        all shares together. A portion without a finite loss is left out.
        """
        share = share or Share()
        loss_of_pass = 0.0
        for _ in range(passes.epochs):
            total = 0.0
            for start in range(0, len(rollout.mask), passes.minibatch):
                portion = torch.arange(start, min(start + passes.minibatch, len(rollout.mask)))
                loss = self._loss(rollout, portion[share.rank :: share.count], passes.clip_range)
                loss = loss / rollout.mask[portion].sum().clamp(min=1)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                loss = self._sum_gradients(loss.detach(), share)
                if not torch.isfinite(loss):
                    continue
                nn.utils.clip_grad_norm_(self.parameters(), passes.max_grad_norm)
                optimizer.step()
                total += float(loss) * len(portion)
            loss_of_pass = total / len(rollout.mask)
        return loss_of_pass

    def _loss(self, rollout: "Rollout", rows: Tensor, clip_range: float | None) -> Tensor:
        """Sum of the losses of these rows' tokens; no rows give a zero that has gradients."""
        states = rollout.states[rows]  # a frozen trunk's states do not change
        if self.trunk is not None and len(rows):
            states = self.states(rollout.input_ids[rows], rollout.attention_mask[rows], rollout.width)
        real = rollout.mask[rows].bool()  # most of a batch is padding

        def of(tensor: Tensor) -> Tensor:
            return tensor[rows][real]

        values = self._values(states[real], of(rollout.so_far), _places(rollout.so_far)[rows][real])
        return clipped_value_loss(values, of(rollout.values), of(rollout.returns), clip_range).sum()

    def _sum_gradients(self, loss: Tensor, share: "Share") -> Tensor:
        """Add the gradients and losses of all processes; the loss is returned."""
        if share.count == 1:
            return loss
        learning = [p for p in self.parameters() if p.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
        summed = share.add_up(torch.cat([loss.view(1), *(part.flatten() for part in parts)]))
        for parameter, part in zip(learning, summed[1:].split([p.numel() for p in learning]), strict=True):
            parameter.grad = part.view_as(parameter)
        return summed[0]


def _places(tensor: Tensor) -> Tensor:
    """Place of each token in its title from 0 on, of the shape (B, T) of ``tensor``."""
    return torch.arange(tensor.shape[1], device=tensor.device).expand_as(tensor)


@dataclass(frozen=True)
class Rollout:
    """Titles with the critic's values and their rewards.

    ``input_ids`` and ``attention_mask`` are (B, P + T), ``states`` (B, T, H); ``so_far`` (score of the title before
    each token), ``values`` (before learning), ``returns`` and ``mask`` are (B, T).
    """

    input_ids: Tensor
    attention_mask: Tensor
    states: Tensor
    so_far: Tensor
    values: Tensor
    returns: Tensor
    mask: Tensor

    @property
    def width(self) -> int:
        """T, the tokens of the longest title."""
        return int(self.returns.shape[1])


@dataclass(frozen=True)
class Passes:
    """Passes of the critic over a rollout, and their minibatches; ``clip_range`` None leaves values unclipped."""

    epochs: int
    minibatch: int
    clip_range: float | None = None
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class Share:
    """Share of this process in the rows of each portion: ``rank``, ``rank + count`` and so on.

    ``add_up`` sums a tensor over all processes.
    """

    rank: int = 0
    count: int = 1
    add_up: Callable[[Tensor], Tensor] = lambda tensor: tensor


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
