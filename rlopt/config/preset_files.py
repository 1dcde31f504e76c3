"""Location of presets: a file of the user, or one of those that come with rlopt, by its name."""

import difflib
from pathlib import Path

from rlopt.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def preset_folder() -> Path:
    """Folder of rlopt's own presets: inside the installed package, ``configs/`` beside it in a checkout."""
    packaged = _PACKAGE / "presets"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "configs"


def preset_names() -> list[str]:
    """Names of rlopt's own presets, sorted."""
    return sorted(file.stem for file in preset_folder().glob("*.yaml"))


def preset_file(preset: str | Path) -> Path:
    """The file that ``preset`` means; a file of that name goes before a preset of rlopt.

    Raises
    ------
    ConfigError
        If there is neither; the message lists the presets.
    """
    path, names = Path(preset), preset_names()
    if path.exists():
        return path
    if str(path) in names:
        return preset_folder() / f"{path}.yaml"
    near = difflib.get_close_matches(path.stem, names, n=1)
    meant = f" Did you mean the preset {near[0]}?" if near else ""
    raise ConfigError(f"There is no config file {path}.{meant} rlopt has the presets {', '.join(names)}.")
