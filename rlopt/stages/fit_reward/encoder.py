"""The encoder of a run: where it is loaded from, and the copy that the run's models keep."""

import shutil
from pathlib import Path

from reward.encoders.encoder import POLICY, Encoder, open_encoder
from rlopt import threads
from rlopt.config import RewardConfig
from rlopt.progress import note
from rlopt.run import ENCODINGS, Run

_WORTH_TELLING = 2_000  # fewer take seconds


def run_encoder(run: Run, config: RewardConfig) -> Encoder | None:
    """The encoder that the settings ask for, with the run's cache; None where they ask for none.

    Raises
    ------
    ModelError
        If it cannot be loaded.
    """
    if config.encoder is None:
        return None
    note(f"Loading the encoder {config.encoder}")
    import torch  # seconds, and only needed here

    torch.set_num_threads(threads.available())
    return open_encoder(config.encoder, policy=run / "sft", cache=run / ENCODINGS, progress=_tell)


def _tell(done: int, total: int) -> None:
    if total > _WORTH_TELLING:
        note(f"Encoded {done:,} of {total:,} titles")


def reads_with_policy(encoder: str | None) -> bool:
    """True where the run's own language model is among the encoders."""
    return POLICY in (encoder or "").split("+")


def keep_policy(run: Run, folder: Path) -> None:
    """Copy the run's language model into ``folder``: models that read with it keep it when SFT makes another one."""
    shutil.copytree(run / "sft", folder, dirs_exist_ok=True)
