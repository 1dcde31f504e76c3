"""A supervised toy policy, trained once for all tests here."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # toy.py lies beside the tests

from toy import PAIRS, fresh_policy, saved

from rlopt.policy.pretrained import quiet_loading
from rlopt.training.arguments import train_settings
from rlopt.training.sft import fine_tune


@pytest.fixture(scope="session")
def sft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a policy that writes the toy shop's titles."""
    torch.set_num_threads(1)
    quiet_loading()
    base = tmp_path_factory.mktemp("toy")
    policy = fresh_policy()
    settings = train_settings(policy.model, steps=150, batch_size=32, learning_rate=1e-2, save_every=1000, seed=0)
    return saved(fine_tune(policy, PAIRS, settings, base / "checkpoints"), base / "sft")
