"""Titles written by vLLM (Kwon et al. 2023, "Efficient memory management for large language model serving with
PagedAttention"): for pretrained policies on a GPU, where it is installed.

Only its documented interface is used: ``LLM.generate`` with token prompts, ``SamplingParams``, log-probabilities. Rules
are not asked while it writes; whoever takes its titles checks them. It was tested here against a stand-in of that
interface, not on a GPU.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from reward.items import Item
from rlopt.config import Decoding
from rlopt.errors import PolicyError

from .constraints import Constraints
from .prefix import CONFIG_FILE
from .prompt import SlotRenderer
from .title_policy import GeneratedTitle, data_tokens, encode, read_spec


class VllmWriter:
    """A saved policy of plain text in vLLM.

    Parameters
    ----------
    folder
        Folder that `TitlePolicy.save` wrote.

    Raises
    ------
    PolicyError
        If vLLM is not installed, or the policy is one of slots or of a prefix.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self.renderer, self.max_title_tokens = read_spec(folder)
        if isinstance(self.renderer, SlotRenderer) or (folder / CONFIG_FILE).exists():
            raise PolicyError(
                f"--engine vllm runs plain causal language models, and {folder} writes through "
                f"{'slots' if isinstance(self.renderer, SlotRenderer) else 'a learned prefix'}. Leave --engine out."
            )
        try:
            self._vllm: Any = import_module("vllm")
        except ImportError as error:
            raise PolicyError(
                "--engine vllm needs the package vllm, which is not installed here. "
                "Leave --engine out, or on a machine with a GPU: pip install vllm"
            ) from error
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self._tokens = data_tokens(self.tokenizer, self.renderer)
        self._llm = self._vllm.LLM(model=str(folder))

    def write(
        self, items: Sequence[Item], n: int, how: Decoding, constraints: Constraints | None = None
    ) -> list[list[GeneratedTitle]]:
        """Write titles as `TitlePolicy.write`; vLLM makes its own batches and ignores ``constraints``.

        Raises
        ------
        PolicyError
            For beams, and at temperatures other than 0 and 1: vLLM's log-probabilities are those at temperature 1.
        """
        if how.beams > 1 or how.temperature not in (0.0, 1.0):
            raise PolicyError(
                f"--engine vllm samples at temperature 1, or takes the likeliest words at 0. "
                f"Got temperature {how.temperature:g} and {how.beams} beams. Leave --engine out for these."
            )
        seeds = np.random.SeedSequence(how.seed).generate_state(max(1, len(items))).tolist()
        settings = [
            self._vllm.SamplingParams(
                n=n,
                temperature=how.temperature,
                top_p=how.top_p,
                max_tokens=self.max_title_tokens,
                logprobs=0,
                seed=one,
            )
            for one in seeds[: len(items)]
        ]
        prompts = [{"prompt_token_ids": ids} for ids in encode(self._tokens, self.renderer, items)]
        found = self._llm.generate(prompts, settings, use_tqdm=False) if prompts else []
        return [[self._title(item, one) for one in out.outputs] for item, out in zip(items, found, strict=True)]

    def _title(self, item: Item, output: Any) -> GeneratedTitle:
        ids = tuple(output.token_ids)
        log_prob = sum(step[token].logprob for token, step in zip(ids, output.logprobs, strict=True))
        text = self.renderer.title(item, str(self.tokenizer.decode(list(ids), skip_special_tokens=True)))
        return GeneratedTitle(text, float(log_prob), output.finish_reason == "stop", ids)
