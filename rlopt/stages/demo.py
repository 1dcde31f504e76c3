"""``rlopt demo``: a simulated shop, the whole chain on its logs, and the truth beside the verdict."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reward.plain import JsonObject, plain
from rlopt.config import EvalConfig, PpoConfig, RewardConfig, SftConfig, SimulateConfig
from rlopt.errors import RunError
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.common.truth import market_of, true_faithfulness, truth_of
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft
from rlopt.stages.simulate import simulate

STAGES = ("simulate", "fit-reward", "sft", "ppo", "offline-eval")
SHOP: dict[str, int] = {"items": 5000, "impressions": 4_000_000}
SFT: dict[str, int] = {}
PPO: dict[str, int] = {"steps": 400}
EVAL: dict[str, int] = {}


@dataclass(frozen=True)
class Lift:
    """Lift of the PPO policy over a baseline: estimated with its interval, and by the simulator."""

    estimated: float
    low: float
    high: float
    true: float

    @property
    def covered(self) -> bool:
        """True where the interval holds the truth."""
        return self.low <= self.true <= self.high


@dataclass(frozen=True)
class DemoResult:
    """What the demo showed.

    Parameters
    ----------
    over_sft, over_logged
        Lift on test items, which neither the reward nor PPO has seen.
    faithfulness, sft_faithfulness
        Share of titles with no word that the item does not state, by the simulator.
    broken_promises
        "ppo", "sft" and "logged" -> share of the titles that promise what the shop does not keep, by the simulator.
    kl
        Nats a title, PPO to SFT policy.
    verdict, headline
        Of offline-eval, which knows nothing of the truth.
    seconds
        Stage -> seconds.
    """

    run: str
    over_sft: Lift
    over_logged: Lift
    faithfulness: float
    sft_faithfulness: float
    broken_promises: dict[str, float]
    kl: float
    verdict: str
    headline: str
    seconds: dict[str, float]

    def to_dict(self) -> JsonObject:
        """Plain JSON data; the lift over the SFT policy under plain names."""
        return {
            "estimated_lift": self.over_sft.estimated,
            "low": self.over_sft.low,
            "high": self.over_sft.high,
            "true_lift": self.over_sft.true,
            "true_lift_over_logged": self.over_logged.true,
            "over_logged": plain(self.over_logged),
            "faithfulness": self.faithfulness,
            "sft_faithfulness": self.sft_faithfulness,
            "broken_promises": self.broken_promises,
            "kl": self.kl,
            "verdict": self.verdict,
            "seconds": self.seconds,
            "run": self.run,
        }


def demo(
    run_path: str | Path | None = None,
    *,
    seed: int = 0,
    locale: Literal["en", "zh"] = "en",
    steps: int | None = None,
) -> DemoResult:
    """Simulate a shop, fit the reward, train SFT and PPO, evaluate, and look up the truth.

    Parameters
    ----------
    run_path
        Run directory. By default ``runs/demo-LOCALE-SEED``, which an interrupted demo is continued in; when one is
        finished there, the next free name.
    seed
        Seed of the shop and of every stage.
    locale
        Language of the shop.
    steps
        PPO updates.

    Raises
    ------
    RunError
        When ``run_path`` is a run on other logs: a demo never overwrites one.
    """
    run = Run.open(run_path, create=True) if run_path is not None else _free_run(f"demo-{locale}-{seed}")
    if run.done("fit-reward") and not run.done("simulate"):
        raise RunError(f"Run {run.path} is no demo but a run on other logs. Name another one with --run.")
    logs = _simulated_logs(run, SimulateConfig(**SHOP, locale=locale, seed=seed))
    fit_reward(run, logs, RewardConfig(seed=seed))
    train_sft(run, SftConfig(**SFT, seed=seed))
    train_ppo(run, PpoConfig(**PPO | ({"steps": steps} if steps else {}), seed=seed))
    if not run.current("offline-eval", evaluation := EvalConfig(**EVAL, seed=seed)):
        evaluate(run, evaluation, truth=truth_of(run))
    return _result(run)


def _free_run(name: str) -> Run:
    """The first of ``runs/NAME``, ``runs/NAME-2`` ... that holds no finished demo."""
    number = 1
    while True:
        run = Run.open(Path("runs") / (name if number == 1 else f"{name}-{number}"), create=True)
        if not run.done("offline-eval"):
            return run
        number += 1


def _simulated_logs(run: Run, config: SimulateConfig) -> Path:
    """``shop/logs.parquet`` of the run."""
    if not run.current("simulate", config):
        note(f"Simulating a shop of {config.items:,} items and {config.impressions:,} impressions")
        with run.stage("simulate", config), run.replacing("shop") as folder:
            simulate(folder / "logs.parquet", config)
    return run / "shop" / "logs.parquet"


def _result(run: Run) -> DemoResult:
    report = json.loads((run / "eval" / "report.json").read_text(encoding="utf-8"))
    market = market_of(run)
    if market is None or report["true_lifts"] is None:
        raise RunError(f"Run {run.path} is no demo: it holds no simulated shop. Name another one with --run.")
    faithfulness = true_faithfulness(run, market)
    lifts = {
        name: Lift(lift["value"], lift["low"], lift["high"], report["true_lifts"][name])
        for name, lift in report["lifts"].items()
    }
    return DemoResult(
        run=str(run.path),
        over_sft=lifts["sft"],
        over_logged=lifts["logged"],
        faithfulness=faithfulness.ppo,
        sft_faithfulness=faithfulness.sft,
        broken_promises=faithfulness.broken,
        kl=report["kl"]["value"],
        verdict=report["verdict"]["decision"],
        headline=report["verdict"]["headline"],
        seconds={stage: run.record(stage)["seconds"] for stage in STAGES},
    )
