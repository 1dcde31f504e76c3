"""Replay of logged arms: what the logs say a title earned, for titles that were really shown."""

from reward.arms import Arms
from reward.items import Item

from .errors import ReplayError
from .gym import TitleEnv


class Replay:
    """Observed values of the logged titles. It knows nothing about others: ask a model or the simulated market.

    Parameters
    ----------
    arms
        Aggregated logs.
    """

    def __init__(self, arms: Arms) -> None:
        counts = zip(arms.item_ids, arms.title, arms.clicks, arms.exposure, strict=True)
        self._values = {
            (item_id, title): min(float(clicks / exposure), 1.0)
            for item_id, title, clicks, exposure in counts
            if exposure > 0
        }

    def find(self, item: Item, title: str) -> float | None:
        """Debiased CTR of ``title`` (clicks over position-weighted impressions, at most 1), None if never shown."""
        return self._values.get((item.item_id, title))

    def value(self, item: Item, title: str) -> float:
        """Debiased CTR of ``title``.

        Raises
        ------
        ReplayError
            If the title was never shown for this item.
        """
        found = self.find(item, title)
        if found is None:
            raise ReplayError(
                f"title {title!r} of item {item.item_id!r} is not in these logs, and replay answers for logged titles "
                "only. Replay.find returns None instead."
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
        super().__init__(arms.items, Replay(arms).value, sampled=sampled)
