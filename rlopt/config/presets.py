"""Precedence of settings: defaults < the run's preset < the YAML file < flags.

An unknown key is an error with a suggestion, and all errors of a file come in one message.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from reward.features.phraselist import is_file
from reward.yaml_files import read_yaml
from rlopt.errors import ConfigError

from .abtests import AbAnalyzeConfig, AbConfig, AbPlanConfig
from .base import StageConfig
from .evaluation import CompareConfig, EvalConfig, ProbeConfig, TextConfig
from .exploring import ExploreConfig
from .exporting import ExportConfig
from .learning import PpoConfig, RewardConfig, SftConfig
from .preset_files import preset_file
from .reviewing import ReviewConfig
from .serving import ServeConfig
from .tagging import ShortenConfig, TagConfig
from .writing import GenerateConfig, RulesConfig, SimulateConfig

STAGES: dict[str, type[StageConfig]] = {
    model.section: model
    for model in (
        RewardConfig,
        SftConfig,
        PpoConfig,
        EvalConfig,
        CompareConfig,
        ProbeConfig,
        ReviewConfig,
        RulesConfig,
        GenerateConfig,
        ExploreConfig,
        ExportConfig,
        ServeConfig,
        TextConfig,
        TagConfig,
        ShortenConfig,
        SimulateConfig,
        AbConfig,
        AbPlanConfig,
        AbAnalyzeConfig,
    )
}
LOG_KEYS = ("columns", "exclude")
ConfigT = TypeVar("ConfigT", bound=StageConfig)


def load(
    model: type[ConfigT],
    path: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    preset: Mapping[str, Any] | None = None,
) -> ConfigT:
    """Settings of one stage.

    Parameters
    ----------
    model
        The stage's config class.
    path
        YAML preset with a section a stage, or the name of one of rlopt's; or None.
    overrides
        Field -> value from flags; None means "not given".
    preset
        The sections ``fit-reward`` kept in the run (`Run.preset`).

    Raises
    ------
    ConfigError
        For an unreadable file, unknown keys or values out of range: everything that is wrong, in one message.
    """
    values: dict[str, Any] = {}
    for sections in (preset or {}, read_preset(path) if path is not None else {}):
        for section in model.sections():
            values.update(sections.get(section) or {})
    values.update({name: value for name, value in (overrides or {}).items() if value is not None})
    problems = _problems(model, values)
    if problems:
        where = f" in {path}" if path is not None else ""
        raise ConfigError(f"Settings of '{model.section}'{where}: {'; '.join(problems)}.")
    return model(**values)


def read_preset(path: str | Path) -> dict[str, Any]:
    """A YAML preset with every section checked.

    Parameters
    ----------
    path
        The file (``columns``, ``exclude`` and one section a stage, `STAGES`), or the name of one of rlopt's presets.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML, or holds an unknown section, key or value.
    """
    path = preset_file(path)
    content = read_yaml(path, "config file", ConfigError)
    if content is None:
        return {}
    known = (*LOG_KEYS, *STAGES)
    if not isinstance(content, dict):
        raise ConfigError(f"Config file {path} must hold sections ({', '.join(known)}). Got {content!r:.60}.")
    problems = [f"{key!r} is not a section{_suggest(str(key), known)}" for key in content if key not in known]
    problems += [
        f"{key} must hold 'name: value' lines. Got {content[key]!r:.60}"
        for key in LOG_KEYS
        if not isinstance(content.get(key) or {}, dict)
    ]
    for section, config in STAGES.items():
        values = content.get(section)
        if values is not None and not isinstance(values, dict):
            problems.append(f"{section} must hold settings as 'name: value'. Got {values!r:.60}")
        elif values:
            problems += [f"{section}.{problem}" for problem in _problems(config, values)]
    if problems:
        raise ConfigError(f"Config file {path}: {'; '.join(problems)}.")
    return {
        section: _beside(Path(path).parent, values) if section in STAGES and values else values
        for section, values in content.items()
    }


def _beside(folder: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's settings, whose ``@FILE`` entries name files in the preset's folder where these are there."""
    return {
        name: [_found(folder, entry) for entry in value] if isinstance(value, list) else value
        for name, value in values.items()
    }


def _found(folder: Path, entry: Any) -> Any:
    if not isinstance(entry, str) or not is_file(entry):
        return entry
    file = folder / entry[1:]
    return f"@{file.resolve()}" if file.is_file() else entry


def _problems(model: type[StageConfig], values: Mapping[str, Any]) -> list[str]:
    """List the errors in ``values``, one phrase each."""
    try:
        model(**{str(key): value for key, value in values.items()})
    except ValidationError as error:
        return [_phrase(model, detail) for detail in error.errors()]
    return []


def _phrase(model: type[StageConfig], detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{name} is not a setting{_suggest(name, tuple(model.model_fields))}"
    rule = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    rule = rule.removeprefix("String should ") if rule.startswith("String should ") else f"be {rule}"
    return f"{name} must {rule}. Got {detail['input']!r:.60}"


def _suggest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else f" (known: {', '.join(known)})"
