"""The assignment of an A/B test: which item or bucket of visitors gets which arm on which days, written once."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray, IntArray
from rlopt.config import AbPlanConfig
from rlopt.errors import EvaluationError
from rlopt.files import atomic_write
from rlopt.stages.common.ab_sizing import arm_shares
from rlopt.wording import counted

BUCKETS = 1000
LARGEST_BLOCK = 20
WAY_OUT = "Give the file of ab-plan --assign."
COLUMNS = (
    "unit", "variation", "time_from", "time_to", "block", "design", "control", "split", "planned_lift", "looks",
    "carry_over", "seed", "plan",
)  # fmt: skip


@dataclass(frozen=True)
class Assignment:
    """Schedule of the arms: which unit gets which arm, and when.

    Parameters
    ----------
    design
        "visitors" (units are buckets of visitors, see `bucket_of`), "items" or "serial".
    unit, arm
        Of each row.
    first, last
        Days of each row, both included: YYYY-MM-DD, or 1, 2 ... from the test's first day on.
    block
        Of each row of an item split: number of the block of alike items that were shared between the arms; else "".
    control
        Name of the control.
    split
        Share of all impressions that sees new titles.
    planned_lift
        Lift that the test is planned to find; None where nothing is known.
    looks
        Planned looks of the group-sequential design.
    carry_over
        Days after a change that the analysis leaves out.
    seed
        Of the randomisation, and of the buckets.
    """

    design: str
    unit: tuple[str, ...]
    arm: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    block: tuple[str, ...]
    control: str
    split: float
    planned_lift: float | None
    looks: int
    carry_over: int
    seed: int

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms' names, the control first."""
        return (self.control, *sorted(set(self.arm) - {self.control}))

    @property
    def fingerprint(self) -> str:
        """Digest of all of it."""
        return hashlib.blake2b(self._text("").encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def write(self, path: Path) -> None:
        """Write CSV with one row a unit and time (`COLUMNS`); every row repeats what holds for all of them."""
        atomic_write(path, self._text(self.fingerprint))

    def _text(self, plan: str) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        lift = "" if self.planned_lift is None else repr(self.planned_lift)
        common = (self.design, self.control, repr(self.split), lift, self.looks, self.carry_over, self.seed, plan)
        for row in zip(self.unit, self.arm, self.first, self.last, self.block, strict=True):
            writer.writerow((*row, *common))
        return out.getvalue()

    @classmethod
    def read(cls, path: Path) -> "Assignment":
        """Read a file that `write` wrote.

        Raises
        ------
        EvaluationError
            The file cannot be read, is none of ab-plan's, or was changed.
        """
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise EvaluationError(
                f"The plan {path} cannot be read: {error}. Give the file of ab-plan --assign."
            ) from error
        if not rows or not set(COLUMNS) <= set(rows[0]):
            raise EvaluationError(
                f"{path} is no plan: it needs {', '.join(COLUMNS)}. Give the file of ab-plan --assign."
            )
        one = rows[0]
        try:
            unit, arm, first, last, block = (tuple(row[name] for row in rows) for name in COLUMNS[:5])
            found = cls(
                design=one["design"],
                unit=unit,
                arm=arm,
                first=first,
                last=last,
                block=block,
                control=one["control"],
                split=float(one["split"]),
                planned_lift=float(one["planned_lift"]) if one["planned_lift"] else None,
                looks=int(one["looks"]),
                carry_over=int(one["carry_over"]),
                seed=int(one["seed"]),
            )
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"{path}: {error}. Give the file as ab-plan --assign wrote it.") from error
        if found.fingerprint != one["plan"]:
            raise EvaluationError(
                f"The plan {path} was changed since ab-plan wrote it (it says {one['plan']!r:.20}, holds "
                f"{found.fingerprint}). Give the file as it was written, or plan again."
            )
        return found


def assign(arms: Arms, config: AbPlanConfig, planned_lift: float | None) -> Assignment:
    """Randomise by the design.

    Items are stratified on what predicts the comparison: they are ordered by the clicks that they had over the average
    item's in the logs, and each few neighbours are shared between the arms (blocked randomisation). In a serial test
    every item's periods are shared between the arms; visitors come in `BUCKETS` buckets of equal size.

    Raises
    ------
    EvaluationError
        Too few items or periods for the arms, or arms that cannot be told apart.
    """
    names, shares = config.arm, arm_shares(config)
    if len(names) < 2 or len(set(names)) != len(names):
        raise EvaluationError(f"A test needs arms of different names, the control first. Got {', '.join(names)}.")
    rng = np.random.default_rng(config.seed)
    days = 7 * config.weeks
    spans = [(1, days)]
    blocks: list[str] | None = None
    if config.design == "visitors":
        units = [str(bucket) for bucket in range(BUCKETS)]
        chosen = [rng.permutation(shared_out(BUCKETS, shares))]
    elif config.design == "items":
        units = [item.item_id for item in arms.items]
        _need(len(names), len(units), counted(len(units), "item"))
        arm_of, block_of = stratified(surplus_clicks(arms), shares, rng)
        chosen, blocks = [arm_of], [str(number) for number in block_of]
    else:
        units = [item.item_id for item in arms.items]
        spans = [(start + 1, min(start + config.period, days)) for start in range(0, days, config.period)]
        periods = f"{counted(len(spans), 'period')} of {counted(config.period, 'day')}"
        _need(len(names), len(spans), f"{periods} in {counted(config.weeks, 'week')}")
        chosen = list(np.stack([rng.permutation(shared_out(len(spans), shares)) for _ in units], axis=1))
    told = [tuple(_day(day, config.start) for day in span) for span in spans]
    rows = [
        (unit, names[arm], *told[number])
        for number, numbers in enumerate(chosen)
        for unit, arm in zip(units, numbers.tolist(), strict=True)
    ]
    unit, arm, first, last = (tuple(str(row[i]) for row in rows) for i in range(4))
    carry_over = config.carry_over if config.design == "serial" else 0
    return Assignment(
        design=config.design,
        unit=unit,
        arm=arm,
        first=first,
        last=last,
        block=tuple(blocks or [""] * len(rows)),
        control=names[0],
        split=config.split,
        planned_lift=planned_lift,
        looks=config.looks,
        carry_over=carry_over,
        seed=config.seed,
    )


def surplus_clicks(arms: Arms) -> FloatArray:
    """Logged clicks of each item less those that the average item would have had, shape (n_items,).

    An item split compares arms by just these, so that items with alike ones make the tightest pairs.
    """
    clicks = np.bincount(arms.item_index, arms.clicks, minlength=len(arms.items))
    exposed = np.bincount(arms.item_index, arms.exposure, minlength=len(arms.items))
    return np.asarray(clicks - clicks.sum() / exposed.sum() * exposed)


def stratified(predicts: FloatArray, shares: Sequence[float], rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Arm and block of each unit, shape (n,): neighbours by ``predicts`` are shared between the arms at random."""
    size = next(
        (m for m in range(2, LARGEST_BLOCK + 1) if all(abs(m * s - round(m * s)) < 1e-9 for s in shares)), LARGEST_BLOCK
    )
    arm, block = (np.empty(len(predicts), dtype=np.int64) for _ in range(2))
    order = np.argsort(predicts, kind="stable")
    for number, start in enumerate(range(0, len(order), size)):
        own = order[start : start + size]
        arm[own] = rng.permutation(shared_out(size, shares))[: len(own)]
        block[own] = number
    return arm, block


def bucket_of(visitor: str, seed: int) -> str:
    """Bucket of a visitor: the first 8 hexadecimal digits of SHA-256 of ``SEED:VISITOR``, modulo `BUCKETS`.

    Examples
    --------
    >>> bucket_of("visitor-42", seed=7) == bucket_of("visitor-42", seed=7)
    True
    """
    digest = hashlib.sha256(f"{seed}:{visitor}".encode("utf-8", "surrogatepass")).hexdigest()
    return str(int(digest[:8], 16) % BUCKETS)


def shared_out(n: int, shares: Sequence[float]) -> IntArray:
    """Numbers of arms, as many of each as its share says (largest remainders), shape (n,)."""
    exact = n * np.asarray(shares) / sum(shares)
    counts = np.floor(exact + 1e-9).astype(np.int64)
    for arm in np.argsort(counts - exact, kind="stable")[: n - int(counts.sum())]:
        counts[arm] += 1
    return np.repeat(np.arange(len(shares)), counts)


def _need(arms: int, n: int, what: str) -> None:
    if n < arms:
        raise EvaluationError(f"{what} cannot be shared between {arms} arms.")


def _day(number: int, start: str | None) -> str:
    if start is None:
        return str(number)
    try:
        return (date.fromisoformat(start) + timedelta(days=number - 1)).isoformat()
    except (ValueError, OverflowError) as error:
        raise EvaluationError(f"--start must be a day such as 2026-03-02. Got {start}: {error}.") from error
