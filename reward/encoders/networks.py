"""Networks behind the encoders: sentence encoders and causal language models, by transformers."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from ..arrays import Float32Array
from ..errors import ModelError
from .data_tokens import DataTokens
from .model_folder import check_files, load_whole, loading
from .packaged import ENCODERS

POOLING = 1  # raise it when the same weights would give other columns
_BATCH = 64
_MAX_TOKENS = 128
_CHECKED = 4096  # values of each weight matrix that enter its fingerprint
_MIDDLE = 0.6  # depth of the middle layer: what a title says is plainest there, before the layers that serve the task


class Network(ABC):
    """A network that turns texts into vectors.

    Parameters
    ----------
    name
        Name that the user gives it.
    model, tokenizer
        From transformers.

    Attributes
    ----------
    parts
        Name and width of the first columns, which say how titles differ.
    about
        The further columns that say what a text is about; none of a network whose vectors hardly do.
    """

    parts: tuple[tuple[str, int], ...]
    about: slice

    def __init__(self, name: str, model: PreTrainedModel, tokenizer: Any) -> None:
        self.name = name
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._tokens = DataTokens(tokenizer)
        self.fingerprint = _fingerprint(model, tokenizer)

    @property
    def form_width(self) -> int:
        """Columns of all parts together."""
        return sum(width for _, width in self.parts)

    def encode(self, texts: Sequence[str]) -> Float32Array:
        """Vectors of the texts, shape (n, d): the parts side by side, and what else ``about`` names."""
        width = max(self.form_width, self.about.stop)
        out = np.zeros((len(texts), width), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                part = [_clean(text) for text in texts[start : start + _BATCH]]
                out[start : start + len(part)] = self._vectors(part).float().numpy()
        return out

    @abstractmethod
    def _vectors(self, texts: list[str]) -> torch.Tensor:
        """Vectors of one batch, shape (n, d)."""


class SentenceEncoder(Network):
    """A bidirectional encoder: the mean hidden states of its middle and its last layer, each of length one.

    The middle layer tells titles of one item apart best; the last one, which is trained to be near for texts that mean
    the same, tells what a text is about: headlines beside those of their own and of another article, AUC .98 against
    .92 of the middle layer.
    """

    def __init__(self, name: str, model: PreTrainedModel, tokenizer: Any) -> None:
        super().__init__(name, model, tokenizer)
        self._layer = max(round(_MIDDLE * int(model.config.num_hidden_layers)), 1)
        width = int(model.config.hidden_size)
        self.parts = ((f", layer {self._layer}", width),)
        self.about = slice(width, 2 * width)

    def _vectors(self, texts: list[str]) -> torch.Tensor:
        rows = self._tokens.texts(texts, _MAX_TOKENS)
        batch = self.tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        hidden = self.model(**batch, output_hidden_states=True).hidden_states
        means = [_mean(hidden[layer], batch["attention_mask"]) for layer in (self._layer, -1)]
        return torch.cat([torch.nn.functional.normalize(mean, dim=1) for mean in means], dim=1)


class LanguageModel(Network):
    """A causal language model: mean hidden states of its middle and last layer, and how likely it finds the text.

    The log-likelihood enters per token and in total (nats).
    """

    def __init__(self, name: str, model: PreTrainedModel, tokenizer: Any) -> None:
        super().__init__(name, model, tokenizer)
        layers, width = int(model.config.num_hidden_layers), int(model.config.hidden_size)
        self._layers = (max(round(_MIDDLE * layers), 1), layers)
        self.parts = (
            *((f", layer {layer}", width) for layer in dict.fromkeys(self._layers)),
            (", likelihood", 2),
        )
        # Headlines beside their own and another article: AUC .94 by these hidden states where character n-grams have
        # .95 and a sentence encoder .98, and nothing is gained beside either.
        self.about = slice(0, 0)

    def _vectors(self, texts: list[str]) -> torch.Tensor:
        start = self.tokenizer.bos_token_id
        start = self.tokenizer.eos_token_id if start is None else start
        tokens = [[start or 0, *ids[:_MAX_TOKENS]] for ids in map(self._tokens.data, texts)]
        ids = torch.zeros((len(texts), max(map(len, tokens))), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, own in enumerate(tokens):
            ids[row, : len(own)], mask[row, : len(own)] = torch.tensor(own), 1
        out = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        title = mask.clone()
        title[:, 0] = 0  # all titles share the start
        pooled = [_mean(out.hidden_states[layer].float(), title) for layer in dict.fromkeys(self._layers)]
        logits = out.logits[:, :-1].float()
        likelihood = logits.gather(-1, ids[:, 1:, None])[..., 0] - torch.logsumexp(logits, dim=-1)
        total = (likelihood * title[:, 1:]).sum(dim=1)
        return torch.column_stack([*pooled, total / title.sum(dim=1).clamp(min=1), total])


def load_network(name: str, folder: Path | None = None) -> Network:
    """The encoder of that name.

    Parameters
    ----------
    name
        One of `ENCODERS`, or what transformers loads: a folder or a hub id.
    folder
        Folder of the encoder, when that is not its name.

    Raises
    ------
    ModelError
        If nothing can be loaded from there, in one line.
    """
    source = str(folder or name)
    extra: dict[str, Any] = {}
    if name in ENCODERS:
        source, extra = ENCODERS[name].source()
    elif folder is not None and not (folder / "config.json").is_file():
        raise ModelError(
            f"the encoder {name!r} is the run's own language model: none at {folder}. Train one (rlopt sft) "
            "and run rlopt fit-reward again, or take another encoder, such as minilm."
        )
    try:
        check_files(source, extra.get("gguf_file"))
        with _quietly():
            model, tokenizer, causal = _load(source, extra)
    except ModelError as error:
        raise ModelError(
            f"no encoder can be loaded from {source!r}: {error} Give --encoder {', '.join(ENCODERS)}, policy, "
            "a hub id, or a folder with config.json and safetensors."
        ) from error
    if causal:
        torch.nn.Module.to(model, _quick_type())  # only now: packed files are unpacked in single precision
        return LanguageModel(name, model, tokenizer)
    return SentenceEncoder(name, model, tokenizer)


def _load(source: str, gguf: dict[str, Any]) -> tuple[PreTrainedModel, Any, bool]:
    """Model and tokenizer, checked, and whether it is a causal language model."""
    with loading("its tokenizer is missing or damaged"):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **gguf)
        causal = bool(gguf) or _is_causal(source)
    loader = AutoModelForCausalLM if causal else AutoModel
    model = load_whole(loader, source, tokenizer, **gguf)
    return model, tokenizer, causal


@contextmanager
def _quietly() -> Iterator[None]:
    """No progress bars and notices of transformers below errors."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _is_causal(source: str) -> bool:
    architectures = AutoConfig.from_pretrained(source, trust_remote_code=False).architectures or []
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)


def _quick_type() -> torch.dtype:
    """Half precision where the processor multiplies it faster: hidden states then differ by a few thousandths."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # no public name yet
    return torch.bfloat16 if supported() else torch.float32


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def _clean(text: str) -> str:
    """The text without lone surrogates, which tokenizers refuse."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _fingerprint(model: PreTrainedModel, tokenizer: Any) -> str:
    """Digest of the weights (evenly spread samples of each), the tokenizer's size and how vectors are made."""
    digest = hashlib.blake2b(f"{POOLING} {len(tokenizer)} {type(model).__name__}".encode(), digest_size=12)
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        flat = weight.detach().flatten()
        some = flat[:: max(len(flat) // _CHECKED, 1)]
        digest.update(some.to(torch.bfloat16).float().numpy().tobytes())  # the same at either precision
    return digest.hexdigest()
