"""The arms a market logs, with the truth about each."""

from dataclasses import dataclass

import numpy as np

from reward.arrays import FloatArray, IntArray

from .market import Market

ITEM_TRAFFIC_SD = 0.5


@dataclass(frozen=True)
class MarketArms:
    """Every logged (item, title) of a market with its truth; arrays of shape (n_arms,), arms of an item adjacent."""

    item_index: IntArray
    titles: list[str]
    propensity: FloatArray
    traffic: FloatArray
    click: FloatArray
    conversion: FloatArray


def market_arms(market: Market, rng: np.random.Generator) -> MarketArms:
    """The arms the market logs; ``traffic`` is each arm's share of all impressions (item shares are log-normal)."""
    item_index: list[int] = []
    titles: list[str] = []
    propensity: list[float] = []
    for index, item in enumerate(market.items):
        for title, share in market.logging_policy(item):
            item_index.append(index)
            titles.append(title)
            propensity.append(share)
    index_array = np.array(item_index, dtype=np.int64)
    share_array = np.array(propensity)
    item_traffic = np.exp(ITEM_TRAFFIC_SD * rng.standard_normal(len(market.items)))
    item_traffic /= item_traffic.sum()
    arm_items = [market.items[i] for i in item_index]
    click, conversion = market.click_and_conversion(arm_items, titles)
    return MarketArms(
        item_index=index_array,
        titles=titles,
        propensity=share_array,
        traffic=item_traffic[index_array] * share_array,
        click=click,
        conversion=conversion,
    )
