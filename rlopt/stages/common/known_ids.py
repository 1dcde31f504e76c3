"""Count of the items of a later file that the logs know: ids written differently would be silently unknown."""

import re
import unicodedata
from collections.abc import Collection, Iterable

from reward.errors import LogError
from reward.items import Item
from reward.logs.sources.local import LocalSource
from rlopt.progress import note

ALMOST_NONE = 0.02
MOSTLY_THE_SAME = 0.5


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
    """Two ids that differ in spelling only, where most do."""
    loose = {_loose(item_id): item_id for item_id in sorted(known, reverse=True)}
    pairs = [(item_id, loose[_loose(item_id)]) for item_id in sorted(wanted) if _loose(item_id) in loose]
    return pairs[0] if len(pairs) >= max(1, MOSTLY_THE_SAME * len(wanted)) else None


def _loose(item_id: str) -> str:
    """Without case, blanks, quotes, leading zeros and a fraction of zeros."""
    letters = re.sub(r"[\s'\"#]+|\.0+$", "", unicodedata.normalize("NFKC", item_id).casefold())
    return letters.lstrip("0") or letters
