"""Policies that a command may work with: one of the run's, or any policy folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlopt import processes, threads
from rlopt.algorithms import DEFAULT, POLICIES, SFT
from rlopt.errors import PolicyError
from rlopt.run import Run

if TYPE_CHECKING:
    from rlopt.policy.title_policy import TitlePolicy


def policy_folder(run: Run, policy: str, *, or_else: str = "") -> Path:
    """Folder of the run's policy of that name, or ``policy`` itself.

    Parameters
    ----------
    or_else
        Other sources that the command takes, for the message.

    Raises
    ------
    StageOrderError
        If the run has no such policy yet.
    PolicyError
        If it is neither a name nor a folder.
    """
    if policy in POLICIES:
        run.require(policy)
        return run / policy
    if not Path(policy).is_dir():
        raise PolicyError(
            f"--policy must be one of {', '.join(POLICIES)} of the run, or a policy folder{or_else}. "
            f"Got {policy!r:.200}."
        )
    return Path(policy)


def writing_policy(run: Run, policy: str) -> str:
    """``policy``; in a run without a reward the one by default is SFT's: what else a run has needs a reward."""
    return SFT if policy == DEFAULT.name and not run.rewarded else policy


def load_policy(folder: str | Path) -> "TitlePolicy":
    """The policy of a folder, on this process's GPU where there is one, and torch set to compute with it.

    Raises
    ------
    PolicyError
        If the folder is missing, incomplete or damaged.
    """
    from rlopt.policy.pretrained import quiet_loading  # takes seconds to load: only where a policy is
    from rlopt.policy.title_policy import TitlePolicy

    quiet_loading()
    policy = TitlePolicy.load(folder, processes.device())
    compute_with(policy.model)
    return policy


def compute_with(model: Any) -> None:
    """Let torch use as many threads as suit a model of this size (`rlopt.threads`)."""
    import torch

    torch.set_num_threads(threads.for_model(model.num_parameters()))
