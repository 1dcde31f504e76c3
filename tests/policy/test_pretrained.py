"""Model folders: what is wrong with one is said in one line before anything is done with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlopt.errors import PolicyError
from rlopt.policy.pretrained import load_causal_lm
from tests.tiny_causal import END, save_tiny_causal
from tests.tiny_encoders import save_sentence_encoder

WEIGHT = "model.layers.0.mlp.up_proj.weight"
Change = Callable[[Path], object]


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def apply(folder: Path) -> None:
        held = load_file(folder / "model.safetensors")
        change(held)
        save_file(held, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Change:
    def apply(folder: Path) -> None:
        held = json.loads((folder / name).read_text(encoding="utf-8"))
        change(held)
        (folder / name).write_text(json.dumps(held), encoding="utf-8")

    return apply


def written(name: str, text: str) -> Change:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def without(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def one_token_more(tokenizer: dict[str, Any]) -> None:
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 257, "content": "<more>"})


DAMAGES: dict[str, tuple[Change, str]] = {
    "a weight missing": (weights(lambda held: held.pop(WEIGHT)), f"lacks weights.*{WEIGHT}"),
    "a weight of another shape": (weights(lambda held: held.update({WEIGHT: torch.zeros(3, 3)})), "other shapes"),
    "a weight that is no number": (weights(lambda held: held[WEIGHT][0].fill_(torch.nan)), "not finite"),
    "an infinite weight": (weights(lambda held: held[WEIGHT][0].fill_(torch.inf)), "not finite"),
    "an output layer of its own": (
        edited("config.json", lambda c: c.update(tie_word_embeddings=False)),
        "lm_head.weight",
    ),
    "fewer layers in the config": (edited("config.json", lambda c: c.update(num_hidden_layers=1)), "more layers"),
    "more layers in the config": (edited("config.json", lambda c: c.update(num_hidden_layers=3)), "lacks weights"),
    "no layers": (edited("config.json", lambda c: c.update(num_hidden_layers=0)), "layers are missing"),
    "another width": (edited("config.json", lambda c: c.update(hidden_size=32)), "other shapes"),
    "a word for a number": (
        edited("config.json", lambda c: c.update(hidden_size="wide")),
        "config.json cannot be used",
    ),
    "half a config": (written("config.json", '{"model_type": '), "config.json cannot be read"),
    "a list for a config": (written("config.json", "[]"), "config.json cannot be read"),
    "a deep config": (written("config.json", "[" * 100_000), "config.json cannot be read"),
    "no config": (without("config.json"), "holds no config.json"),
    "an unknown architecture": (edited("config.json", lambda c: c.update(model_type="gpt17")), "gpt17"),
    "code of its own": (
        edited("config.json", lambda c: c.update(model_type="mine", auto_map={"AutoModelForCausalLM": "mine.Mine"})),
        "runs no code",
    ),
    "no weights": (without("model.safetensors"), "holds no weights"),
    "pickled weights": (pickled, "runs code when it is read"),
    "half the weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:2000]),
        "No causal language model",
    ),
    "no tokenizer": (without("tokenizer.json"), "tokenizer is missing or damaged"),
    "an empty tokenizer": (written("tokenizer.json", "{}"), "tokenizer is missing or damaged"),
    "half a tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes()[:500]),
        "tokenizer is missing or damaged",
    ),
    "a tokenizer without words": (edited("tokenizer.json", lambda t: t["model"].update(vocab={})), "has no words"),
    "a tokenizer of another kind": (
        edited("tokenizer.json", lambda t: t["model"].update(type="Telepathy")),
        "tokenizer is missing or damaged",
    ),
    "no end token": (edited("tokenizer_config.json", lambda t: t.pop("eos_token")), "no end-of-text token"),
    "a token without an embedding": (edited("tokenizer.json", one_token_more), "do not belong together"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_clear_line(damage: str, tmp_path: Path) -> None:
    change, message = DAMAGES[damage]
    change(save_tiny_causal(tmp_path))
    with pytest.raises(PolicyError, match=message) as error:
        load_causal_lm(str(tmp_path))
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    save_tiny_causal(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save({"w": Trap()}, tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(PolicyError, match=r"pytorch_model\.bin"):
        load_causal_lm(str(tmp_path / "model"))
    assert not (tmp_path / "sprung").exists()


def test_an_encoder_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="BertModel is an encoder"):
        load_causal_lm(str(save_sentence_encoder(tmp_path)))


def test_an_encoder_with_an_output_layer_cannot_either(tmp_path: Path) -> None:
    """No file is missing in such a folder: only a trial shows it."""
    from transformers import BertConfig, BertForMaskedLM

    save_tiny_causal(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.manual_seed(0)
    BertForMaskedLM(
        BertConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ).save_pretrained(tmp_path)
    with pytest.raises(PolicyError, match="BertModel is an encoder"):
        load_causal_lm(str(tmp_path))


def test_a_missing_gguf_file_is_named(tmp_path: Path) -> None:
    save_tiny_causal(tmp_path)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(PolicyError, match=r"no file b\.gguf \(it holds a\.gguf\)"):
        load_causal_lm(str(tmp_path), gguf_file="b.gguf")
    (tmp_path / "config.json").unlink()
    with pytest.raises(PolicyError, match=r"--gguf-file a\.gguf"):
        load_causal_lm(str(tmp_path))
    with pytest.raises(PolicyError, match=r"No causal language model.*a\.gguf|pip install gguf|GGUF"):
        load_causal_lm(str(tmp_path), gguf_file="a.gguf")


@pytest.mark.parametrize("name", ["./not/there", "/not/there"])
def test_a_folder_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises(PolicyError, match="there is no such folder"):
        load_causal_lm(name)


def test_a_sound_folder_loads(tmp_path: Path) -> None:
    model, tokenizer = load_causal_lm(str(save_tiny_causal(tmp_path)))
    assert tokenizer.eos_token == END
    assert torch.equal(model.state_dict()[WEIGHT], load_file(tmp_path / "model.safetensors")[WEIGHT])
