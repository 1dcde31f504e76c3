"""Prompts with examples: a pretrained model writes titles from a few similar items and their titles, untrained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from reward.encoders.data_tokens import Part
from reward.items import Item
from reward.plain import JsonObject
from reward.text import clean
from rlopt.errors import PolicyError

from .prompt import TextRenderer

ITEM = "Item:"
NGRAMS = (2, 4)  # characters: works for languages without blanks as for others
MAX_FEATURES = 50_000


@dataclass(frozen=True)
class FewShotRenderer:
    """Puts the ``shots`` most similar of ``examples`` before each item.

    Similarity is the cosine of TF-IDF weighted character n-grams of the items' fields. An item is never its own
    example.

    Parameters
    ----------
    text
        Text of one item.
    shots
        Examples a prompt, at least one.
    examples
        Items with the title that is shown for them.
    """

    text: TextRenderer
    shots: int
    examples: tuple[tuple[Item, str], ...]

    def prompt(self, item: Item) -> str:
        """The instruction, the examples, the most similar one last, and the item."""
        return "".join(part.text for part in self.parts(item))

    def parts(self, item: Item) -> list[Part]:
        """The same text; its lines are data."""
        lines = [self.text.instruction]
        for example, title in self.nearest(item):
            lines += [ITEM, *self.text.about(example), f"Title: {clean(title)}"]
        return self.text.ask([*lines, ITEM, *self.text.about(item)])

    def nearest(self, item: Item) -> list[tuple[Item, str]]:
        """The examples for ``item``, the most similar one last."""
        vectorizer, rows = self._index
        similarity = (rows @ vectorizer.transform([item.text()]).T).toarray().ravel()
        own = np.array([example.item_id == item.item_id for example, _ in self.examples])
        order = np.argsort(-np.where(own, -np.inf, similarity), kind="stable")
        chosen = [i for i in order[: self.shots] if not own[i]]
        return [self.examples[i] for i in reversed(chosen)]

    def target(self, item: Item, title: str) -> str:
        """Target of the plain renderer."""
        return self.text.target(item, title)

    def title(self, item: Item, completion: str) -> str:
        """Title of the plain renderer."""
        return self.text.title(item, completion)

    @property
    def control_in_titles(self) -> Sequence[str]:
        """Control tokens of the plain renderer."""
        return self.text.control_in_titles

    @property
    def max_prompt_tokens(self) -> int:
        """Limit of the plain renderer, for each item in the prompt."""
        return self.text.max_prompt_tokens * (1 + self.shots)

    @cached_property
    def _index(self) -> tuple[TfidfVectorizer, Any]:
        vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=NGRAMS, max_features=MAX_FEATURES, sublinear_tf=True, dtype=np.float32
        )
        # the dashes: items without fields would leave no n-gram to learn
        texts = [f"{example.text()} --" for example, _ in self.examples]
        return vectorizer, vectorizer.fit_transform(texts)

    def to_dict(self) -> JsonObject:
        """JSON-ready description, the examples in it."""
        examples = [[example.to_json(), title] for example, title in self.examples]
        return {"kind": "few-shot", "shots": self.shots, "text": self.text.to_dict(), "examples": examples}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FewShotRenderer":
        """Renderer written by `to_dict`."""
        examples = tuple((Item.from_json(item), str(title)) for item, title in data["examples"])
        return cls(TextRenderer.from_dict(data["text"]), int(data["shots"]), examples)


def end_with_the_line(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the line break the token that ends a completion, in place, for whoever uses the saved folder.

    A model that was not trained to write titles does not end after one; what follows the line is no title.

    Raises
    ------
    PolicyError
        If the tokenizer has no token that is a line break.
    """
    ids = tokenizer("\n", add_special_tokens=False)["input_ids"]
    if not ids or str(tokenizer.decode([ids[-1]])) != "\n":
        raise PolicyError(
            "The model's tokenizer has no token for a line break, which ends a title that no training taught to end. "
            "Train the model (leave --shots out), or ask an instruct model in its chat template (sft: {chat: true})."
        )
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ids[-1])
    for config in (model.config, model.generation_config):
        if config is not None:
            config.eos_token_id = ids[-1]
