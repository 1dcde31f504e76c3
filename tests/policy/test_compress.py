"""Smaller models: what is taken out is gone and nothing else, rounding stays within its bound, means are means."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from reward.items import Item
from rlopt.errors import PolicyError
from rlopt.policy import compress
from rlopt.policy.compress import average_weights, is_quantised, load_quantised, neuron_sizes, prune_neurons
from rlopt.policy.prompt import TextRenderer
from rlopt.policy.title_policy import TitlePolicy
from tests.tiny_causal import save_tiny_causal

WIDTH, HIDDEN, LAYERS = 40, 32, 2
IDS = torch.arange(5, 45).reshape(2, 20)


ITEMS = [Item(str(i), {"color": (color,), "type": ("dress",)}) for i, color in enumerate(("red", "blue", "off white"))]
PAIRS = [(item, f"new {item.fields['color'][0]} dress") for item in ITEMS]


def model(seed: int = 0, vocab_size: int = 64) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=HIDDEN,
        intermediate_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    made = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 2:
                parameter.mul_(10)
    return made


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(save_tiny_causal(tmp_path_factory.mktemp("causal")))


@pytest.fixture
def policy(tokenizer: PreTrainedTokenizerBase) -> TitlePolicy:
    return policy_of(model(vocab_size=len(tokenizer)), tokenizer)


def policy_of(network: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase) -> TitlePolicy:
    return TitlePolicy(network, tokenizer, TextRenderer(), 32)


def logits(of: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return of(IDS).logits


def sizes_by_hand(policy: TitlePolicy) -> list[torch.Tensor]:
    """One title at a time, no padding: root mean square over tokens of every neuron's own addition."""
    additions: list[list[torch.Tensor]] = [[] for _ in range(LAYERS)]
    for prompt, (item, title) in zip(policy.prompt_ids(ITEMS), PAIRS, strict=True):
        ids = torch.tensor([prompt + policy.target_ids(item, title)])
        with torch.no_grad():
            states = policy.model(ids, output_hidden_states=True).hidden_states
            for k, layer in enumerate(policy.model.model.layers):
                place = torch.arange(ids.shape[1])[None]
                cos_sin = policy.model.model.rotary_emb(states[k], place)
                attended = layer.self_attn(layer.input_layernorm(states[k]), cos_sin, None)[0] + states[k]
                read = layer.post_attention_layernorm(attended)
                active = torch.nn.functional.silu(layer.mlp.gate_proj(read)) * layer.mlp.up_proj(read)
                every = active[0][:, :, None] * layer.mlp.down_proj.weight.T[None]  # tokens, neurons, residual
                additions[k].append(every.double().square().sum(dim=-1))
    return [torch.cat(found).mean(dim=0).sqrt() for found in additions]


def test_the_size_of_a_neuron_is_what_it_adds(policy: TitlePolicy) -> None:
    found = neuron_sizes(policy, [layer.mlp for layer in policy.model.model.layers], PAIRS)
    for got, expected in zip(found, sizes_by_hand(policy), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.66])
def test_exactly_the_share_is_gone(share: float, policy: TitlePolicy) -> None:
    before = policy.model.num_parameters()
    prune_neurons(policy, share, PAIRS)
    removed = round(share * WIDTH)
    assert policy.model.config.intermediate_size == WIDTH - removed
    assert before - policy.model.num_parameters() == LAYERS * 3 * HIDDEN * removed
    assert all(layer.mlp.up_proj.weight.shape == (WIDTH - removed, HIDDEN) for layer in policy.model.model.layers)


def test_a_pruned_model_computes_what_the_whole_one_does_without_these_neurons(policy: TitlePolicy) -> None:
    whole, silenced = copy.deepcopy(policy.model), copy.deepcopy(policy.model)
    sizes = neuron_sizes(policy, [layer.mlp for layer in policy.model.model.layers], PAIRS)
    prune_neurons(policy, 0.4, PAIRS)
    for layer, size in zip(silenced.model.layers, sizes, strict=True):
        layer.mlp.down_proj.weight.data[:, size.argsort()[: round(0.4 * WIDTH)]] = 0.0
    assert (logits(policy.model) - logits(whole)).abs().max() > 1e-3
    torch.testing.assert_close(logits(policy.model), logits(silenced), atol=1e-5, rtol=1e-4)


def test_what_remains_is_untouched_and_in_order(policy: TitlePolicy) -> None:
    before = copy.deepcopy(policy.model)
    sizes = neuron_sizes(policy, [layer.mlp for layer in policy.model.model.layers], PAIRS)
    prune_neurons(policy, 0.3, PAIRS)
    for old, new, size in zip(before.model.layers, policy.model.model.layers, sizes, strict=True):
        rows = size.argsort(descending=True)[: WIDTH - round(0.3 * WIDTH)].sort().values
        assert torch.equal(new.mlp.gate_proj.weight, old.mlp.gate_proj.weight[rows])
        assert torch.equal(new.mlp.up_proj.weight, old.mlp.up_proj.weight[rows])
        assert torch.equal(new.mlp.down_proj.weight, old.mlp.down_proj.weight[:, rows])
    for name, tensor in before.state_dict().items():
        if "mlp" not in name:
            assert torch.equal(tensor, policy.model.state_dict()[name])


def test_a_small_neuron_on_which_everything_hangs_stays(policy: TitlePolicy) -> None:
    """Its weights are the smallest of the block and it is the one that is active: norms of weights would take it."""
    mlp = policy.model.model.layers[0].mlp
    mlp.gate_proj.weight.data[:] = -mlp.gate_proj.weight.data.abs()
    mlp.up_proj.weight.data *= 1e-6
    mlp.up_proj.weight.data[7] *= 1e5
    mlp.gate_proj.weight.data[7] *= 0.01
    before = mlp.down_proj.weight.data[:, 7].clone()
    prune_neurons(policy, 0.9, PAIRS)
    assert any(torch.equal(column, before) for column in policy.model.model.layers[0].mlp.down_proj.weight.data.T)


def test_a_pruned_model_is_an_ordinary_folder(policy: TitlePolicy, tmp_path: Path) -> None:
    prune_neurons(policy, 0.5, PAIRS)
    policy.model.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path).eval()), logits(policy.model))


def test_pruning_that_cannot_be_done_is_one_clear_line(policy: TitlePolicy, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(PolicyError, match=r"--prune 0\.99 would leave none of 40 neurons"):
        prune_neurons(policy, 0.99, PAIRS)
    with pytest.raises(PolicyError, match=f"would take none of {WIDTH} neurons away"):
        prune_neurons(policy, 0.01, PAIRS)
    other = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2))
    with pytest.raises(PolicyError, match="GPT2LMHeadModel has none"):
        prune_neurons(policy_of(other, tokenizer), 0.5, PAIRS)  # type: ignore[arg-type]


def test_the_average_of_equal_models_is_that_model() -> None:
    one = model()
    average_weights([one, model(), model()])
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), model().state_dict().values(), strict=True))


def test_an_average_is_the_mean_of_every_weight() -> None:
    one, two = model(0), model(1)
    expected = {name: (tensor + two.state_dict()[name]) / 2 for name, tensor in copy.deepcopy(one).state_dict().items()}
    average_weights([one, two])
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-7, rtol=1e-6)
    assert one.lm_head.weight is one.model.embed_tokens.weight


def test_different_architectures_have_no_average() -> None:
    with pytest.raises(PolicyError, match="different architectures"):
        average_weights([model(), model(vocab_size=65)])


def test_an_output_layer_of_its_own_has_no_average_with_a_shared_one() -> None:
    one, other = model(), model()
    before = one.model.embed_tokens.weight.clone()
    other.lm_head.weight = torch.nn.Parameter(other.lm_head.weight.detach() + 1.0)
    other.config.tie_word_embeddings = False
    with pytest.raises(PolicyError, match="no average"):
        average_weights([one, other])
    assert torch.equal(one.model.embed_tokens.weight, before)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compress, "find_spec", lambda _: None)
    for kind, package in (("int8", "torchao"), ("nf4", "bitsandbytes")):
        with pytest.raises(PolicyError, match=f"--quantize {kind} needs the package {package}: pip install {package}"):
            load_quantised(tmp_path, kind)


@pytest.fixture
def int8(tmp_path: Path) -> LlamaForCausalLM:
    pytest.importorskip("torchao", reason="extra [int8]")
    model().save_pretrained(tmp_path / "float")
    return load_quantised(tmp_path / "float", "int8").eval()


def test_int8_weights_are_off_by_half_a_step_at_most(int8: LlamaForCausalLM) -> None:
    """255 steps from -127 to 127 a row, so half a step is max|w| / 254; a bit more where torchao takes 256 steps."""
    assert is_quantised(int8)
    for name, layer in model().model.named_modules():
        if isinstance(layer, torch.nn.Linear):
            rounded = int8.model.get_submodule(name).weight.dequantize()
            half_step = layer.weight.abs().amax(dim=1, keepdim=True) / 254
            assert ((rounded - layer.weight).abs() <= half_step * 1.01 + 1e-7).all(), name


def test_int8_outputs_are_within_the_bound_of_the_rounding(int8: LlamaForCausalLM) -> None:
    """|W'x - Wx| <= |W' - W| |x| <= half a step times the sum of |x|, for every layer on the inputs it really gets."""
    whole, inputs = model(), {}
    for name, layer in whole.model.named_modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda _, args, out, name=name: inputs.update({name: (args[0], out)}))
    expected = logits(whole)
    for name, (x, out) in inputs.items():
        half_step = whole.model.get_submodule(name).weight.abs().amax(dim=1) / 254
        with torch.no_grad():
            difference = (int8.model.get_submodule(name)(x) - out).abs()
        assert (difference <= half_step * 1.01 * x.abs().sum(-1, keepdim=True) + 1e-4).all(), name
        assert difference.max() > 0, name
    assert (logits(int8) - expected).square().mean().sqrt() < 0.05 * expected.std()


def test_int8_folders_give_back_the_same_model_in_less_space(int8: LlamaForCausalLM, tmp_path: Path) -> None:
    (tmp_path / "int8").mkdir()
    int8.save_pretrained(tmp_path / "int8")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "int8").eval()
    assert torch.equal(logits(again), logits(int8))
    linear = sum(layer.weight.numel() for layer in model().model.modules() if isinstance(layer, torch.nn.Linear))
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("float", "int8")]
    assert sizes[0] - sizes[1] > 2.5 * linear - 20_000  # of four bytes a weight one remains, and the header grows


def test_nf4_needs_a_gpu_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compress, "find_spec", lambda _: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PolicyError, match="--quantize nf4 needs a GPU, and this machine shows none"):
        load_quantised(tmp_path, "nf4")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="nf4 quantisation needs a CUDA GPU")
def test_nf4_folders_give_back_the_same_model(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="extra [nf4]")
    model().save_pretrained(tmp_path / "float")
    small = load_quantised(tmp_path / "float", "nf4").eval()
    (tmp_path / "nf4").mkdir()
    small.save_pretrained(tmp_path / "nf4")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "nf4").eval()
    assert is_quantised(again)
    ids = IDS.to(again.device)
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, small(ids).logits)
