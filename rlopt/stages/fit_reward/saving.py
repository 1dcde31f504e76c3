"""Files that a fit leaves in the run: ``data/``, ``reward/``, ``monitor/``, ``judge/``, ``belonging/``, the encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.arms import Arms
from reward.belonging.belonging import Belonging
from reward.doctor.examine import LogReport
from reward.logs.sources.local import LocalCopy, LocalSource
from reward.logs.splits import Splits
from reward.logs.store import save_arms
from reward.model.judge import Judge
from reward.saved_models import POLICY_ENCODER
from rlopt.files import atomic_write, to_json
from rlopt.run import BELONGING, DATA, FINDINGS, Run
from rlopt.stages.common.evidence import EVIDENCE, FitEvidence, evidence_text
from rlopt.stages.common.monitor import MONITOR
from rlopt.stages.common.truth import MARKET
from rlopt.stages.fit_reward.card import write_card
from rlopt.stages.fit_reward.encoder import keep_policy, reads_with_policy
from rlopt.stages.fit_reward.fitting import Learned
from rlopt.stages.fit_reward.history import HISTORY, Entry, history_text, save_parts


@dataclass(frozen=True)
class Fitted:
    """All that the stage made, before it is saved.

    Parameters
    ----------
    learned, judge, belonging, evidence
        The models, and how good the reward is.
    arms, parts
        The logs, and those of each of them alone.
    splits
        The sides of all items.
    report
        Report of the log doctor.
    history
        History of the logs learned from, this time included.
    """

    learned: Learned
    judge: Judge | None
    belonging: Belonging | None
    evidence: FitEvidence | None
    arms: Arms
    parts: Sequence[Arms]
    splits: Splits
    report: LogReport
    history: Sequence[Entry]


def save(
    run: Run, fitted: Fitted, settings: Mapping[str, Any], preset: Mapping[str, Any], market: bytes | None
) -> None:
    """Write ``data/``, ``reward/``, ``monitor/``, ``judge/``, ``belonging/`` and the encoder ``policy`` together."""
    encoder = [POLICY_ENCODER] if reads_with_policy(settings.get("encoder")) else []
    with run.replacing_all(DATA, "reward", MONITOR, "judge", BELONGING, *encoder) as folders:
        if encoder:
            keep_policy(run, folders[POLICY_ENCODER])
        data = folders[DATA]
        save_arms(fitted.arms, data)
        save_parts(fitted.parts, data)
        (data / "splits.json").write_text(fitted.splits.to_json(), encoding="utf-8")
        (data / "preset.json").write_text(to_json(preset, indent=2), encoding="utf-8")
        (data / FINDINGS).write_text(to_json(fitted.report, indent=2), encoding="utf-8")
        fitted.learned.model.save(folders["reward"])
        (folders["reward"] / EVIDENCE).write_text(evidence_text(fitted.evidence), encoding="utf-8")
        (folders["reward"] / HISTORY).write_text(history_text(fitted.history), encoding="utf-8")
        write_card(
            folders["reward"],
            fitted.learned.model,
            fitted.learned.arms,
            fitted.splits,
            fitted.evidence,
            settings,
            fitted.report.warnings,
        )
        if fitted.learned.monitor is not None:
            fitted.learned.monitor.save(folders[MONITOR])
        if fitted.judge is not None:
            fitted.judge.save(folders["judge"])
        if fitted.belonging is not None:
            fitted.belonging.save(folders[BELONGING])
    if market is None:
        (run / MARKET).unlink(missing_ok=True)
    else:
        atomic_write(run / MARKET, market)


def market_beside(logs: LocalSource) -> bytes | None:
    """The simulator's file beside simulated logs, so that later stages can show the truth; None for real logs."""
    if isinstance(logs, LocalCopy):
        return None
    path = Path(logs)
    stem = path.with_suffix("") if path.suffix == ".parquet" else path
    market = stem.with_name(f"{stem.name}.{MARKET}")
    return market.read_bytes() if market.is_file() else None
