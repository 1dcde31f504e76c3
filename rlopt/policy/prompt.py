"""Prompts and targets: how an item is shown to a language model, and how its answer becomes a title.

Two renderings of one interface: slots for the embedded tiny policy, plain text for pretrained models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from reward.encoders.data_tokens import Part
from reward.items import Item
from reward.plain import JsonObject
from reward.text import clean

from .slots import Slots

PROMPT_END = "<|title|>"
CURRENT_TITLE = "<|current|>"
MAX_FIELD_CHARS = 400
MAX_PROMPT_TOKENS = 384
INSTRUCTIONS = {"generate": "Write a title for this item.", "optimize": "Write a better title for this item."}
Task = Literal["generate", "optimize"]


class Renderer(Protocol):
    """Renderer that turns an item into model input and model output into a title."""

    def prompt(self, item: Item) -> str:
        """Text the model continues."""

    def parts(self, item: Item) -> list[Part]:
        """The same text in parts, with data marked as such."""

    def target(self, item: Item, title: str) -> str:
        """The continuation that spells ``title``, without the end-of-sequence token."""

    def title(self, item: Item, completion: str) -> str:
        """The title that ``completion`` spells for ``item``; inverse of `target`."""

    def to_dict(self) -> JsonObject:
        """JSON-ready description; `rlopt.policy.renderers` reads it back."""

    @property
    def control_in_titles(self) -> Sequence[str]:
        """Added tokens of the tokenizer that `target` may hold; any other is data that looks like one."""

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
        return "".join(part.text for part in self.parts(item))

    def parts(self, item: Item) -> list[Part]:
        """The same text; the current title is data."""
        parts = [Part(self.slots.describe(item), control=True)]
        if self.task == "optimize" and item.current_title:
            parts += [
                Part(CURRENT_TITLE, control=True),
                Part(self.target(item, self.slots.without_tokens(item.current_title))),
            ]
        return [*parts, Part(PROMPT_END, control=True)]

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
    def control_in_titles(self) -> Sequence[str]:
        """The slots, each alone and after a blank."""
        return [spelling for token in self.slots.vocabulary for spelling in (token, " " + token)]

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
        Text that a chat template puts around a user's message (`rlopt.policy.chat.chat_frame`); empty for models that
        continue text.
    marks
        Marks of turns in the template; a blank breaks them where an item's text holds one.
    task
        With "optimize" the last line before the answer is the item's current title, where it has one.
    """

    instruction: str = INSTRUCTIONS["generate"]
    fields: tuple[str, ...] = ()
    max_field_chars: int = MAX_FIELD_CHARS
    before: str = ""
    after: str = ""
    task: Task = "generate"
    marks: tuple[str, ...] = ()

    def prompt(self, item: Item) -> str:
        """Instruction, one line a field (cut to ``max_field_chars``), and ``Title:`` or the chat's frame."""
        return "".join(part.text for part in self.parts(item))

    def parts(self, item: Item) -> list[Part]:
        """The same text; its lines are data."""
        return self.ask([self.instruction, *self.about(item)])

    def about(self, item: Item) -> list[str]:
        """Lines of the prompt about the item, one a field."""
        names = self.fields or tuple(item.fields)
        said = [(name, ", ".join(item.fields[name])) for name in names if name in item.fields]
        if self.task == "optimize" and item.current_title:
            said.append(("Current title", item.current_title))
        return [f"{clean(name)}: {clean(value)[: self.max_field_chars]}" for name, value in said]

    def ask(self, lines: Sequence[str]) -> list[Part]:
        """The prompt that holds ``lines``."""
        message = [Part(self._broken(line)) for line in lines]
        broken = [part for line in message for part in (Part("\n", control=True), line)]
        if self.after:
            return [Part(self.before, control=True), *broken[1:], Part(self.after, control=True)]
        return [*broken[1:], Part("\nTitle:", control=True)]

    def _broken(self, line: str) -> str:
        """The line with a blank in each mark of the chat: some are no tokens, and no tokenizer tells them from text."""
        for mark in self.marks:
            while mark in line:
                line = line.replace(mark, f"{mark[0]} {mark[1:]}")
        return line

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
            "marks": list(self.marks),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TextRenderer":
        """Renderer written by `to_dict`."""
        frame = str(data.get("before", "")), str(data.get("after", ""))
        marks = tuple(map(str, data.get("marks", ())))
        return cls(data["instruction"], tuple(data["fields"]), int(data["max_field_chars"]), *frame, _task(data), marks)

    @property
    def control_in_titles(self) -> Sequence[str]:
        """No control tokens."""
        return ()

    @property
    def max_prompt_tokens(self) -> int:
        """Longer prompts lose their beginning."""
        return MAX_PROMPT_TOKENS


def _task(data: Mapping[str, Any]) -> Task:
    task: Task = data.get("task", "generate")
    if task not in INSTRUCTIONS:
        raise ValueError(f"renderer task must be 'generate' or 'optimize'. Got {task!r}.")
    return task
