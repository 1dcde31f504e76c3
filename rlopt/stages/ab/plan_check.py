"""Results against the plan: every row's unit must have had the arm that the plan gave it, on that day."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from reward.logs.sources.local import LocalSource
from rlopt.config import AbAnalyzeConfig
from rlopt.errors import EvaluationError
from rlopt.progress import note
from rlopt.stages.ab.assignment import BUCKETS, Assignment, bucket_of
from rlopt.stages.ab.results import Results

NAMED = 3  # rows that are named


def as_planned(config: AbAnalyzeConfig, plan: Assignment) -> AbAnalyzeConfig:
    """Settings with the plan's design, split, control and carry-over, and its lift where none is given."""
    lift = plan.planned_lift if config.planned_lift is None else config.planned_lift
    update = {
        "design": plan.design,
        "split": plan.split,
        "control": plan.control,
        "carry_over": plan.carry_over,
        "planned_lift": lift,
    }
    return AbAnalyzeConfig(**{**config.model_dump(), **update})


def check_plan(plan: Assignment, results: Results, file: LocalSource, where: str | Path) -> Results:
    """The results with the plan's blocks of items, once every row is seen to fit the plan.

    Raises
    ------
    EvaluationError
        A row does not; the first are named.
    """
    extra = sorted(set(results.arms) - set(plan.arms))
    if extra:
        raise EvaluationError(
            f"{file} has the arm {extra[0]!r:.40}, the plan {where} only {', '.join(plan.arms)}. Which one was run?"
        )
    if plan.design == "visitors" and results.visitor is None:
        note("The plan assigns visitors, but the results have no column visitor: rlopt cannot check the assignment")
        return results
    wrong = 0
    first: list[str] = []
    for row, told in enumerate(_misfits(plan, results)):
        if told is not None:
            wrong += 1
            if len(first) < NAMED:
                first.append(f"row {row + 1} ({told})")
    if wrong:
        raise EvaluationError(
            f"{file}: {wrong:,} of {len(results.arm):,} rows do not fit the plan {where}: {'; '.join(first)}."
        )
    return results if plan.design != "items" else results.in_blocks(dict(zip(plan.unit, plan.block, strict=True)))


def _misfits(plan: Assignment, results: Results) -> Iterator[str | None]:
    """Describe the misfit of each row, None where there is none."""
    planned: dict[str, list[tuple[int, int, str]]] = {}
    start = _start(plan, results)
    for unit, arm, first, last in zip(plan.unit, plan.arm, plan.first, plan.last, strict=True):
        planned.setdefault(unit, []).append((_number(first, start), _number(last, start), arm))
    units = _units(plan, results)
    kind = "bucket" if plan.design == "visitors" else "item"
    for number, arm_number in enumerate(results.arm.tolist()):
        unit, arm = units[number], results.arms[arm_number]
        spans = planned.get(unit)
        if spans is None:
            yield f"{kind} {unit!r:.40} is not in the plan"
            continue
        day = None if results.day is None else results.days[results.day[number]]
        fitting = [a for low, high, a in spans if day is None or low <= _number(day, start) <= high]
        if not fitting:
            yield f"{kind} {unit!r:.40} has no arm planned on {day}"
        elif arm not in fitting:
            on = "" if day is None else f" on {day}"
            yield f"{kind} {unit!r:.40}{on} had {arm!r:.40}, the plan {fitting[0]!r:.40}"
        else:
            yield None


def _units(plan: Assignment, results: Results) -> list[str]:
    """The planned unit of each row."""
    if plan.design != "visitors" or results.visitor is None:
        return [results.items[i] for i in results.item]
    buckets = set(map(str, range(BUCKETS)))
    named = set(results.visitors) <= buckets  # the results are by bucket
    bucket = [v if named else bucket_of(v, plan.seed) for v in results.visitors]
    return [bucket[i] for i in results.visitor]


def _start(plan: Assignment, results: Results) -> int:
    """The day before the first one of the test, as an ordinal: planned by date, or the first of the results."""
    if not plan.first[0].isdigit():
        return min(date.fromisoformat(day) for day in plan.first).toordinal() - 1
    return date.fromisoformat(results.days[0]).toordinal() - 1 if results.days else 0


def _number(day: str, start: int) -> int:
    return int(day) if day.isdigit() else date.fromisoformat(day).toordinal() - start
