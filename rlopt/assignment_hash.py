"""Assignment of titles to visitors by a hash: a site computes it alone, and one visitor always sees the same title."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

RULE = (
    "u = the 8 bytes of BLAKE2b (digest size 8) of the JSON text [seed, item_id, unit] (separated by comma and blank, "
    "UTF-8), big-endian, the upper 53 bits as a fraction of 2^53; the item's titles in the order of their code points, "
    "probabilities added up: the first title whose sum is above u"
)


def uniform(seed: int, item_id: str, unit: str) -> float:
    """A number in [0, 1) that depends on seed, item and unit (a visitor, say) alone, as `RULE` says."""
    text = json.dumps([seed, item_id, unit], ensure_ascii=False)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return float((int.from_bytes(digest) >> 11) * 2.0**-53)


def title_of(titles: Sequence[str], probabilities: Sequence[float], u: float) -> str:
    """The title of a unit whose `uniform` number is ``u``; the order of ``titles`` does not matter.

    Examples
    --------
    >>> title_of(["Red shoe", "Blue shoe"], [0.25, 0.75], uniform(7, "sku-1", "visitor-42"))
    'Blue shoe'
    """
    kept = sorted((title, p) for title, p in zip(titles, probabilities, strict=True) if p > 0)
    ends = [*list(accumulate(p for _, p in kept))[:-1], 1.0]
    return kept[bisect_right(ends, u)][0]
