"""vLLM as the writer: what it is asked and what becomes of its answer, against a stand-in of its interface."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from reward.items import Item
from rlopt.config import Decoding
from rlopt.errors import PolicyError
from rlopt.policy.prompt import Renderer, SlotRenderer, TextRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.policy.vllm_engine import VllmWriter

ITEMS = [Item(str(i), {"color": (("red", "blue")[i % 2],), "type": ("dress",)}) for i in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Renderer], Path]:
    """A policy as it is saved, with the renderer given."""
    slots = Slots.learn(ITEMS)
    tokenizer = build_tokenizer([TextRenderer().prompt(item) for item in ITEMS], slots)

    def save(renderer: Renderer) -> Path:
        policy = TitlePolicy(build_model(tokenizer, 0, hidden_size=32, layers=1, heads=2), tokenizer, renderer, 6)
        policy.save(tmp_path)
        return tmp_path

    return save


@dataclass
class Greedy:
    """``vllm.LLM`` that takes the likeliest tokens, whatever the settings."""

    model: str

    def __post_init__(self) -> None:
        self.policy = TitlePolicy.load(self.model)

    def generate(self, prompts: list[dict[str, list[int]]], settings: list[Any], use_tqdm: bool) -> list[Any]:
        self.asked = prompts, settings
        return [self._answer(prompt["prompt_token_ids"], one) for prompt, one in zip(prompts, settings, strict=True)]

    def _answer(self, ids: list[int], settings: Any) -> Any:
        written: list[int] = []
        logs: list[dict[int, Any]] = []
        eos = self.policy.tokenizer.eos_token_id
        while len(written) < settings.max_tokens and eos not in written:
            with torch.no_grad():
                step = self.policy.model(torch.tensor([ids + written])).logits[0, -1].log_softmax(-1)
            written.append(int(step.argmax()))
            logs.append({written[-1]: SimpleNamespace(logprob=float(step.max()))})
        reason = "stop" if eos in written else "length"
        one = SimpleNamespace(token_ids=written, logprobs=logs, finish_reason=reason)
        return SimpleNamespace(outputs=[one] * settings.n)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("vllm")
    stand_in.LLM, stand_in.SamplingParams = Greedy, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", stand_in)


@pytest.mark.usefixtures("vllm")
def test_its_titles_are_those_of_the_policy(folder: Callable[[Renderer], Path]) -> None:
    saved = folder(TextRenderer())
    writer = VllmWriter(saved)
    got = writer.write(ITEMS, 2, Decoding(temperature=0.0, seed=3))
    expected = TitlePolicy.load(saved).generate(ITEMS, 2, temperature=0.0)
    for titles, others in zip(got, expected, strict=True):
        for one, other in zip(titles, others, strict=True):
            assert (one.text, one.finished, one.token_ids) == (other.text, other.finished, other.token_ids)
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
    settings = writer._llm.asked[1]
    assert len({one.seed for one in settings}) == len(ITEMS)
    assert {(one.n, one.max_tokens, one.top_p, one.logprobs) for one in settings} == {(2, 6, 1.0, 0)}
    assert writer.write([], 2, Decoding()) == []


@pytest.mark.usefixtures("vllm")
def test_what_it_cannot_do_is_one_clear_line(folder: Callable[[Renderer], Path]) -> None:
    writer = VllmWriter(folder(TextRenderer()))
    for how in (Decoding(temperature=0.7), Decoding(beams=4)):
        with pytest.raises(PolicyError, match="samples at temperature 1"):
            writer.write(ITEMS, 1, how)
    with pytest.raises(PolicyError, match="writes through slots"):
        VllmWriter(folder(SlotRenderer(Slots.learn(ITEMS))))


def test_without_it_the_way_out_is_named(folder: Callable[[Renderer], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(PolicyError, match=r"not installed here\. Leave --engine out"):
        VllmWriter(folder(TextRenderer()))
