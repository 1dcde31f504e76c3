"""PPO on the toy shop in as many processes as `accelerate launch` starts; weights and metrics are left for the test."""

import json
import sys
from pathlib import Path

import torch
from toy import ITEMS, ppo_settings, toy_rewards
from transformers import TrainerCallback

from rlopt import processes
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.ppo.learn import improve


class Keep(TrainerCallback):
    """The logged numbers."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def on_log(self, args, state, control, logs=None, **_):
        self.rows.append(logs)


RUNS = {
    "ppo": {"micro_batch_size": 4, "critic": "own", "epochs": 2, "entropy_coef": 0.01},
    "rloo": {"algorithm": "rloo", "generations": 4},
}


def main(sft_folder: Path, out: Path) -> None:
    torch.set_num_threads(1)
    for name, changes in RUNS.items():
        policy, keep = TitlePolicy.load(sft_folder), Keep()
        folder = out / f"{name}-{processes.count()}"
        settings = ppo_settings(4, **changes)
        trained = improve(policy, sft_folder, ITEMS, toy_rewards(policy), settings, folder / "checkpoints", [keep])
        if processes.is_first():
            trained.save(folder)
            (folder / "metrics.json").write_text(json.dumps(keep.rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
