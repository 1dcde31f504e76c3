"""Prompts and targets: how an item is shown to a language model, and how its answer becomes a title.

Two renderings of one interface: slots for the embedded tiny policy, plain text for pretrained models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from reward.items import Item
from reward.plain import JsonObject
from reward.text import clean
from rlopt.errors import PolicyError

from .slots import Slots

PROMPT_END = "<|title|>"
CURRENT_TITLE = "<|current|>"
MAX_FIELD_CHARS = 400
MAX_PROMPT_TOKENS = 384
INSTRUCTIONS = {"generate": "Write a title for this item.", "optimize": "Write a better title for this item."}
Task = Literal["generate", "optimize"]


class Renderer(Protocol):
    """What a policy needs to turn an item into model input and model output into a title."""

    def prompt(self, item: Item) -> str:
        """Text the model continues."""

    def target(self, item: Item, title: str) -> str:
        """The continuation that spells ``title``, without the end-of-sequence token."""

    def title(self, item: Item, completion: str) -> str:
        """The title that ``completion`` spells for ``item``; inverse of `target`."""

    def to_dict(self) -> JsonObject:
        """JSON-ready description; `rlopt.policy.renderers` reads it back."""

    @property
    def max_prompt_tokens(self) -> int:
        """Longer prompts lose their beginning."""


@dataclass(frozen=True)
class SlotRenderer:
    """Slots in the prompt and in the title (embedded tiny policy).

    With the task "optimize" the prompt also holds the item's current title, where it has one.
    """

    slots: Slots
    task: Task = "generate"

    def prompt(self, item: Item) -> str:
        """Each slot the item has, the kind of item spelled out, then the end-of-prompt token."""
        current = ""
        if self.task == "optimize" and item.current_title:
            current = CURRENT_TITLE + self.target(item, self.slots.without_tokens(item.current_title))
        return self.slots.describe(item) + current + PROMPT_END

    def target(self, item: Item, title: str) -> str:
        """``title`` with the item's values as slots."""
        return self.slots.delexicalise(item, clean(title))

    def title(self, item: Item, completion: str) -> str:
        """``completion`` with its slots filled from the item."""
        return self.slots.fill(item, completion)

    def to_dict(self) -> JsonObject:
        """JSON-ready description."""
        return {"kind": "slots", "task": self.task, **self.slots.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SlotRenderer":
        """Renderer written by `to_dict`."""
        return cls(Slots.from_dict(data), _task(data))

    @property
    def max_prompt_tokens(self) -> int:
        """Longer prompts lose their beginning."""
        return MAX_PROMPT_TOKENS


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
    task
        With "optimize" the last line before the answer is the item's current title, where it has one.
    """

    instruction: str = INSTRUCTIONS["generate"]
    fields: tuple[str, ...] = ()
    max_field_chars: int = MAX_FIELD_CHARS
    before: str = ""
    after: str = ""
    task: Task = "generate"

    def prompt(self, item: Item) -> str:
        """Instruction, one line a field (cut to ``max_field_chars``), and ``Title:`` or the chat's frame."""
        return self.ask([self.instruction, *self.about(item)])

    def about(self, item: Item) -> list[str]:
        """What is said of the item, a line a field."""
        names = self.fields or tuple(item.fields)
        said = [(name, ", ".join(item.fields[name])) for name in names if name in item.fields]
        if self.task == "optimize" and item.current_title:
            said.append(("Current title", item.current_title))
        return [f"{clean(name)}: {clean(value)[: self.max_field_chars]}" for name, value in said]

    def ask(self, lines: Sequence[str]) -> str:
        """The prompt that holds ``lines``."""
        if self.after:
            # an item's text must not be able to end the user's turn
            message = "\n".join(lines).replace("<|", "< |").replace("|>", "| >")
            return f"{self.before}{message}{self.after}"
        return "\n".join([*lines, "Title:"])

    def target(self, item: Item, title: str) -> str:
        """A blank and the title; in a chat the title alone."""
        return clean(title) if self.after else " " + clean(title)

    def title(self, item: Item, completion: str) -> str:
        """First line of the completion, cleaned."""
        return clean(completion.strip().split("\n", 1)[0])

    def to_dict(self) -> JsonObject:
        """JSON-ready description."""
        return {
            "kind": "text",
            "instruction": self.instruction,
            "fields": list(self.fields),
            "max_field_chars": self.max_field_chars,
            "before": self.before,
            "after": self.after,
            "task": self.task,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TextRenderer":
        """Renderer written by `to_dict`."""
        frame = str(data.get("before", "")), str(data.get("after", ""))
        return cls(data["instruction"], tuple(data["fields"]), int(data["max_field_chars"]), *frame, _task(data))

    @property
    def max_prompt_tokens(self) -> int:
        """Longer prompts lose their beginning."""
        return MAX_PROMPT_TOKENS


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


def _task(data: Mapping[str, Any]) -> Task:
    task: Task = data.get("task", "generate")
    if task not in INSTRUCTIONS:
        raise ValueError(f"renderer task must be 'generate' or 'optimize'. Got {task!r}.")
    return task
