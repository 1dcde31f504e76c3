"""Scores of completions: pieces and padding change nothing, positions count real tokens only."""

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from rlopt.policy.decoding import RowStream, sample
from rlopt.policy.scoring import left_pad, right_pad, score_tokens, token_kl
from rlopt.policy.slot_mask import ILLEGAL

VOCABULARY, HIDDEN = 50, 16
PROMPTS = [[5, 6, 7, 8, 9], [10], [11, 12], [13, 14, 15], [16, 17]]
COMPLETIONS = [[20], [21, 22, 23, 24], [25, 26], [27, 28, 29, 30, 31, 32], [33, 1]]


def _model(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    llama = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    gpt2 = GPT2Config(vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=2, n_head=2, n_positions=64)
    bloom = BloomConfig(vocab_size=VOCABULARY, hidden_size=HIDDEN, n_layer=2, n_head=2)
    made = {"llama": (LlamaForCausalLM, llama), "gpt2": (GPT2LMHeadModel, gpt2), "bloom": (BloomForCausalLM, bloom)}
    architecture, config = made[kind]
    model: PreTrainedModel = architecture(config).eval()
    with torch.no_grad():  # far from uniform, so that differences show
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


def _batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    prompts, prompt_mask = left_pad(PROMPTS, 0)
    completions, completion_mask = right_pad(COMPLETIONS, 0)
    return torch.cat([prompts, completions], 1), torch.cat([prompt_mask, completion_mask], 1), completion_mask


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 5])
def test_every_row_is_scored_as_if_it_were_alone(kind: str, rows_at_once: int) -> None:
    model = _model(kind)
    ids, attention, mask = _batch()
    with torch.no_grad():
        scores = score_tokens(
            model,
            ids,
            attention,
            mask.shape[1],
            temperature=0.7,
            entropies=True,
            states_of=model.base_model,
            rows_at_once=rows_at_once,
        )
        for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
            alone = torch.tensor([[*prompt, *completion]])
            read = model(alone, output_hidden_states=True)
            before = slice(len(prompt) - 1, -1)
            logs = (read.logits[0, before] / 0.7).log_softmax(-1)
            n = len(completion)
            torch.testing.assert_close(scores.log_probs[row, :n], logs[range(n), completion], atol=1e-5, rtol=1e-5)
            assert scores.entropies is not None
            assert scores.states is not None
            torch.testing.assert_close(scores.entropies[row, :n], -(logs.exp() * logs).sum(-1), atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(scores.states[row, :n], read.hidden_states[-1][0, before], atol=1e-5, rtol=1e-5)
    assert scores.states.shape == (5, 6, HIDDEN)


def test_token_kl_is_the_divergence_over_the_vocabulary() -> None:
    log_p, log_q = torch.randn(2, 4, 5, 7, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=log_p), torch.distributions.Categorical(logits=log_q)
    )
    torch.testing.assert_close(token_kl(log_p, log_q), expected)
    assert token_kl(log_p, log_p).abs().max() == 0.0


def test_token_kl_of_what_is_ruled_out_in_both_is_a_number() -> None:
    logits = torch.tensor([0.0, 1.0, ILLEGAL])
    other = torch.tensor([1.0, 0.0, ILLEGAL])
    assert token_kl(logits.log_softmax(-1), other.log_softmax(-1)) == pytest.approx(
        token_kl(logits[:2].log_softmax(-1), other[:2].log_softmax(-1)).item()
    )


@pytest.mark.parametrize("rows_at_once", [1, 2, 5])
def test_the_kl_to_a_reference_is_that_of_each_row_alone(rows_at_once: int) -> None:
    model, reference = _model("llama"), _model("gpt2")
    ids, attention, mask = _batch()
    with torch.no_grad():
        kept = score_tokens(reference, ids, attention, mask.shape[1], log_softmax=True, rows_at_once=2).log_softmax
    scores = score_tokens(model, ids, attention, mask.shape[1], reference=kept, rows_at_once=rows_at_once)
    assert scores.kl is not None
    assert not scores.kl.requires_grad
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        alone = torch.tensor([[*prompt, *completion]])
        p, q = (read(alone).logits[0, len(prompt) - 1 : -1].log_softmax(-1) for read in (model, reference))
        expected = torch.zeros(mask.shape[1])
        expected[: len(completion)] = (p.exp() * (p - q)).sum(-1)
        torch.testing.assert_close(scores.kl[row], expected.detach(), atol=1e-4, rtol=1e-4)


def test_pieces_have_the_gradient_of_the_whole() -> None:
    ids, attention, mask = _batch()
    gradients = []
    for rows_at_once in (5, 2):
        model = _model("llama")
        scores = score_tokens(model, ids, attention, mask.shape[1], rows_at_once=rows_at_once)
        (scores.log_probs * mask).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom"])
def test_what_was_sampled_is_scored_with_its_own_log_probs(kind: str) -> None:
    model = _model(kind)
    written = sample(model, PROMPTS, max_new_tokens=8, eos_id=1, pad_id=0, stream=RowStream(0, len(PROMPTS)))
    prompts, prompt_mask = left_pad(PROMPTS, 0)
    completions, mask = right_pad([title.ids for title in written], 0)
    ids, attention = torch.cat([prompts, completions], 1), torch.cat([prompt_mask, mask], 1)
    with torch.no_grad():
        scored = score_tokens(model, ids, attention, mask.shape[1], rows_at_once=2).log_probs * mask
    expected, _ = right_pad([[0] * len(title.ids) for title in written], 0)
    drawn = expected.float()
    for row, title in enumerate(written):
        drawn[row, : len(title.log_probs)] = torch.tensor(title.log_probs)
    torch.testing.assert_close(scored, drawn, atol=1e-4, rtol=1e-4)
