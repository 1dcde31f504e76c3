"""Count of the items of a later file that the logs know: ids written differently would be silently unknown."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from itertools import takewhile

from reward.errors import LogError
from reward.items import Item
from reward.logs.sources.local import LocalSource
from rlopt.progress import note

ALMOST_NONE = 0.02
MOSTLY_THE_SAME = 0.5
_FEWEST_PREFIXED = 3


def check_known(ids: Iterable[str], logged: Iterable[Item], file: LocalSource, *, described: bool = True) -> None:
    """Say how many of the ids are in the logs (`tell_known`), and refuse strangers (`refuse_strangers`).

    Parameters and errors are theirs.
    """
    wanted, known = set(ids), {item.item_id: item for item in logged}
    tell_known(wanted, known, file)
    refuse_strangers(wanted, known.values(), file, described=described)


def tell_known(ids: Iterable[str], logged: Collection[str], file: LocalSource) -> None:
    """Say how many of the ids are among those of the logs."""
    wanted = set(ids)
    note(f"{sum(item_id in logged for item_id in wanted):,} of {len(wanted):,} item ids in {file} are in the logs")


def refuse_strangers(ids: Iterable[str], logged: Iterable[Item], file: LocalSource, *, described: bool = True) -> None:
    """Stop where almost no id is in the logs and that can be no intention.

    Parameters
    ----------
    ids
        Item ids of ``file``.
    logged
        The run's items.
    described
        True if ``file`` has more on its items than their ids; if not, items that the logs do not know are nothing but
        names.

    Raises
    ------
    LogError
        If almost no id is in the logs, and most would be if they were spelt alike, or the file has no fields while
        the logs do.
    """
    wanted = set(ids)
    known = {item.item_id: item for item in logged}
    found = sum(item_id in known for item_id in wanted)
    if not wanted or found > ALMOST_NONE * len(wanted):
        return
    told = f"Only {found:,}" if found else "None"
    told = f"{told} of the {len(wanted):,} item ids in {file} is in the logs"
    if pair := _the_same(wanted, known):
        raise LogError(
            f"{told}, but most are when spelt alike: {pair[0]!r:.60} here is {pair[1]!r:.60} there. Write the ids as "
            "the logs have them."
        )
    if not described and any(item.fields for item in known.values()):
        raise LogError(
            f"{told}, and it has no other column that describes them and that the logs have. Its ids are such as "
            f"{min(wanted)!r:.60}, those of the logs such as {min(known)!r:.60}. Map the right column with "
            "--columns item_id=COLUMN, or add the items' fields."
        )


def _the_same(wanted: Collection[str], known: Collection[str]) -> tuple[str, str] | None:
    """Two ids that differ in spelling only, where most do: also in a beginning and an end that one side's ids share."""
    for plain in (True, False):
        (prefix, here), (other, there) = (("", _loose(ids)) if plain else _core(ids) for ids in (wanted, known))
        loose = {key: item_id for item_id, key in sorted(there.items(), reverse=True)}
        pairs = [(item_id, loose[key]) for item_id, key in sorted(here.items()) if key in loose]
        enough = len(pairs) >= max(1 if plain else _FEWEST_PREFIXED, MOSTLY_THE_SAME * len(wanted))
        if enough and (prefix.endswith(other) or other.endswith(prefix)):
            return pairs[0]
    return None


def _loose(ids: Iterable[str]) -> dict[str, str]:
    """Each id without case, blanks, quotes, leading zeros and a fraction of zeros."""
    return {item_id: _letters(_plain(item_id)) for item_id in ids}


def _core(ids: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The beginning of all ids, and each without it, address and query: gid://shop/Product/12, SKU-12, 12?v=2."""
    ends = {item_id: _plain(re.split(r"[/:|]", re.sub(r"[?].*$|/+$", "", item_id))[-1]) for item_id in ids}
    first, last = min(ends.values(), default=""), max(ends.values(), default="")
    same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))))
    prefix = first[:same].rstrip("0123456789") if len(ends) > 1 else ""
    return prefix, {item_id: _letters(end[len(prefix) :]) for item_id, end in ends.items()}


def _letters(plain: str) -> str:
    return plain.lstrip("0") or plain


def _plain(item_id: str) -> str:
    return re.sub(r"[\s'\"#]+|\.0+$", "", unicodedata.normalize("NFKC", item_id).casefold())
