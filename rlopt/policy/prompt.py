"""Prompts and targets: how an item is shown to a language model, and how its answer becomes a title.

Two renderings of one interface: slots for the embedded tiny policy, plain text for pretrained models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from reward.items import Item
from reward.text import clean
from rlopt.errors import PolicyError

from .slots import Slots

PROMPT_END = "<|title|>"
MAX_FIELD_CHARS = 400
DEFAULT_INSTRUCTION = "Write a title for this item."


class Renderer(Protocol):
    """What a policy needs to turn an item into model input and model output into a title."""

    def prompt(self, item: Item) -> str:
        """Text the model continues."""

    def target(self, item: Item, title: str) -> str:
        """The continuation that spells ``title``, without the end-of-sequence token."""

    def title(self, item: Item, completion: str) -> str:
        """The title that ``completion`` spells for ``item``; inverse of `target`."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description; `renderer_from_dict` reads it back."""


@dataclass(frozen=True)
class SlotRenderer:
    """Slots in the prompt and in the title (embedded tiny policy)."""

    slots: Slots

    def prompt(self, item: Item) -> str:
        """Each slot the item has, the kind of item spelled out, then the end-of-prompt token."""
        return self.slots.describe(item) + PROMPT_END

    def target(self, item: Item, title: str) -> str:
        """``title`` with the item's values as slots."""
        return self.slots.delexicalise(item, clean(title))

    def title(self, item: Item, completion: str) -> str:
        """``completion`` with its slots filled from the item."""
        return self.slots.fill(item, completion)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"kind": "slots", **self.slots.to_dict()}


@dataclass(frozen=True)
class TextRenderer:
    """Plain text for pretrained models: an instruction, one ``field: value`` line a field, then ``Title:``.

    Parameters
    ----------
    instruction
        First line of the prompt.
    fields
        The fields to show, in this order; empty shows all of them.
    max_field_chars
        Longer fields are cut.
    before, after
        What a chat template puts around a user's message (`chat_frame`); empty for models that continue text.
    """

    instruction: str = DEFAULT_INSTRUCTION
    fields: tuple[str, ...] = ()
    max_field_chars: int = MAX_FIELD_CHARS
    before: str = ""
    after: str = ""

    def prompt(self, item: Item) -> str:
        """Instruction, one line a field (cut to ``max_field_chars``), and ``Title:`` or the chat's frame."""
        names = self.fields or tuple(item.fields)
        lines = [
            f"{clean(name)}: {clean(', '.join(item.fields[name]))[: self.max_field_chars]}"
            for name in names
            if name in item.fields
        ]
        if self.after:
            # an item's text must not be able to end the user's turn
            message = "\n".join([self.instruction, *lines]).replace("<|", "< |").replace("|>", "| >")
            return f"{self.before}{message}{self.after}"
        return "\n".join([self.instruction, *lines, "Title:"])

    def target(self, item: Item, title: str) -> str:
        """A blank and the title; in a chat the title alone."""
        return clean(title) if self.after else " " + clean(title)

    def title(self, item: Item, completion: str) -> str:
        """First line of the completion, cleaned."""
        return clean(completion.strip().split("\n", 1)[0])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "kind": "text",
            "instruction": self.instruction,
            "fields": list(self.fields),
            "max_field_chars": self.max_field_chars,
            "before": self.before,
            "after": self.after,
        }


def chat_frame(tokenizer: Any) -> tuple[str, str]:
    """What the tokenizer's chat template puts before and after a user's message that is to be answered.

    Raises
    ------
    PolicyError
        When the tokenizer has no chat template, or it does not pass the message on as it is.
    """
    mark = "THE MESSAGE"
    if getattr(tokenizer, "chat_template", None) is None:
        raise PolicyError(
            "sft.chat needs an instruct model, and this one's tokenizer has no chat template. Leave sft.chat out."
        )
    text = str(
        tokenizer.apply_chat_template([{"role": "user", "content": mark}], add_generation_prompt=True, tokenize=False)
    )
    before, found, after = text.partition(mark)
    if not found or not after:
        raise PolicyError("sft.chat: the model's chat template does not frame a user's message. Leave sft.chat out.")
    start = tokenizer.bos_token
    if start and before.startswith(start) and tokenizer("")["input_ids"] == [tokenizer.bos_token_id]:
        before = before.removeprefix(start)  # the tokenizer puts it there itself
    return before, after


def renderer_from_dict(data: Mapping[str, Any]) -> Renderer:
    """Renderer written by ``to_dict``.

    Raises
    ------
    ValueError
        For an unknown kind.
    """
    if data["kind"] == "slots":
        return SlotRenderer(Slots.from_dict(data))
    if data["kind"] == "text":
        frame = str(data.get("before", "")), str(data.get("after", ""))
        return TextRenderer(data["instruction"], tuple(data["fields"]), int(data["max_field_chars"]), *frame)
    raise ValueError(f"renderer kind must be 'slots' or 'text'. Got {data['kind']!r}.")
