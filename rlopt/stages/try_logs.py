"""``rlopt try``: a user's own logs, the whole chain in its quick preset, and the verdict."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from reward.logs.guess import guess_columns
from reward.logs.schema import CANONICAL, ColumnMapping, standing
from reward.logs.source import open_source
from reward.logs.sources.local import LocalSource, Source, local
from reward.logs.staged_once import staged_once
from reward.plain import JsonObject
from rlopt.config import EvalConfig, PpoConfig, RewardConfig, SftConfig, StageConfig, load, read_preset
from rlopt.errors import RunError
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.offline_eval.result import EvaluationResult
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.ppo.stage import train_ppo

PRESET = "quick"
CHAIN = ("fit-reward", "sft", "ppo", "offline-eval")
ConfigT = TypeVar("ConfigT", bound=StageConfig)


@dataclass(frozen=True)
class TryResult:
    """Result of a first look.

    Parameters
    ----------
    run
        The run directory; all other commands continue from it.
    columns
        rlopt's name -> the file's column, for all columns that were recognised.
    seconds
        Stage -> seconds.
    """

    run: str
    columns: dict[str, str]
    evaluation: EvaluationResult
    seconds: dict[str, float]

    def to_dict(self) -> JsonObject:
        """Plain JSON data: that of ``offline-eval``, with the columns and where the run is."""
        return {**self.evaluation.to_dict(), "run": self.run, "columns": self.columns, "seconds": self.seconds}


def try_logs(
    logs: Source,
    run_path: str | Path | None = None,
    *,
    columns: str | None = None,
    query: str | None = None,
    assignment: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    tmp_dir: str | Path | None = None,
) -> TryResult:
    """Guess the columns, learn the reward, train a small policy, and say whether its titles would earn more.

    Parameters
    ----------
    logs
        File, folder or glob of parquet, CSV or JSON lines, or any other source of ``fit-reward``.
    run_path
        Run directory; by default ``runs/try-NAME``. Interrupted, the same call continues; finished stages are kept.
    columns
        The user's column names, as in ``--columns``; they go before the guess.
    query
        Query to a database, as in ``fit-reward``.
    assignment
        Assignment of titles (`RewardConfig.assignment`); None: as the preset says.
    steps
        PPO updates; None: as the preset says.
    seed
        Seed of every stage.
    tmp_dir
        Folder for the log engine's spill files; the system's temporary folder by default.

    Raises
    ------
    LogError
        If the logs cannot be read, a needed column is not found, or the log doctor says that they teach nothing.
    RunError
        If ``run_path`` holds a run of other commands.
    """
    preset = read_preset(PRESET)

    def settings(model: type[ConfigT], **own: object) -> ConfigT:
        return load(model, overrides={"seed": seed, **own}, preset=preset)

    with local(logs, query=query, tmp_dir=tmp_dir) as here, staged_once(tmp_dir):
        mapping, told = _columns(here, ColumnMapping.parse(columns or ""), tmp_dir)
        note("Columns: " + ", ".join(f"{name} = {column}" for name, column in told.items()))
        run = _open_run(run_path, str(here))
        kept = {**preset, "columns": mapping.to_dict()}
        fit_reward(run, here, settings(RewardConfig, assignment=assignment), preset=kept, tmp_dir=tmp_dir)
    train_ppo(run, settings(PpoConfig, steps=steps), settings(SftConfig))
    evaluation = evaluate(run, settings(EvalConfig))
    return TryResult(str(run.path), told, evaluation, {stage: run.record(stage)["seconds"] for stage in CHAIN})


def _open_run(path: str | Path | None, name: str) -> Run:
    """The run at ``path``, by default one named after the logs.

    Raises
    ------
    RunError
        If it is a demo's.
    """
    own = re.sub(r"[^\w.-]+", "-", Path(name).stem).strip("-.") or "logs"
    run = Run.open(Path(path) if path is not None else Path("runs") / f"try-{own}", create=True)
    if run.done("simulate"):
        raise RunError(f"Run {run.path} is a demo. Name another one with --run.")
    return run


def _columns(
    logs: LocalSource, given: ColumnMapping, tmp_dir: str | Path | None
) -> tuple[ColumnMapping, dict[str, str]]:
    """The mapping that the file needs, and the column of every canonical name that it has."""
    with open_source(logs, tmp_dir=tmp_dir) as source:
        available = list(source.columns)
    mapping = guess_columns(available, given, str(logs))
    known = standing(available) | set(mapping.columns)
    return mapping, {name: mapping.columns.get(name, name) for name in CANONICAL if name in known}
