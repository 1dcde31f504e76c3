"""Loading causal language models and tokenizers: a folder, a hub id, a GGUF file, or a packaged model."""

from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from reward.encoders.model_folder import check_files, embedded_tokens, load_whole, loading
from reward.encoders.packaged import ENCODERS
from reward.errors import ModelError
from rlopt.errors import PolicyError

_SAME = 1e-3  # of the logits' spread: what rounding may change


def load_causal_lm(
    model: str, *, gguf_file: str | None = None, dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer by folder, hub id, or name of a packaged model (`reward.encoders.packaged.ENCODERS`).

    No code and no pickle from the folder is run. That the model is whole, finite, causal, and has an end and an
    embedding for each of its tokens is checked here, so that no later step can stumble over it.

    Raises
    ------
    PolicyError
        If it is not so, or nothing can be loaded from there, in one line.
    """
    if model in ENCODERS:
        try:
            model, extra = ENCODERS[model].source()
        except ModelError as error:
            raise PolicyError(str(error)) from error
        gguf_file = extra.get("gguf_file")
    try:
        check_files(model, gguf_file)
        network, tokenizer = _load(model, gguf_file, dtype)
    except ModelError as error:
        raise PolicyError(
            f"No causal language model can be loaded from {model!r}: {error} "
            "Give --model a Hugging Face id, a folder with config.json and safetensors, or 'smollm2'."
        ) from error
    if gguf_file is not None:
        _forget_quantisation(network)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return network, tokenizer


def _load(model: str, gguf_file: str | None, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Both, loaded and checked."""
    named: dict[str, Any] = {} if gguf_file is None else {"gguf_file": gguf_file}
    with loading("its tokenizer is missing or damaged"):
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False, **named)
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "its tokenizer has no end-of-text token, so that no title would end. Name it: eos_token in "
            "tokenizer_config.json."
        )
    network = load_whole(AutoModelForCausalLM, model, tokenizer, check=_check_reads_forward, dtype=dtype, **named)
    return network, tokenizer


def _check_reads_forward(network: PreTrainedModel) -> None:
    """Check that what comes next depends on the words before and not on those behind: by trying it.

    `AutoModelForCausalLM` puts a head on encoders too, and layers may be missing by a slip in the config.
    """
    size = embedded_tokens(network)
    one, two, three = 0, 1 % size, 2 % size
    rows = torch.tensor([[one, two, three], [one, two, one], [two, two, three]], device=network.device)
    with torch.inference_mode():
        logits = network(input_ids=rows).logits.float()
    if not bool(torch.isfinite(logits).all()):
        raise ModelError("its predictions are not finite numbers.")
    scale = float(logits.std()) * _SAME
    if float((logits[0, :2] - logits[1, :2]).abs().max()) > scale:
        raise ModelError(
            f"{type(network.base_model).__name__} is an encoder: each word sees those behind it, so that it cannot "
            "write."
        )
    if size > 1 and float((logits[0, 2] - logits[2, 2]).abs().max()) == 0.0:
        raise ModelError("what it writes does not depend on what it reads: layers are missing.")


def _forget_quantisation(network: PreTrainedModel) -> None:
    """Loading a GGUF file gives dense weights; without this transformers takes them for quantised and saves none."""
    network.hf_quantizer = None  # type: ignore[assignment]  # not declared by transformers
    for name in ("is_quantized", "quantization_method"):
        if hasattr(network, name):
            delattr(network, name)
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config


def quiet_loading() -> None:
    """Leave the terminal to rlopt: no progress bars and notices of transformers and datasets below errors."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
