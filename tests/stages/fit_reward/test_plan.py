"""``fit-reward --plan``: logs of a plan of ``explore`` go back into the run, as logged with its propensities."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rlopt.config import ExploreConfig
from rlopt.run import Run
from rlopt.stages.common.log_report import read_report
from rlopt.stages.explore import explore
from rlopt.stages.fit_reward.update_base import Base
from tests.conftest import quick_preset


def test_logs_of_a_plan_are_logged_ones(
    fitted_run: Path, simulated_logs: Path, tmp_path: Path, rlopt: Callable[..., Any]
) -> None:
    plan_file, logs, rng = tmp_path / "plan.parquet", tmp_path / "logs.parquet", np.random.default_rng(0)
    explore(Run.open(fitted_run), simulated_logs, plan_file, ExploreConfig(loss=1.0, floor=0.05))
    plan = pq.read_table(plan_file)
    shown = rng.poisson(20_000 * plan["probability"].to_numpy())
    clicks = rng.binomial(shown, 0.05)
    pq.write_table(plan.select(["item_id", "title"]).append_column("impressions", pa.array(shown))
                   .append_column("clicks", pa.array(clicks)), logs)  # fmt: skip
    told = rlopt("check-logs", logs, "--plan", plan_file, "--json").json
    assert told["assignment"] == "logged"
    assert told["propensity_share"] == 1
    assert told["sample_ratio"]["mismatched"] <= 0.02 * told["sample_ratio"]["tested"]
    assert rlopt("check-logs", logs, "--json").json["assignment"] == "unknown"
    assert "there is no file" in rlopt("check-logs", logs, "--plan", tmp_path / "none.parquet").err
    fit = ["fit-reward", logs, "--plan", plan_file, "--run", tmp_path / "run", "--config", quick_preset(tmp_path)]
    assert rlopt(*fit).code == 0
    run = Run.open(tmp_path / "run")
    chances = {(row["item_id"], row["title"]): row["probability"] for row in plan.to_pylist()}
    arms = run.arms()
    assert arms.propensity.tolist() == [chances[key] for key in zip(arms.item_ids, arms.title, strict=True)]
    assert read_report(run / "data").assignment == "logged"
    assert "nothing to do" in rlopt(*fit).err
    assert Base.of(run).config.plan == ()  # an update's logs are of other plans
    pq.write_table(plan.slice(0, 0), plan_file)
    assert "no rows" in rlopt(*fit).err  # read again, since the plan is another
