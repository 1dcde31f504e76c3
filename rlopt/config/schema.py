"""JSON Schema of a preset, for editors: completion, help and what is wrong while one types."""

from typing import Any

from .presets import LOG_KEYS, STAGES

NAMES = {"type": ["object", "null"], "additionalProperties": True}


def preset_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a YAML preset: ``columns``, ``exclude`` and one section a stage."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rlopt preset",
        "type": "object",
        "properties": {
            **dict.fromkeys(LOG_KEYS, NAMES),
            **{section: {"anyOf": [_section(section), {"type": "null"}]} for section in STAGES},
        },
        "additionalProperties": False,
    }


def _section(section: str) -> dict[str, Any]:
    found = STAGES[section].model_json_schema()
    for field in found["properties"].values():
        for ours in ("what", "none", "metavar", "flag"):  # of command line options
            field.pop(ours, None)
    return found
