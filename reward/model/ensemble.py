"""Members of an ensemble on disk: fitted one by one, saved one by one, so that an interrupted fit continues."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import lightgbm as lgb
import numpy as np

from ..arms import Arms
from ..encoders.encoder import Encoder
from ..errors import ModelError
from ..saved import AGAIN, SavedError, array, damaged, read_arrays, within
from .boosting import TreeFitter, fit_trees
from .effect import Member, TrainingSet, fit_member
from .tree_text import check_trees

Progress = Callable[[str, float], None]

_MOST_COLUMNS = 1 << 28


def fit_members(
    training: TrainingSet,
    n_members: int,
    *,
    name: str,
    seed: np.random.SeedSequence,
    threads: int,
    checkpoint_dir: Path | None,
    progress: Progress | None,
    trees: TreeFitter = fit_trees,
) -> tuple[Member, ...]:
    """Fit the members, taking those over that an interrupted fit of the same data left in ``checkpoint_dir``."""
    seeds = seed.spawn(n_members)
    members = []
    for k, member_seed in enumerate(seeds):
        path = checkpoint_dir / f"{name}-{k}.npz" if checkpoint_dir else None
        if path is not None and path.exists():
            member = load_member(path)
        else:
            member = _as_saved(fit_member(training, seed=member_seed, threads=threads, trees=trees))
            if path is not None:
                save_member(member, path)
        members.append(member)
        if progress is not None:
            progress(f"{name} model {k + 1} of {n_members}", (k + 1) / n_members)
    return tuple(members)


def fit_fingerprint(arms: Arms, seed: int, n_members: int, engine: str, encoder: Encoder | None) -> str:
    """Key of everything the members depend on."""
    digest = hashlib.sha256(f"{seed} {n_members} {engine} {encoder and encoder.fingerprint}".encode())
    for counts in (arms.item_index, arms.clicks, arms.exposure, arms.conversions, arms.matured_clicks):
        digest.update(b"-" if counts is None else np.ascontiguousarray(counts).tobytes())
    for text in (*(str(title) for title in arms.title), *(item.to_json() for item in arms.items)):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def claim(folder: Path, key: str) -> None:
    """Empty the checkpoint ``folder`` unless it belongs to this very fit."""
    mark = folder / "fingerprint"
    if folder.exists() and not (mark.exists() and mark.read_text() == key):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(key)


def save_member(member: Member, path: Path) -> None:
    """Write one member to ``path`` (.npz with LightGBM's text inside), atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    used = np.flatnonzero(member.coefficients)
    with temporary.open("wb") as file:
        np.savez_compressed(
            file,
            used=used.astype(np.int32),
            value=member.coefficients[used],
            n_columns=np.array(len(member.coefficients)),
            trees=np.frombuffer(_text(member.booster).encode("utf-8"), dtype=np.uint8),
            level=np.array(member.level),
            item_weight=member.item_weight,
        )
    temporary.replace(path)


def load_member(path: Path, n_columns: int | None = None, n_table: int | None = None) -> Member:
    """Member written by `save_member`.

    Parameters
    ----------
    path
        The file.
    n_columns, n_table
        Columns of the linear model and of the trees' table; None: as the file says.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or not a member, or one of other columns.
    """
    try:
        arrays = read_arrays(path)
        size = int(array(arrays, "n_columns", "iu"))
        used = within(array(arrays, "used", "iu", None), "used", 0, size)
        if not 0 <= size < _MOST_COLUMNS or (n_columns is not None and size != n_columns):
            raise ValueError(f"it has {size} columns")
        coefficients = np.zeros(size, dtype=np.float32)
        coefficients[used] = array(arrays, "value", "f", len(used))
        text = array(arrays, "trees", "u", None).astype(np.uint8).tobytes().decode("utf-8")
        table = check_trees(text)
        if n_table is not None and table != n_table:
            raise ValueError(f"its trees read {table} columns, not {n_table}")
        level = float(array(arrays, "level", "f"))
        return Member(coefficients, level, lgb.Booster(model_str=text), array(arrays, "item_weight", "f", None))
    except SavedError as error:
        raise ModelError(str(error)) from error
    except (ValueError, lgb.basic.LightGBMError) as error:
        raise ModelError(damaged(path, str(error).splitlines()[0], AGAIN)) from error


def _text(booster: lgb.Booster) -> str:
    return booster.model_to_string(num_iteration=booster.best_iteration if booster.best_iteration > 0 else None)


def _as_saved(member: Member) -> Member:
    """The member as it would come back from disk, so that a continued fit equals an uninterrupted one."""
    booster = lgb.Booster(model_str=_text(member.booster))
    return Member(member.coefficients, member.level, booster, member.item_weight)
