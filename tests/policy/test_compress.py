"""Smaller models: what is taken out is gone and nothing else, rounding stays within its bound, means are means."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from rlopt.errors import PolicyError
from rlopt.policy import compress
from rlopt.policy.compress import average_weights, is_quantised, load_quantised, neuron_magnitudes, prune_neurons

WIDTH, HIDDEN, LAYERS = 40, 32, 2
IDS = torch.arange(5, 45).reshape(2, 20)


def model(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=64,
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


def logits(of: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return of(IDS).logits


@pytest.mark.parametrize("share", [0.1, 0.5, 0.66])
def test_exactly_the_share_is_gone(share: float) -> None:
    before, pruned = model(), model()
    prune_neurons(pruned, share)
    removed = round(share * WIDTH)
    assert pruned.config.intermediate_size == WIDTH - removed
    assert before.num_parameters() - pruned.num_parameters() == LAYERS * 3 * HIDDEN * removed
    assert all(layer.mlp.up_proj.weight.shape == (WIDTH - removed, HIDDEN) for layer in pruned.model.layers)


def test_a_pruned_model_computes_what_the_whole_one_does_without_these_neurons() -> None:
    pruned, silenced = model(), model()
    prune_neurons(pruned, 0.4)
    for layer in silenced.model.layers:
        smallest = neuron_magnitudes(layer.mlp).argsort()[: round(0.4 * WIDTH)]
        layer.mlp.down_proj.weight.data[:, smallest] = 0.0
    assert (logits(pruned) - logits(model())).abs().max() > 1e-3
    torch.testing.assert_close(logits(pruned), logits(silenced), atol=1e-5, rtol=1e-4)


def test_what_remains_is_untouched_and_in_order() -> None:
    before, pruned = model(), model()
    prune_neurons(pruned, 0.3)
    for old, new in zip(before.model.layers, pruned.model.layers, strict=True):
        rows = neuron_magnitudes(old.mlp).argsort(descending=True)[: WIDTH - round(0.3 * WIDTH)].sort().values
        assert torch.equal(new.mlp.gate_proj.weight, old.mlp.gate_proj.weight[rows])
        assert torch.equal(new.mlp.up_proj.weight, old.mlp.up_proj.weight[rows])
        assert torch.equal(new.mlp.down_proj.weight, old.mlp.down_proj.weight[:, rows])
    for name, tensor in before.state_dict().items():
        if "mlp" not in name:
            assert torch.equal(tensor, pruned.state_dict()[name])


def test_moving_a_factor_between_a_neurons_weights_does_not_change_its_magnitude() -> None:
    mlp = model().model.layers[0].mlp
    before = neuron_magnitudes(mlp)
    mlp.up_proj.weight.data[3] *= 7
    mlp.down_proj.weight.data[:, 3] /= 7
    torch.testing.assert_close(neuron_magnitudes(mlp), before)


def test_a_pruned_model_is_an_ordinary_folder(tmp_path: Path) -> None:
    pruned = model()
    prune_neurons(pruned, 0.5)
    pruned.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path).eval()), logits(pruned))


def test_pruning_that_cannot_be_done_is_one_clear_line() -> None:
    with pytest.raises(PolicyError, match=r"--prune 0\.99 would leave none of 40 neurons"):
        prune_neurons(model(), 0.99)
    other = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2))
    with pytest.raises(PolicyError, match="GPT2LMHeadModel has none"):
        prune_neurons(other, 0.5)


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
    smaller = model()
    prune_neurons(smaller, 0.5)
    with pytest.raises(PolicyError, match="different architectures"):
        average_weights([model(), smaller])


def test_an_output_layer_of_its_own_has_no_average_with_a_shared_one() -> None:
    one, other = model(), model()
    before = one.model.embed_tokens.weight.clone()
    other.lm_head.weight = torch.nn.Parameter(other.lm_head.weight.detach() + 1.0)
    other.config.tie_word_embeddings = False
    with pytest.raises(PolicyError, match="no average"):
        average_weights([one, other])
    assert torch.equal(one.model.embed_tokens.weight, before)


def test_pruning_nothing_is_told() -> None:
    with pytest.raises(PolicyError, match=f"would take none of {WIDTH} neurons away"):
        prune_neurons(model(), 0.01)


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
