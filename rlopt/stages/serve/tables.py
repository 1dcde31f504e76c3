"""The titles that the service hands out: a table of a person's, alone or under the arms of an A/B plan."""

import hashlib
import math
from collections import Counter
from datetime import date
from pathlib import Path

from reward.items import Item
from reward.logs.sources.local import local
from rlopt.config import ServeConfig
from rlopt.errors import RloptError
from rlopt.files import fingerprint
from rlopt.run import Run
from rlopt.serving.assignments import Assigner, PlanAssigner, Row, TableAssigner, UnitNeededError
from rlopt.stages.ab.assignment import Assignment, bucket_of
from rlopt.stages.common.columns import titles_of


def read_assigner(run: Run, config: ServeConfig) -> Assigner | None:
    """Read the table and plan of the settings; None where they name no table.

    Raises
    ------
    LogError, EvaluationError
        If table or plan cannot be read.
    RloptError
        If they do not fit each other.
    """
    if config.titles is None:
        if config.plan is not None:
            raise RloptError("--plan says who gets which arm, and needs --titles FILE with the arms' titles.")
        return None
    rows, own_seed = _read_rows(run, config.titles)
    seed = _seed(config, own_seed)
    version = _digest(fingerprint(Path(config.titles)), str(seed))
    if config.plan is None:
        if any(row.arm is not None for row in rows):
            raise RloptError(f"{config.titles} has a column arm, and nothing says who gets which: add --plan FILE.")
        return TableAssigner(rows, seed, version)
    plan = Assignment.read(Path(config.plan))
    return _by_plan(run, plan, rows, config, _digest(version, plan.fingerprint))


def _by_plan(run: Run, plan: Assignment, rows: list[Row], config: ServeConfig, version: str) -> Assigner:
    titles: dict[str, dict[str, str]] = {arm: {} for arm in plan.arms}
    treated = plan.arms[1:]
    if all(row.arm is None for row in rows) and len(treated) > 1:
        raise RloptError(f"{config.titles} needs a column arm, since the plan has {len(treated)} arms beside control.")
    for row in rows:
        arm = row.arm or treated[0]
        if row.probability is not None or arm not in titles:
            wrong = "a column probability, which the plan decides" if row.probability is not None else f"arm {arm!r}"
            raise RloptError(f"{config.titles} has {wrong}. The plan's arms are {', '.join(plan.arms)}.")
        if titles[arm].setdefault(row.item_id, row.title) != row.title:
            raise RloptError(f"{config.titles} has two titles of item {row.item_id!r:.80} in arm {arm}.")
    if not titles[plan.control]:  # the titles in use
        items: tuple[Item, ...] = run.arms().items
        titles[plan.control] = {item.item_id: item.current_title for item in items if item.current_title}
    return PlanAssigner(PlannedArms(plan).arm_of, titles, version)


class PlannedArms:
    """Current schedule of a plan: the arm of each unit today.

    Raises
    ------
    RloptError
        If the plan has no dates.
    """

    def __init__(self, plan: Assignment) -> None:
        try:
            spans = [(date.fromisoformat(a), date.fromisoformat(b)) for a, b in zip(plan.first, plan.last, strict=True)]
        except ValueError:
            raise RloptError("The plan counts its days from 1. Plan with --start DATE to serve it.") from None
        self._plan = plan
        self._rows: dict[str, list[tuple[date, date, str]]] = {}
        for unit, arm, span in zip(plan.unit, plan.arm, spans, strict=True):
            self._rows.setdefault(unit, []).append((*span, arm))
        counts = Counter(plan.arm)
        self._shares = {arm: count / len(plan.arm) for arm, count in counts.items()}

    def arm_of(self, item_id: str, unit: str | None, today: date | None = None) -> tuple[str, float]:
        """The arm, and the share of the plan that has it; before and after the test, the control for all.

        Raises
        ------
        UnitNeededError
            If visitors are split, and none is given.
        """
        plan, today = self._plan, today or date.today()
        if plan.design == "visitors" and unit is None:
            raise UnitNeededError
        key = bucket_of(unit, plan.seed) if plan.design == "visitors" and unit is not None else item_id
        for first, last, arm in self._rows.get(key, ()):
            if first <= today <= last:
                return arm, self._shares[arm]
        return plan.control, 1.0


def _seed(config: ServeConfig, own: int | None) -> int:
    """Seed of the table, as a plan of ``rlopt explore`` has it, else the settings'.

    Raises
    ------
    RloptError
        If both are given and differ.
    """
    if own is None:
        return config.seed
    if "seed" in config.model_fields_set and config.seed != own:
        raise RloptError(
            f"{config.titles} is a plan whose titles are drawn with seed {own}, and --seed says {config.seed}. Leave "
            "--seed out."
        )
    return own


def _read_rows(run: Run, file: str) -> tuple[list[Row], int | None]:
    """The table's rows, and the seed that it says its probabilities are drawn with."""
    with local(file) as here:
        items, titles, table = titles_of(run, here)
    probability = table["probability"].to_pylist() if "probability" in table.column_names else [None] * len(titles)
    arm = table["arm"].to_pylist() if "arm" in table.column_names else [None] * len(titles)
    rows = [
        Row(item.item_id, title, _number(file, row, p), None if a is None else str(a))
        for row, (item, title, p, a) in enumerate(zip(items, titles, probability, arm, strict=True), start=1)
    ]
    drawn = {"probability", "seed"}.issubset(table.column_names)
    return rows, _one_seed(file, table["seed"].unique().to_pylist()) if drawn else None


def _one_seed(file: str, values: list[object]) -> int:
    text = str(values[0]) if len(values) == 1 else ""
    if not text.isascii() or not text.isdecimal():
        raise RloptError(f"{file}: the column seed must hold one whole number. Got {', '.join(map(str, values)):.60}.")
    return int(text)


def _number(file: str, row: int, value: object) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise RloptError(f"{file}, row {row}: probability must be a number from 0 to 1. Got {value!r:.40}.")
    return number


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
