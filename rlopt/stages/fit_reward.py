"""``rlopt fit-reward``: from logs to the reward model, the judge and the splits every later stage keeps to."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reward.arms import Arms
from reward.doctor import examine
from reward.errors import LogError
from reward.judge import Judge
from reward.logs import read_logs
from reward.model import RewardModel
from reward.schema import ColumnMapping
from reward.source import find_files
from reward.splits import Splits, split_items
from reward.store import load_arms, save_arms
from rlopt import threads
from rlopt.config import RewardConfig
from rlopt.files import atomic_write, disk_errors, fingerprint, to_json
from rlopt.progress import note, track
from rlopt.report.cards import reward_card
from rlopt.run import DATA, Run, package_versions
from rlopt.stages.columns import column_mapping
from rlopt.stages.reward_evidence import card_figures, evidence_lines, measure
from rlopt.stages.truth import MARKET

FINDINGS = "findings.json"
EVIDENCE = "evidence.json"


def fit_reward(
    run: Run,
    logs: str | Path,
    config: RewardConfig | None = None,
    *,
    columns: str | None = None,
    preset: Mapping[str, Any] | None = None,
    tmp_dir: str | Path | None = None,
    force: bool = False,
) -> "FitRewardResult":
    """Learn from logs what a title earns; writes ``data/``, ``reward/`` and ``judge/`` of the run.

    Parameters
    ----------
    run
        A run directory, new or not.
    logs
        File, folder or glob of parquet or CSV.
    config
        Settings of the stage.
    columns
        The user's column names, as in ``--columns``.
    preset
        Content of a YAML preset: its ``columns`` and ``exclude`` apply here, its other sections are kept in the
        run for the stages to come.
    tmp_dir
        Where the log engine spills; the system's temporary folder by default.
    force
        Fit again although settings and logs are those of the last time.

    Raises
    ------
    LogError
        When the logs cannot be read, hold forbidden values, or the log doctor says that they teach nothing.
    SplitError, ModelError
        When the items cannot be split, or no model can be fitted on them.
    RunError
        When the run cannot be written.
    """
    config = config or RewardConfig()
    kept = {**(preset or {}), "columns": column_mapping(columns, preset).to_dict()}
    settings = {
        **config.model_dump(mode="json", exclude={"memory_limit"}),
        **{name: kept.get(name) or {} for name in ("columns", "exclude")},
    }
    inputs = {"logs": _fingerprint_logs(logs)}
    if not force and run.current("fit-reward", settings, inputs):
        note("Same logs and settings as the last time: nothing to do (--force fits again).")
        atomic_write(run / DATA / "preset.json", to_json(kept, indent=2))
        return FitRewardResult.of(run)
    with run.stage("fit-reward", settings, inputs) as record:
        checkpoints = run.checkpoint_dir("fit-reward", record.key)
        arms, report = _aggregate(logs, config, kept, tmp_dir, checkpoints)
        splits = split_items(
            arms,
            judge_share=config.judge_share,
            test_share=config.test_share,
            seed=config.seed,
            time_split=config.time_split,
        )
        _keep(arms, report, checkpoints)
        model = _fit_model(arms.of_items(splits.train), config, checkpoints)
        judge = _fit_judge(arms.of_items(splits.judge), config) if splits.judge else None
        evidence = measure(model, arms, splits, config.seed)
        _save(run, Fitted(arms, splits, model, judge, report, evidence), settings, kept, market_beside(logs))
        record.notes.update(logs=str(logs), arms=len(arms), items=len(arms.items))
    shutil.rmtree(run / "checkpoints" / "fit-reward", ignore_errors=True)
    return FitRewardResult.of(run)


@dataclass(frozen=True)
class FitRewardResult:
    """What `fit_reward` left in the run.

    Parameters
    ----------
    items, arms, impressions
        Size of the logs.
    train, judge, test
        Items on each side of the split.
    warnings
        What the log doctor warns of.
    evidence
        How good the reward is on items it has not seen; empty where none were held out.
    """

    run: str
    items: int
    arms: int
    impressions: int
    train: int
    judge: int
    test: int
    warnings: tuple[str, ...]
    evidence: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> "FitRewardResult":
        """The result a finished stage left."""
        findings = json.loads((run / DATA / FINDINGS).read_text(encoding="utf-8"))
        splits = run.splits()
        return cls(
            run=str(run.path),
            items=findings["items"],
            arms=findings["arms"],
            impressions=findings["impressions"],
            train=len(splits.train),
            judge=len(splits.judge),
            test=len(splits.test),
            warnings=tuple(f["message"] for f in findings["findings"] if f["severity"] == "warning"),
            evidence=json.loads((run / "reward" / EVIDENCE).read_text(encoding="utf-8")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "warnings": list(self.warnings)}

    def to_text(self) -> str:
        """For a person."""
        lines = [
            f"{self.items:,} items with {self.arms:,} titles, {self.impressions:,} impressions: "
            f"{self.train:,} items train, {self.judge:,} judge, {self.test:,} test.",
            *evidence_lines(self.evidence),
            f"Reward model: {self.run}/reward (card: README.md). Next: rlopt ppo --run {self.run}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Fitted:
    """All that the stage made, before it is saved."""

    arms: Arms
    splits: Splits
    model: RewardModel
    judge: Judge | None
    report: dict[str, Any]
    evidence: dict[str, Any]


def _fingerprint_logs(logs: str | Path) -> str:
    """Hash over the names and contents of all log files."""
    digest = hashlib.blake2b(digest_size=16)
    for path in find_files(logs):
        digest.update(f"{path.name} {fingerprint(path)}\n".encode())
    return digest.hexdigest()


def _aggregate(
    logs: str | Path, config: RewardConfig, kept: Mapping[str, Any], tmp_dir: str | Path | None, checkpoints: Path
) -> tuple[Arms, dict[str, Any]]:
    """Arms of the logs and what the doctor says of them; an interrupted stage finds both where it left them."""
    if (checkpoints / FINDINGS).exists():  # written last
        return load_arms(checkpoints), json.loads((checkpoints / FINDINGS).read_text(encoding="utf-8"))
    note(f"Reading {logs}")
    data = read_logs(
        logs,
        columns=ColumnMapping.from_dict(kept["columns"]),
        exclude=kept.get("exclude"),
        conversion_window_hours=config.conversion_window_hours,
        memory_limit=config.memory_limit,
        tmp_dir=tmp_dir,
    )
    report = examine(data, judge_share=config.judge_share, test_share=config.test_share)
    for finding in report.findings:
        if finding.severity == "warning":
            note(f"Warning: {finding.message}")
    if report.stops:
        more = f" (and {len(report.stops) - 1} more: rlopt check-logs)" if len(report.stops) > 1 else ""
        raise LogError(f"{logs} cannot teach a reward. {report.stops[0].message}{more}")
    return data.arms, report.to_dict()


def _keep(arms: Arms, report: dict[str, Any], checkpoints: Path) -> None:
    """Keep what an interrupted stage need not do again; only after nothing can be refused any more."""
    if not (checkpoints / FINDINGS).exists():
        with disk_errors(checkpoints):
            save_arms(arms, checkpoints)
        atomic_write(checkpoints / FINDINGS, to_json(report))


def _fit_model(arms: Arms, config: RewardConfig, checkpoints: Path) -> RewardModel:
    outcomes = 2 if arms.conversions is not None and arms.conversions.any() else 1
    with track("reward model", outcomes * config.members) as bar, disk_errors(checkpoints):

        def show(step: str, _: float) -> None:
            bar.update("model" in step, step=step)

        return RewardModel.fit(
            arms,
            seed=config.seed,
            n_members=config.members,
            click_weight=config.click_weight,
            conversion_weight=config.conversion_weight,
            threads=threads.available(),
            checkpoint_dir=checkpoints / "members",
            progress=show,
        )


def _fit_judge(arms: Arms, config: RewardConfig) -> Judge:
    note(f"Fitting the judge on {len(arms.items)} items of its own")
    return Judge.fit(arms, seed=config.seed)


def _save(
    run: Run, fitted: Fitted, settings: Mapping[str, Any], preset: Mapping[str, Any], market: bytes | None
) -> None:
    """Write ``data/``, ``reward/`` and ``judge/``; they change together."""
    with run.replacing_all(DATA, "reward", "judge") as folders:
        data = folders[DATA]
        save_arms(fitted.arms, data)
        (data / "splits.json").write_text(fitted.splits.to_json(), encoding="utf-8")
        (data / "preset.json").write_text(to_json(preset, indent=2), encoding="utf-8")
        (data / FINDINGS).write_text(to_json(fitted.report, indent=2), encoding="utf-8")
        fitted.model.save(folders["reward"])
        (folders["reward"] / EVIDENCE).write_text(to_json(fitted.evidence, indent=2), encoding="utf-8")
        (folders["reward"] / "README.md").write_text(_card(fitted, settings), encoding="utf-8")
        if fitted.judge is not None:
            fitted.judge.save(folders["judge"])
    if market is None:
        (run / MARKET).unlink(missing_ok=True)
    else:
        atomic_write(run / MARKET, market)


def market_beside(logs: str | Path) -> bytes | None:
    """The simulator's file beside simulated logs, so that later stages can show the truth; None for real logs."""
    path = Path(logs)
    stem = path.with_suffix("") if path.suffix == ".parquet" else path
    market = stem.with_name(f"{stem.name}.{MARKET}")
    return market.read_bytes() if market.is_file() else None


def _card(fitted: Fitted, settings: Mapping[str, Any]) -> str:
    train = fitted.arms.of_items(fitted.splits.train)
    return reward_card(
        n_items=len(train.items),
        n_arms=len(train),
        n_impressions=float(train.impressions.sum()),
        figures=card_figures(fitted.evidence),
        settings=settings,
        versions=package_versions(),
    )
