"""Which policy a command works with: one of the run's, or any policy folder."""

from pathlib import Path

from rlopt.errors import PolicyError
from rlopt.run import Run

STAGES = ("ppo", "sft", "grpo", "rloo")


def policy_folder(run: Run, policy: str) -> Path:
    """Folder of the run's policy of that name, or ``policy`` itself.

    Raises
    ------
    StageOrderError
        When the run has no such policy yet.
    PolicyError
        When it is neither a name nor a folder.
    """
    if policy in STAGES:
        run.require(policy)
        return run / policy
    if not Path(policy).is_dir():
        raise PolicyError(f"--policy must be one of {', '.join(STAGES)} or a policy folder. Got {policy!r}.")
    return Path(policy)
