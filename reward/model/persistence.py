"""Reward models on disk: meta.json, arrays.npz and one .npz a member. Nothing in a folder is ever executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..encoders.encoder import open_encoder
from ..features.support import Support
from ..features.transformer import TitleFeatures
from ..plain import JsonObject
from ..saved_models import POLICY_ENCODER, model_damage, read_state, write_state
from .calibration import EnsembleSpread, Platt
from .design import Design
from .effect import Basis
from .ensemble import load_member, save_member
from .item_context import ItemContext
from .linear import Noise
from .outcome import Outcome
from .shapes import ModelShape
from .soundness import check_design, check_features, check_outcome

FORMAT = 4
INFINITE = ("guard.low",)
Arrays = dict[str, npt.NDArray[Any]]


def save_model(
    folder: Path, features: TitleFeatures, outcomes: Mapping[str, Outcome], settings: Mapping[str, Any]
) -> None:
    """Write a reward model into ``folder``, which exists and is empty."""
    feature_meta, arrays = features.state()
    meta: JsonObject = {"format": FORMAT, "features": feature_meta, "settings": dict(settings), "outcomes": {}}
    for name, outcome in outcomes.items():
        meta["outcomes"][name], own = _outcome_state(outcome)
        arrays |= {f"{name}/{key}": value for key, value in own.items()}
        for k, member in enumerate(outcome.members):
            save_member(member, folder / f"{name}-{k}.npz")
    write_state(folder, meta, arrays)


def load_model(
    folder: str | Path, encodings: Path | None = None
) -> tuple[TitleFeatures, dict[str, Outcome], JsonObject]:
    """Features, outcomes and settings written by `save_model`.

    Raises
    ------
    ModelError
        If the folder holds no model, a damaged one, or one of another format, or its encoder is gone or another.
    """
    meta, arrays = read_state(folder, FORMAT, ModelShape, infinite=INFINITE)
    folder = Path(folder)
    with model_damage(folder):
        features = load_features(folder, meta["features"], arrays, encodings)
        outcomes = {name: _outcome(name, data, arrays, features, folder) for name, data in meta["outcomes"].items()}
        return features, outcomes, meta["settings"]


def load_features(folder: str | Path, meta: Mapping[str, Any], arrays: Arrays, encodings: Path | None) -> TitleFeatures:
    """Transformer of a model folder, with the encoder it was fitted with.

    Parameters
    ----------
    folder
        The model's; the copy of the run's own language model lies beside it.
    meta, arrays
        Result of `TitleFeatures.state`.
    encodings
        File that keeps encodings between processes.
    """
    wanted = meta.get("meaning")
    if wanted is None:
        return _checked(TitleFeatures.from_state(meta, arrays))
    encoder = open_encoder(
        str(wanted["encoder"]),
        policy=Path(folder).parent / POLICY_ENCODER,
        cache=encodings,
        fingerprint=str(wanted["fingerprint"]),
    )
    return _checked(TitleFeatures.from_state(meta, arrays, encoder))


def _checked(features: TitleFeatures) -> TitleFeatures:
    check_features(features)
    return features


def _outcome_state(outcome: Outcome) -> tuple[JsonObject, Arrays]:
    context_meta, context = outcome.context.state()
    meta = {
        "members": len(outcome.members),
        "design": outcome.basis.design.to_json(),
        "level": outcome.basis.level,
        "noise": [outcome.basis.noise.overdispersion, outcome.basis.noise.title_variance],
        "slope": outcome.slope,
        "spread": [outcome.spread.scale, outcome.spread.rest],
        "pace": outcome.pace,
        "platt": [outcome.platt.intercept, outcome.platt.slope],
        "context_std": outcome.context_std,
        "context": context_meta,
        "known": sorted(outcome.known, key=outcome.known.__getitem__),
    }
    arrays: Arrays = {"coefficients": outcome.basis.coefficients, "intercepts": outcome.intercepts}
    arrays |= {f"context.{name}": value for name, value in context.items()}
    arrays |= {f"guard.{name}": value for name, value in outcome.logged_range.state().items()}
    return meta, arrays


def _outcome(name: str, meta: Mapping[str, Any], arrays: Arrays, features: TitleFeatures, folder: Path) -> Outcome:
    own = {key[len(name) + 1 :]: value for key, value in arrays.items() if key.startswith(f"{name}/")}
    design = Design.from_json(meta["design"])
    check_design(design, features)
    width = check_outcome(meta, own, design, features)
    basis = Basis(
        features,
        design,
        own["coefficients"],
        float(meta["level"]),
        Noise(*map(float, meta["noise"])),
    )
    return Outcome(
        basis,
        tuple(
            load_member(folder / f"{name}-{k}.npz", width, len(basis.table_names)) for k in range(int(meta["members"]))
        ),
        float(meta["slope"]),
        EnsembleSpread(*map(float, meta["spread"])),
        Support.from_state(_part(own, "guard.")),
        float(meta["pace"]),
        ItemContext.from_state(meta["context"], _part(own, "context.")),
        Platt(*map(float, meta["platt"])),
        float(meta["context_std"]),
        {str(item_id): i for i, item_id in enumerate(meta["known"])},
        own["intercepts"],
    )


def _part(arrays: Arrays, prefix: str) -> Arrays:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
