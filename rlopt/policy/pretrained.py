"""Loading causal language models and tokenizers: a folder, a hub id, a GGUF file, or a packaged model."""

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from reward.encoders.packaged import ENCODERS
from reward.errors import ModelError
from rlopt.errors import PolicyError


def load_causal_lm(
    model: str, *, gguf_file: str | None = None, dtype: torch.dtype = torch.float32, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer by folder, hub id, or name of a packaged model (`reward.encoders.packaged.ENCODERS`).

    Raises
    ------
    PolicyError
        When nothing can be loaded from there, with the reason transformers gives in one line.
    """
    extra = {} if gguf_file is None else {"gguf_file": gguf_file}
    if model in ENCODERS:
        try:
            model, extra = ENCODERS[model].source()
        except ModelError as error:
            raise PolicyError(str(error)) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code, **extra)
        network = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, trust_remote_code=trust_remote_code, **extra)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise PolicyError(
            f"No causal language model can be loaded from {model!r}: {_first_line(error)} "
            "Give --model a Hugging Face id, a folder with config.json and safetensors, or 'smollm2'."
        ) from error
    if extra:
        _forget_quantisation(network)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return network, tokenizer


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


def _first_line(error: Exception) -> str:
    line = str(error).strip().split("\n", 1)[0].rstrip(".")
    return (line or type(error).__name__) + "."
