"""TitlePolicy: a causal language model that writes titles for items, and says how likely it finds a title."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase

from reward.arrays import FloatArray
from reward.encoders.data_tokens import DataTokens
from reward.items import Item
from rlopt.config import Decoding, load
from rlopt.config.learning import TITLES_MAX_TOKENS
from rlopt.errors import PolicyError

from .constraints import Constraints
from .decoding import Completion, sample
from .drafts import Draft, DraftStream, uniform_numbers, write
from .prefix import BASE, CONFIG_FILE, Prefix
from .pretrained import load_causal_lm
from .prompt import Renderer, SlotRenderer
from .renderers import renderer_from_dict
from .rules_while_writing import RuledBeams, RulesWhileWriting
from .scoring import completion_log_softmax, left_pad, right_pad, score_tokens, token_kl
from .slot_mask import OpenSlotsOnly, SlotMask

POLICY_FILE = "policy.json"


@dataclass(frozen=True)
class GeneratedTitle:
    """One sampled title.

    Parameters
    ----------
    text
        The title as a shopper sees it (slots filled).
    log_prob
        Log-probability in nats of the sampled tokens, end of sentence included, at the sampling temperature and before
        ``top_p`` and constraints.
    finished
        False where the length limit cut the title off.
    token_ids
        The sampled tokens.
    stopped_by
        Kinds of the rules that changed what was written.
    """

    text: str
    log_prob: float
    finished: bool
    token_ids: tuple[int, ...]
    stopped_by: tuple[str, ...] = ()


class TitleWriter(Protocol):
    """Writer of titles, on whatever engine."""

    renderer: Renderer

    def write(
        self, items: Sequence[Item], n: int, how: Decoding, constraints: Constraints | None = None
    ) -> list[list[GeneratedTitle]]:
        """``n`` titles per item, in the items' order."""


class TitlePolicy:
    """A language model, its tokenizer and its renderer.

    Parameters
    ----------
    model, tokenizer
        Any transformers causal language model. With slots it never writes one that the item lacks
        (`rlopt.policy.slot_mask`).
    renderer
        Renderer of items as prompts and completions as titles.
    max_title_tokens
        Generation stops after this many tokens.
    prefix
        Prefix learned by prefix tuning; ``model`` reads it before every prompt from now on.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        renderer: Renderer,
        max_title_tokens: int = TITLES_MAX_TOKENS,
        prefix: Prefix | None = None,
    ) -> None:
        if prefix is not None:
            prefix.attach(model)
        self.prefix = prefix
        self.model = model
        self.tokenizer = tokenizer
        self.renderer = renderer
        self.max_title_tokens = max_title_tokens
        self.slot_mask = SlotMask(renderer.slots, tokenizer) if isinstance(renderer, SlotRenderer) else None

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "TitlePolicy":
        """Policy saved by `save`.

        Raises
        ------
        PolicyError
            If the folder is missing, incomplete or damaged.
        """
        folder = Path(folder)
        renderer, max_title_tokens = read_spec(folder)
        prefix = Prefix.load(folder) if (folder / CONFIG_FILE).exists() else None
        model, tokenizer = load_causal_lm(str(folder / BASE if prefix else folder))
        if device is not None and model.device != torch.device(device):  # quantised ones find it themselves
            model.to(device)  # type: ignore[arg-type]
        return cls(model, tokenizer, renderer, max_title_tokens, prefix)

    def save(self, folder: str | Path) -> None:
        """Write a plain Hugging Face folder (safetensors, tokenizer) and `POLICY_FILE` into an existing folder.

        With a prefix it is peft's folder, and the plain one is ``base/`` in it.
        """
        folder = Path(folder)
        plain = folder
        if self.prefix is not None:
            self.prefix.save(folder)
            self.tokenizer.save_pretrained(folder)
            plain = folder / BASE
        self.model.save_pretrained(plain)
        self.tokenizer.save_pretrained(plain)
        spec = {"renderer": self.renderer.to_dict(), "max_title_tokens": self.max_title_tokens}
        (folder / POLICY_FILE).write_text(json.dumps(spec, ensure_ascii=False, indent=1), encoding="utf-8")

    def prompt_ids(self, items: Sequence[Item]) -> list[list[int]]:
        """Token ids of each item's prompt; the oldest tokens of a too long prompt are dropped."""
        return encode(self._tokens, self.renderer, items)

    def target_ids(self, item: Item, title: str) -> list[int]:
        """Token ids that spell ``title`` for ``item``, then end of sentence.

        A title past the length limit is cut there and has no end, like one that is written up to the limit.
        """
        ids = self._tokens.data(self.renderer.target(item, title))
        return [*ids, self._eos_id][: self.max_title_tokens]

    def generate(
        self, items: Sequence[Item], n: int = 1, *, constraints: Constraints | None = None, **how: Any
    ) -> list[list[GeneratedTitle]]:
        """``n`` titles per item, in the items' order. Same seed, same machine, same titles.

        Parameters
        ----------
        constraints
            Rules that already hold while a title is written, as far as they can (`rlopt.policy.rules_while_writing`).
        how
            Fields of `rlopt.config.Decoding`: ``temperature``, ``top_p``, ``beams``, ``seed``, ``batch_size``.

        Raises
        ------
        ConfigError
            For an unknown field, or a value out of its range.
        PolicyError
            If more titles per item are asked for than there are beams.
        """
        return self.write(items, n, load(Decoding, overrides=how), constraints)

    def write(
        self, items: Sequence[Item], n: int, how: Decoding, constraints: Constraints | None = None
    ) -> list[list[GeneratedTitle]]:
        """Write titles for other code of rlopt; `generate` is for users."""
        if 1 < how.beams < n:
            raise PolicyError(
                f"Beam search with {how.beams} beams gives at most {how.beams} titles per item. Got n={n}."
            )
        if how.beams > 1:
            return self._beam_titles(items, n, how, constraints)
        prompts = self.prompt_ids(items)
        numbers = uniform_numbers(len(items) * n, self.max_title_tokens, how.seed)
        drafts = [Draft(k // n, prompts[k // n], row) for k, row in enumerate(numbers)]
        rules = RulesWhileWriting(constraints, self.renderer, self.tokenizer) if constraints is not None else None
        write(
            drafts,
            lambda batch: self._complete(batch, how),
            lambda batch: self._spell([items[draft.item] for draft in batch], [draft.ids for draft in batch]),
            lambda draft: rules.ruling(items[draft.item], draft.ids, draft.text) if rules is not None else None,
            self._eos_id,
            how.batch_size,
        )
        titles = [self._title(d.text, d.ids, sum(d.log_probs), d.stopped_by) for d in drafts]
        return [titles[k : k + n] for k in range(0, len(titles), n)]

    def log_prob(
        self, items: Sequence[Item], titles: Sequence[str], batch_size: int = 256, *, temperature: float = 1.0
    ) -> FloatArray:
        """Log-probability in nats of each title for its item, shape (n,).

        Of one past the length limit it is that of the tokens up to there.
        """
        targets = [self.target_ids(item, title) for item, title in zip(items, titles, strict=True)]
        return self.log_prob_of_tokens(items, targets, temperature=temperature, batch_size=batch_size)

    def log_prob_of_tokens(
        self,
        items: Sequence[Item],
        completions: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        batch_size: int = 256,
    ) -> FloatArray:
        """Log-probability in nats of each completion (token ids, end of sentence included), shape (n,)."""
        prompts = self.prompt_ids(items)
        out = np.zeros(len(prompts))
        for rows in _by_length(prompts, completions, batch_size):
            out[rows] = self._log_probs([prompts[i] for i in rows], [completions[i] for i in rows], temperature)
        return out

    def kl_to(
        self,
        reference: "TitlePolicy",
        items: Sequence[Item],
        completions: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        batch_size: int = 128,
    ) -> FloatArray:
        """KL(self || reference) in nats per title along completions sampled from self, shape (n,); never negative.

        The per-token divergences (`rlopt.policy.scoring.token_kl`) are summed along the sampled path.
        """
        prompts = self.prompt_ids(items)
        out = np.zeros(len(prompts))
        with torch.inference_mode():
            for rows in _by_length(prompts, completions, batch_size):
                ids, mask, width, completion_mask = self._tensors(
                    [prompts[i] for i in rows], [completions[i] for i in rows]
                )
                p = completion_log_softmax(self.model, ids, mask, width, temperature, self.slot_mask)
                q = completion_log_softmax(reference.model, ids, mask, width, temperature, reference.slot_mask)
                out[rows] = (token_kl(p, q) * completion_mask).sum(-1).cpu().numpy()
        return out

    @cached_property
    def _tokens(self) -> DataTokens:
        return data_tokens(self.tokenizer, self.renderer)

    @property
    def _eos_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def _title(self, text: str, ids: Sequence[int], log_prob: float, stopped_by: Iterable[str] = ()) -> GeneratedTitle:
        return GeneratedTitle(text, float(log_prob), ids[-1] == self._eos_id, tuple(ids), tuple(stopped_by))

    def _spell(self, items: Sequence[Item], ids: Sequence[Sequence[int]]) -> list[str]:
        """The titles that token ids stand for."""
        texts = self.tokenizer.batch_decode([list(row) for row in ids], skip_special_tokens=True)
        return [self.renderer.title(item, text) for item, text in zip(items, texts, strict=True)]

    def _complete(self, drafts: Sequence[Draft], how: Decoding) -> list[Completion]:
        stream = DraftStream(drafts, self.model.device)
        with torch.inference_mode():
            return sample(
                self.model,
                [draft.prompt for draft in drafts],
                max_new_tokens=len(stream),
                eos_id=self._eos_id,
                pad_id=int(self.tokenizer.pad_token_id),
                stream=stream,
                temperature=how.temperature,
                top_p=how.top_p,
                slot_mask=self.slot_mask,
                begun=[draft.ids for draft in drafts],
                refused=[draft.refused for draft in drafts],
            )

    def _beam_titles(
        self, items: Sequence[Item], n: int, how: Decoding, constraints: Constraints | None
    ) -> list[list[GeneratedTitle]]:
        """The ``n`` best beams of each item, by transformers' beam search."""
        prompts = self.prompt_ids(items)
        out: list[list[GeneratedTitle]] = [[] for _ in items]
        # Said in full: what is left out here transformers takes from the generation config saved with the model.
        config = GenerationConfig(
            max_new_tokens=self.max_title_tokens,
            eos_token_id=self._eos_id,
            pad_token_id=int(self.tokenizer.pad_token_id),
            do_sample=False,
            num_beams=how.beams,
            num_return_sequences=n,
            early_stopping=True,
        )
        self.model.eval()
        for rows in _by_length(prompts, [[]] * len(prompts), max(1, how.batch_size // how.beams)):
            ids, mask = left_pad([prompts[i] for i in rows], int(self.tokenizer.pad_token_id))
            owners = [items[i] for i in rows]
            processors = LogitsProcessorList()
            if self.slot_mask is not None:
                processors.append(OpenSlotsOnly(self.slot_mask, ids.shape[1]))
            if constraints is not None:
                rules = RulesWhileWriting(constraints, self.renderer, self.tokenizer)
                processors.append(RuledBeams(rules, owners, ids.shape[1], how.beams, self._eos_id))
            with torch.inference_mode():
                found = self.model.generate(  # type: ignore[operator]  # a mixin of every causal language model
                    input_ids=ids.to(self.model.device),
                    attention_mask=mask.to(self.model.device),
                    generation_config=config,
                    logits_processor=processors,
                )
            written = [self._until_eos(row) for row in found[:, ids.shape[1] :].tolist()]
            log_probs = self._log_probs([prompts[i] for i in rows for _ in range(n)], written, 1.0)
            texts = self._spell([item for item in owners for _ in range(n)], written)
            for k, (text, row, log_prob) in enumerate(zip(texts, written, log_probs, strict=True)):
                out[rows[k // n]].append(self._title(text, row, log_prob))
        return out

    def _until_eos(self, row: list[int]) -> list[int]:
        return row[: row.index(self._eos_id) + 1] if self._eos_id in row else row

    def _log_probs(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], temperature: float
    ) -> FloatArray:
        self.model.eval()
        with torch.inference_mode():
            ids, mask, width, completion_mask = self._tensors(prompts, completions)
            scores = score_tokens(self.model, ids, mask, width, temperature=temperature, slot_mask=self.slot_mask)
            total: FloatArray = (scores.log_probs * completion_mask).sum(-1).double().cpu().numpy()
        return total

    def _tensors(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
    ) -> tuple[torch.Tensor, torch.Tensor, int, torch.Tensor]:
        pad_id, device = int(self.tokenizer.pad_token_id), self.model.device
        prompt_ids, prompt_mask = left_pad(prompts, pad_id)
        completion_ids, completion_mask = right_pad(completions, pad_id)
        ids = torch.cat([prompt_ids, completion_ids], dim=1).to(device)
        mask = torch.cat([prompt_mask, completion_mask], dim=1).to(device)
        return ids, mask, completion_ids.shape[1], completion_mask.to(device)


def read_alike(one: TitlePolicy, other: TitlePolicy) -> bool:
    """True if two policies have the same tokens and ask for an item's title in the same words."""
    same_tokens = one.tokenizer.get_vocab() == other.tokenizer.get_vocab()
    return same_tokens and one.renderer.to_dict() == other.renderer.to_dict()


def _by_length(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], batch_size: int
) -> Iterator[list[int]]:
    """Positions in batches of similar length, so that little is padded."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(completions[i]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def read_spec(folder: Path) -> tuple[Renderer, int]:
    """Renderer and longest title in tokens of a saved policy.

    Raises
    ------
    PolicyError
        If the folder holds none.
    """
    try:
        spec = json.loads((folder / POLICY_FILE).read_text(encoding="utf-8"))
        return renderer_from_dict(spec["renderer"]), int(spec["max_title_tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(
            f"{folder} is not a title policy: {POLICY_FILE} is missing or damaged ({error}). Train it again."
        ) from error


def data_tokens(tokenizer: PreTrainedTokenizerBase, renderer: Renderer) -> DataTokens:
    """Tokeniser of items and titles that accepts no control token but the renderer's."""
    return DataTokens(tokenizer, renderer.control_in_titles)


def encode(tokens: DataTokens, renderer: Renderer, items: Sequence[Item]) -> list[list[int]]:
    """Token ids of each item's prompt; the oldest tokens of a too long prompt are dropped."""
    return [ids[-renderer.max_prompt_tokens :] for ids in tokens.prompts([renderer.parts(item) for item in items])]
