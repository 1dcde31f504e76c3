"""Folders of pretrained models, checked before anything is done with them: what transformers takes without a word.

A weight that a folder lacks it fills with random numbers, a pickle it runs, a token beyond the embeddings breaks the
first batch that holds it.
"""

import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedModel

from ..errors import ModelError

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
_CONVERT = (
    "load it where you trust it and save it again: "
    "AutoModel.from_pretrained(folder).save_pretrained(folder, safe_serialization=True)"
)
_MOST_NAMED = 3
_MAX_CONFIG_BYTES = 10_000_000


@contextmanager
def loading(what: str = "") -> Iterator[None]:
    """Whatever a damaged or hostile folder makes transformers raise becomes a `ModelError` of one line.

    ``what`` says before the reason what could not be loaded.
    """
    prefix = f"{what}: " if what else ""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # config classes, tokenizers and weight readers raise all kinds
        raise ModelError(prefix + _first_line(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the tokenizers library, and no Exception
            raise
        raise ModelError(prefix + _first_line(error)) from error


def check_files(source: str, gguf_file: str | None = None) -> None:
    """Check what lies in the folder ``source``; other names are hub ids, and transformers looks for them.

    Raises
    ------
    ModelError
        For a folder without config or weights, with weights that are pickles, or with code to be run; and where a GGUF
        file, or the package that reads it, is missing.
    """
    folder = Path(source)
    if not folder.exists():
        if source.startswith(("/", "./", "../", "~")):
            raise ModelError("there is no such folder.")
        if gguf_file is None:
            return
    elif not folder.is_dir():
        raise ModelError("it is a file. Give the folder it lies in.")
    if gguf_file is not None:
        _check_gguf(folder, gguf_file)
        return
    if (folder / "adapter_config.json").is_file():
        return  # adapters name their model, and transformers loads both
    _check_config(folder)
    _check_weights_are_safe(folder)


def load_whole(
    loader: Any,
    source: str,
    tokenizer: Any,
    *,
    own_head: bool = False,
    check: Callable[[PreTrainedModel], None] | None = None,
    **options: Any,
) -> PreTrainedModel:
    """The model in ``source``, in single precision, once it is known to be whole.

    Parameters
    ----------
    loader
        A class of transformers such as AutoModel.
    tokenizer
        The model must have an embedding for each of its tokens.
    own_head
        The weights on top of the base model are learned from scratch and may be missing.
    check
        Raises where the model is not what the caller needs; called before missing weights are reported.
    options
        For ``from_pretrained``; safetensors are read unless ``gguf_file`` is among them.

    Raises
    ------
    ModelError
        If it cannot be loaded or something is wrong with it.
    """
    safe = {} if "gguf_file" in options else {"use_safetensors": True}  # never a pickle
    told = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    with loading():
        model, info = loader.from_pretrained(
            source, **{"dtype": torch.float32, "trust_remote_code": False, **told, **safe, **options}
        )
        check_finite(model)
        check_vocabulary(model, tokenizer)
        if check is not None:
            check(model)
        check_whole(model, info, own_head=own_head)
    checked: PreTrainedModel = model
    return checked


def check_finite(model: PreTrainedModel) -> None:
    """Check that every weight of ``model`` is a number.

    Raises
    ------
    ModelError
        Names the first weights that are not.
    """
    bad = {name for name, tensor in model.state_dict().items() if not _is_finite(tensor)}
    if bad:
        raise ModelError(f"weights are not finite numbers ({_some(bad)}).")


def check_whole(model: PreTrainedModel, info: Mapping[str, Any], *, own_head: bool = False) -> None:
    """Check that every weight of ``model`` came from the folder, and that its layers are all those of the folder.

    Parameters
    ----------
    info
        Loading report of transformers (``output_loading_info=True``, and mismatched sizes ignored).
    own_head
        The weights on top of the base model are learned from scratch and may be missing.

    Raises
    ------
    ModelError
        Names the first weights that are missing, of another shape, or left over.
    """
    base = f"{model.base_model_prefix}."
    missing = {str(name) for name in info["missing_keys"] if ".pooler." not in f".{name}"}  # none is ever read
    other_shape = {str(name[0] if isinstance(name, tuple) else name) for name in info["mismatched_keys"]}
    if own_head:
        missing, other_shape = ({name for name in names if name.startswith(base)} for names in (missing, other_shape))
    if other_shape:
        raise ModelError(f"weights have other shapes than config.json says ({_some(other_shape)}).")
    if missing:
        raise ModelError(
            f"it lacks weights of {type(model).__name__} ({_some(missing)}), which would be random numbers. "
            "The folder is incomplete, or of another model than config.json says."
        )
    known = {_any_layer(name) for name in model.state_dict()}
    left_over = {str(name) for name in info["unexpected_keys"] if _any_layer(str(name)) in known}
    if left_over:
        raise ModelError(f"it holds weights of more layers than config.json says ({_some(left_over)}).")


def check_vocabulary(model: PreTrainedModel, tokenizer: Any) -> None:
    """Check that the tokenizer has words, and the model an embedding for each of its tokens.

    Raises
    ------
    ModelError
        If it is not so.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if not set(vocabulary) - {str(token) for token in tokenizer.added_tokens_decoder.values()}:
        raise ModelError("its tokenizer has no words: tokenizer.json is damaged.")
    token = max(vocabulary, key=vocabulary.__getitem__)
    size = embedded_tokens(model)
    if vocabulary[token] >= size:
        raise ModelError(
            f"its tokenizer and its weights do not belong together: token {token!r} has number {vocabulary[token]:,}, "
            f"and there are embeddings for {size:,} tokens."
        )


def embedded_tokens(model: Any) -> int:
    """Number of tokens that a model has embeddings for."""
    return int(model.get_input_embeddings().weight.shape[0])


def _check_gguf(folder: Path, gguf_file: str) -> None:
    if folder.is_dir() and not (folder / gguf_file).is_file():
        raise ModelError(f"it holds no file {gguf_file} ({_files(folder, '*.gguf')}).")
    if importlib.util.find_spec("gguf") is None:
        raise ModelError("GGUF files are read by the package gguf, which is not installed: pip install gguf")


def _check_config(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        gguf = sorted(folder.glob("*.gguf"))
        hint = (
            f"Name the file to read: --gguf-file {gguf[0].name}."
            if gguf
            else "It is no folder of a model, or not all of it."
        )
        raise ModelError(f"it holds no config.json. {hint}")
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ValueError("it is too large")
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError("it is not an object")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"its config.json cannot be read: {_first_line(error)}") from error
    if "auto_map" in config and config.get("model_type") not in CONFIG_MAPPING:
        raise ModelError(
            "it needs code of its own (auto_map in config.json), and rlopt runs no code from model folders. "
            "Take a model whose architecture transformers knows."
        )
    with loading("its config.json cannot be used"):
        AutoConfig.from_pretrained(folder, trust_remote_code=False)


def _check_weights_are_safe(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"it holds its weights as {pickles[0]}, a format that runs code when it is read, and no "
            f"*.safetensors. Convert it: {_CONVERT}"
        )
    raise ModelError("it holds no weights (*.safetensors).")


def _files(folder: Path, pattern: str) -> str:
    found = sorted(path.name for path in folder.glob(pattern))
    return f"it holds {_some(set(found))}" if found else f"nor any {pattern}"


def _any_layer(name: str) -> str:
    return re.sub(r"\.\d+\.", ".*.", name)


def _is_finite(tensor: torch.Tensor) -> bool:
    """True for finite and for whole numbers, and for packed ones that are read by their own class."""
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    return not plain or not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _some(names: set[str]) -> str:
    first = sorted(names)[:_MOST_NAMED]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return ", ".join(first) + more


def _first_line(error: BaseException) -> str:
    line = str(error).strip().split("\n", 1)[0].strip().rstrip(".:")
    return (line or type(error).__name__) + "."
