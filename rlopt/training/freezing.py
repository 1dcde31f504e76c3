"""Choice of the model's own weights that learn: all, the output layer, or the last blocks too."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from rlopt.errors import PolicyError


def freeze(model: PreTrainedModel, learn: str, last_n: int) -> bool:
    """Let only some weights of ``model`` learn, in place.

    Parameters
    ----------
    learn
        "head": the output layer and the norm before it. "last-n": these and the last ``last_n`` blocks. Anything else
        leaves the model as it is.

    Returns
    -------
    True where the output layer shared its weights with the input embeddings and has a copy of its own now: else the
    embeddings would learn too, which is not what was asked for.

    Raises
    ------
    PolicyError
        If the model has no blocks, fewer of them, or no output layer.
    """
    if learn not in ("head", "last-n"):
        return False
    head: Any = model.get_output_embeddings()
    if head is None:
        raise PolicyError(f"{type(model).__name__} has no output layer of its own. Use --learn lora or full.")
    trunk, blocks = _blocks(model)
    if learn == "last-n" and last_n > len(blocks):
        raise PolicyError(f"--last-n must be at most {len(blocks)}, the model's number of blocks. Got {last_n}.")
    untied = _untie(model, head)
    model.requires_grad_(False)
    learning = [head, *_norms(trunk), *(list(blocks)[-last_n:] if learn == "last-n" else [])]
    for module in learning:
        module.requires_grad_(True)
    return untied


def set_dropout(model: PreTrainedModel, rate: float) -> None:
    """Dropout of ``rate`` wherever the architecture has dropout, in place; the saved configuration is not touched.

    Raises
    ------
    PolicyError
        If it has none.
    """
    found = False
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p, found = rate, True
        for name, value in vars(module).items():
            if name.endswith("dropout") and isinstance(value, (int, float)) and not isinstance(value, bool):
                setattr(module, name, rate)  # attention reads its rate from here
                found = True
    if not found:
        raise PolicyError(f"{type(model).__name__} has no dropout to set. Leave --dropout out.")


def _untie(model: PreTrainedModel, head: Any) -> bool:
    inputs: Any = model.get_input_embeddings()
    if inputs is None or head.weight is not inputs.weight:
        return False
    head.weight = nn.Parameter(inputs.weight.detach().clone())
    model.config.tie_word_embeddings = False
    return True


def _blocks(model: PreTrainedModel) -> tuple[nn.Module, nn.ModuleList]:
    """The module that holds the transformer's blocks, and the blocks."""
    number = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for module in model.modules():
        for child in module.children():
            if isinstance(child, nn.ModuleList) and len(child) == number:
                return module, child
    raise PolicyError(f"{type(model).__name__} has no list of blocks to choose from. Use --learn lora or full.")


def _norms(trunk: nn.Module) -> list[nn.Module]:
    """The norm between the last block and the output layer (named norm, ln_f, final_layer_norm ...)."""
    return [
        child
        for name, child in trunk.named_children()
        if ("norm" in type(child).__name__.lower()) and "embed" not in name
    ]
