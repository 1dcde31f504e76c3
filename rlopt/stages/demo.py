"""``rlopt demo``: a simulated shop, the whole chain on its logs, and the truth beside the verdict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from reward.plain import JsonObject, plain
from reward.saved import read_json
from rlopt.config import (
    EvalConfig,
    PpoConfig,
    RewardConfig,
    SftConfig,
    SimulateConfig,
    StageConfig,
    load,
    read_preset,
)
from rlopt.errors import RunError
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.common.truth import market_of, true_faithfulness
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft
from rlopt.stages.simulate import write_shop

STAGES = ("simulate", "fit-reward", "sft", "ppo", "offline-eval")
PRESET, QUICK_PRESET = "demo", "demo-quick"
ConfigT = TypeVar("ConfigT", bound=StageConfig)


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
    """Result of the demo.

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
    toy
        A quick demo: too small for its verdict to tell anything but that the chain works.
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
    toy: bool

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
            "toy": self.toy,
        }


def demo(
    run_path: str | Path | None = None,
    *,
    seed: int = 0,
    locale: Literal["en", "zh"] = "en",
    steps: int | None = None,
    quick: bool = False,
) -> DemoResult:
    """Simulate a shop, fit the reward, train SFT and PPO, evaluate, and look up the truth.

    Parameters
    ----------
    run_path
        Run directory. By default ``runs/demo-LOCALE-SEED`` (``demo-quick-LOCALE-SEED``), which an interrupted demo is
        continued in; when one is finished there, the next free name.
    seed
        Seed of the shop and of every stage.
    locale
        Language of the shop.
    steps
        PPO updates.
    quick
        A small shop and short trainings, about a minute of one core: a toy.

    Raises
    ------
    RunError
        If ``run_path`` is a run on other logs: a demo never overwrites one.
    """
    preset = read_preset(QUICK_PRESET if quick else PRESET)

    def settings(model: type[ConfigT], **own: Any) -> ConfigT:
        return load(model, overrides={"seed": seed, **own}, preset=preset)

    name = f"demo-quick-{locale}-{seed}" if quick else f"demo-{locale}-{seed}"
    run = Run.open(run_path, create=True) if run_path is not None else _free_run(name)
    if run.done("fit-reward") and not run.done("simulate"):
        raise RunError(f"Run {run.path} is no demo but a run on other logs. Name another one with --run.")
    logs = _simulated_logs(run, settings(SimulateConfig, locale=locale))
    fit_reward(run, logs, settings(RewardConfig))
    train_sft(run, settings(SftConfig))
    train_ppo(run, settings(PpoConfig, steps=steps))
    if not run.current("offline-eval", evaluation := settings(EvalConfig)):
        evaluate(run, evaluation)
    return _result(run, toy=quick)


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
            write_shop(folder / "logs.parquet", config)
    return run / "shop" / "logs.parquet"


def _result(run: Run, toy: bool) -> DemoResult:
    report = read_json(run / "eval" / "report.json", JsonObject, "Run rlopt offline-eval again.")
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
        toy=toy,
    )
