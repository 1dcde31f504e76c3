"""Every estimator against Open Bandit Pipeline's values on the same rounds."""

import json
from pathlib import Path

import numpy as np
import pytest

from rlopt.ope.estimators import ESTIMATORS, LoggedRounds

# name in the reference file -> key and parameters here
NAMES = {
    "ips": ("ips", {}),
    "ips_clip10": ("ips_clip", {"max_weight": 10.0}),
    "snips": ("snips", {}),
    "dm": ("dm", {}),
    "dr": ("dr", {}),
    "dr_clip10": ("dr_clip", {"max_weight": 10.0}),
    "sndr": ("sndr", {}),
    "switch_dr_5": ("switch_dr", {"tau": 5.0}),
    "dros_5": ("dros", {"lambda_": 5.0}),
    "sg_ips_0.1": ("sg_ips", {"lambda_": 0.1}),
    "sg_dr_0.1": ("sg_dr", {"lambda_": 0.1}),
}


@pytest.mark.parametrize("case", ["obp_binary_10", "obp_continuous_60"])
@pytest.mark.parametrize("name", NAMES)
def test_equals_open_bandit_pipeline(shared_data: Path, case: str, name: str) -> None:
    expected = json.loads((shared_data / "ope_reference" / f"{case}.json").read_text())
    with np.load(shared_data / "ope_reference" / f"{case}.npz") as data:
        row, action = np.arange(len(data["action"])), data["action"]
        rounds = LoggedRounds(
            reward=data["reward"],
            weight=data["evaluation_dist"][row, action] / data["pscore"],
            q_logged=data["q_hat"][row, action],
            q_policy=(data["evaluation_dist"] * data["q_hat"]).sum(axis=1),
        )
    key, parameters = NAMES[name]
    estimate = ESTIMATORS[key](**parameters).estimate(rounds)
    assert estimate.value == pytest.approx(expected["estimates"][name], abs=1e-9)
    assert estimate.low < estimate.value < estimate.high
    if key in ("ips", "snips", "dr", "sndr"):
        assert estimate.ess == pytest.approx(expected["ess"], rel=1e-9)
        assert estimate.max_weight == pytest.approx(expected["max_weight"], rel=1e-9)
