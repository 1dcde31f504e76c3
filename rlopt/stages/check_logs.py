"""``rlopt check-logs``: the log doctor."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.doctor.examine import LogReport, examine
from reward.logs.read import read_logs
from reward.logs.sources.local import Source
from reward.plain import JsonObject, Plain
from rlopt.config import RewardConfig, load, read_preset
from rlopt.stages.common.columns import column_mapping
from rlopt.wording import counted, joined_lines

SIGNS = {"ok": "  ", "warning": "! ", "stop": "X "}


@dataclass(frozen=True)
class CheckResult(Plain):
    """Findings of the log doctor."""

    report: LogReport

    @property
    def stops(self) -> bool:
        """True where fit-reward refuses these logs."""
        return bool(self.report.stops)

    def to_dict(self) -> JsonObject:
        """Plain JSON data."""
        return {**self.report.to_dict(), "usable": not self.stops}

    def to_text(self) -> str:
        """The report for a person: totals, then one finding a line (X stops fit-reward, ! warns)."""
        report = self.report
        conversions = "" if report.conversions is None else f", {counted(report.conversions, 'conversion')}"
        days = "" if report.days is None else f", {report.days}"
        totals = [
            f"{report.source}: {counted(report.rows, 'row')}, {counted(report.impressions, 'impression')}, "
            f"{counted(report.clicks, 'click')}{conversions}{days}",
            f"{counted(report.items, 'item')}, {counted(report.arms, 'title')} ({report.arms_per_item:.1f} an item; "
            f"{counted(report.items_with_choice, 'item has', 'items have')} several); CTR {report.ctr:.2%}",
            "",
        ]
        findings = [f"{SIGNS[finding.severity]}{finding.message}" for finding in report.findings]
        verdict = "fit-reward refuses these logs." if self.stops else "fit-reward takes these logs."
        return joined_lines([*totals, *findings, "", verdict])


def check_logs(
    logs: Source,
    *,
    query: str | None = None,
    columns: str | None = None,
    config: str | Path | None = None,
    tmp_dir: str | Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> CheckResult:
    """Examine logs, the first step of ``fit-reward``.

    Parameters
    ----------
    logs
        File, folder or glob of parquet, CSV or JSONL; a table in memory, a database or whatever else
        `reward.logs.sources.local` takes.
    query
        SQL, or a file that holds it, where the logs are in a database.
    columns
        The user's column names, as in ``--columns``.
    config
        YAML preset whose ``columns``, ``exclude`` and ``reward`` sections apply.
    tmp_dir
        Folder for the log engine's spill files; the system's temporary folder by default.
    flags
        Settings of `RewardConfig` that go before the preset's.

    Raises
    ------
    LogError
        If the logs cannot be read or hold values that the schema forbids.
    ConfigError
        If the preset is wrong.
    """
    preset = read_preset(config) if config is not None else {}
    settings = load(RewardConfig, config, flags)
    data = read_logs(
        logs,
        query=query,
        columns=column_mapping(columns, preset),
        exclude=preset.get("exclude"),
        conversion_window_hours=settings.conversion_window_hours,
        decimal=settings.decimal,
        copies=settings.copies,
        event_id=settings.event_id,
        missing=settings.missing,
        plans=settings.plan,
        memory_limit=settings.memory_limit,
        tmp_dir=tmp_dir,
    )
    return CheckResult(
        examine(
            data,
            judge_share=settings.judge_share,
            test_share=settings.test_share,
            assignment=settings.assignment,
            conversions_complete=settings.conversions_complete,
        )
    )
