"""Replay of logged arms: what the logs say a title earned, for titles that were really shown."""

from typing import Literal

from reward.arms import Arms
from reward.items import Item

from .errors import ReplayError
from .gym import TitleEnv


class Replay:
    """Observed values of the logged titles.

    Parameters
    ----------
    arms
        Aggregated logs.
    unknown
        What `value` does for a title never shown for the item: "error" raises, "none" returns None. A replay knows
        nothing about other titles; for those a model or the simulated market must answer.
    """

    def __init__(self, arms: Arms, *, unknown: Literal["error", "none"] = "error") -> None:
        if unknown not in ("error", "none"):
            raise ReplayError(f"unknown must be 'error' or 'none'. Got {unknown!r} instead.")
        self._unknown = unknown
        self._values = {
            (item_id, title): min(float(clicks / exposure), 1.0)
            for item_id, title, clicks, exposure in zip(
                arms.item_ids, arms.title, arms.clicks, arms.exposure, strict=True
            )
            if exposure > 0
        }

    def value(self, item: Item, title: str) -> float | None:
        """Debiased CTR (clicks over position-weighted impressions) of ``title``, at most 1.

        Raises
        ------
        ReplayError
            If the title was never shown for this item, unless ``unknown="none"`` was asked for.
        """
        found = self._values.get((item.item_id, title))
        if found is None and self._unknown == "error":
            raise ReplayError(
                f"title {title!r} of item {item.item_id!r} is not in these logs. "
                "Replay answers for logged titles only; unknown='none' returns None instead."
            )
        return found


class ReplayEnv(TitleEnv):
    """`TitleEnv` over logged arms; a title that was never shown raises `ReplayError`.

    Parameters
    ----------
    arms
        Aggregated logs; every item is drawn equally often.
    sampled
        True draws a click with the debiased CTR, False gives that rate.
    """

    def __init__(self, arms: Arms, *, sampled: bool = False) -> None:
        self._values = Replay(arms)
        super().__init__(arms.items, self._logged_value, sampled=sampled)

    def _logged_value(self, item: Item, title: str) -> float:
        value = self._values.value(item, title)
        assert value is not None  # noqa: S101 (a Replay that raises never returns None)
        return value
