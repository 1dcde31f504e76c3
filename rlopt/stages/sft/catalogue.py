"""A run that begins with titles alone: no clicks, so no reward yet."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reward.arms import Arms
from reward.errors import LogError
from reward.items import Item
from reward.logs.catalogue import read_titles
from reward.logs.sources.local import LocalSource, Source, local
from reward.logs.splits import Splits
from reward.logs.store import save_arms
from reward.text import clean, same_text_key
from rlopt.errors import RunError
from rlopt.files import to_json
from rlopt.progress import note
from rlopt.run import BELONGING, CATALOGUE, DATA, Run
from rlopt.stages.common.belonging import fit_belonging
from rlopt.stages.common.columns import column_mapping
from rlopt.wording import counted, listed

COPY = 0.5  # share of the items whose title a field repeats, from which it is a copy


def read_catalogue(
    run: Run,
    catalogue: Source,
    *,
    columns: str | None = None,
    query: str | None = None,
    preset: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> None:
    """Keep the titles of a catalogue in the run: ``data/``, all items on the train side, and ``belonging/``.

    Raises
    ------
    RunError
        If the run has learned from logs.
    LogError
        If the catalogue cannot be read, or has fewer than two items with a title.
    """
    if run.done("fit-reward"):
        raise RunError(
            f"Run {run.path} has learned from logs, whose titles rlopt sft learns: leave the catalogue out, or begin "
            "another run with --run DIR."
        )
    kept = {**(preset or {}), "columns": column_mapping(columns, preset).to_dict()}
    settings = {"seed": seed, **{name: kept.get(name) or {} for name in ("columns", "exclude")}}
    with local(catalogue, query=query) as here:
        arms = _arms(here, columns, kept)
        name = str(here)
    inputs = {"titles": _digest(arms)}
    if run.current(CATALOGUE, settings, inputs):
        return
    with run.stage(CATALOGUE, settings, inputs) as record:
        splits = Splits(train=tuple(sorted({item.item_id for item in arms.items})), judge=(), test=())
        belonging = fit_belonging(arms, splits, None, seed)
        with run.replacing_all(DATA, BELONGING) as folders:
            save_arms(arms, folders[DATA])
            (folders[DATA] / "splits.json").write_text(splits.to_json(), encoding="utf-8")
            (folders[DATA] / "preset.json").write_text(to_json(kept, indent=2), encoding="utf-8")
            if belonging is not None:
                belonging.save(folders[BELONGING])
        record.notes.update(catalogue=name, items=len(arms.items), titles=len(arms))
    note(f"{counted(len(arms.items), 'item')} with {counted(len(arms), 'title')} from {name}, no clicks")


def _arms(file: LocalSource, columns: str | None, preset: Mapping[str, Any]) -> Arms:
    """Every item with each of its titles once, never shown."""
    ignored = tuple(preset.get("exclude") or ())
    rows, titles, _ = read_titles(file, column_mapping(columns, preset), ignored, skip_untitled=True)
    first: dict[str, Item] = {}
    pairs: dict[tuple[str, str], None] = {}
    for row, title in zip(rows, map(clean, titles), strict=True):
        first.setdefault(row.item_id, replace(row, current_title=title))
        pairs[row.item_id, title] = None
    items = _without_copies(list(first.values()))
    if len(items) < 2:
        raise LogError(f"{file} has {counted(len(items), 'item')} with a title, and learning to write takes two.")
    place = {item.item_id: index for index, item in enumerate(items)}
    none = np.zeros(len(pairs))
    return Arms(
        items=tuple(items),
        item_index=np.array([place[item_id] for item_id, _ in pairs], dtype=np.int64),
        title=np.array([title for _, title in pairs], dtype=object),
        impressions=none,
        clicks=none,
        exposure=none,
        propensity=np.ones(len(pairs)),
        propensity_logged=False,
    )


def _without_copies(items: Sequence[Item]) -> list[Item]:
    """The items without fields that repeat the title: a policy would learn to copy, and have nothing to copy from."""
    repeated: Counter[str] = Counter()
    for item in items:
        title = same_text_key(str(item.current_title))
        repeated.update(name for name, values in item.fields.items() if title in map(same_text_key, values))
    copies = sorted(name for name, count in repeated.items() if count > COPY * len(items))
    if copies:
        note(f"Not used as fields of the items, because they repeat the title: {listed(copies)}")
    return [replace(one, fields={k: v for k, v in one.fields.items() if k not in copies}) for one in items]


def _digest(arms: Arms) -> str:
    """Hash of the items and their titles: the same catalogue in another format has the same one."""
    digest = hashlib.blake2b(digest_size=16)
    for item, title in arms.pairs:
        digest.update(f"{item.to_json()}\0{title}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
