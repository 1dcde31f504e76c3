"""All renderers, as a policy's folder describes them."""

from collections.abc import Mapping
from typing import Any

from .fewshot import FewShotRenderer
from .prompt import Renderer, SlotRenderer, TextRenderer

KINDS = {"slots": SlotRenderer, "text": TextRenderer, "few-shot": FewShotRenderer}


def renderer_from_dict(data: Mapping[str, Any]) -> Renderer:
    """Renderer written by its ``to_dict``.

    Raises
    ------
    ValueError
        For an unknown kind or task.
    """
    if data["kind"] not in KINDS:
        raise ValueError(f"renderer kind must be one of {', '.join(KINDS)}. Got {data['kind']!r}.")
    renderer: Renderer = KINDS[data["kind"]].from_dict(data)  # type: ignore[attr-defined]  # all have it
    return renderer
