"""Members of an ensemble on disk: fitted one by one, saved one by one, so that an interrupted fit continues."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import lightgbm as lgb
import numpy as np

from ..errors import ModelError
from .boosting import TreeFitter, fit_trees
from .effect import Member, TrainingSet, fit_member

Progress = Callable[[str, float], None]


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


def load_member(path: Path) -> Member:
    """Member written by `save_member`.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or not a member.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            coefficients = np.zeros(int(arrays["n_columns"]), dtype=np.float32)
            coefficients[arrays["used"]] = arrays["value"]
            booster = lgb.Booster(model_str=arrays["trees"].tobytes().decode("utf-8"))
            return Member(coefficients, float(arrays["level"]), booster, arrays["item_weight"])
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile, lgb.basic.LightGBMError) as error:
        raise ModelError(
            f"{path} is not a readable model member ({error}). Delete the folder and run rlopt fit-reward again."
        ) from error


def _text(booster: lgb.Booster) -> str:
    return booster.model_to_string(num_iteration=booster.best_iteration if booster.best_iteration > 0 else None)


def _as_saved(member: Member) -> Member:
    """The member as it would come back from disk, so that a continued fit equals an uninterrupted one."""
    booster = lgb.Booster(model_str=_text(member.booster))
    return Member(member.coefficients, member.level, booster, member.item_weight)
