"""A guess at which of a user's columns is which, by the names that shops give them; `rlopt try` shows what it took."""

from collections.abc import Sequence

from ..errors import LogError
from .schema import CANONICAL, KEY_SEPARATOR, ColumnMapping, looks_like, standing, usualness

_MOST_NAMED = 20


def guess_columns(available: Sequence[str], given: ColumnMapping, where: str) -> ColumnMapping:
    """``given``, and for every other canonical column that the file lacks the column with its most usual name.

    Parameters
    ----------
    available
        Column names of the file.
    given
        Columns that the user named; they override any guess.
    where
        The file's name, for messages.

    Raises
    ------
    LogError
        If a required column stands under no usual name; the message asks for all of them at once.
    """
    columns = dict(given.columns)
    known = standing(available) | set(columns)
    taken = {part for source in columns.values() for part in (source, *source.split(KEY_SEPARATOR))}
    for name in CANONICAL:
        free = [column for column in available if column not in taken and looks_like(column) == name]
        if free and name not in known:
            columns[name] = min(free, key=usualness)
    missing = [column for column in CANONICAL.values() if column.required and column.name not in known | set(columns)]
    if missing:
        asked = " and ".join(f"{column.name} ({column.meaning})" for column in missing)
        pairs = [f"{name}={source}" for name, source in columns.items()] + [f"{column.name}=..." for column in missing]
        more = f" and {len(available) - _MOST_NAMED} more" if len(available) > _MOST_NAMED else ""
        raise LogError(
            f"{where} has no column that looks like {asked}. Use --columns {','.join(pairs)} "
            f"with its columns: {', '.join(available[:_MOST_NAMED])}{more}."
        )
    return ColumnMapping(columns)
