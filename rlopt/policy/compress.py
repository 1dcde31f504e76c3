"""Smaller and merged models that plain transformers loads: pruned neurons, quantised weights, averaged weights."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from reward.items import Item
from rlopt.errors import PolicyError

from .scoring import left_pad
from .title_policy import TitlePolicy

MEASURED_AT_ONCE = 16  # titles
QUANTISERS = {"int8": "torchao", "nf4": "bitsandbytes"}


def prune_neurons(policy: TitlePolicy, share: float, pairs: Sequence[tuple[Item, str]]) -> None:
    """Take ``share`` of the neurons out of each gated MLP of the policy's model, in place: those that add least.

    Single weights set to zero (Han et al. 2015, "Learning both weights and connections for efficient neural
    networks") make a file no smaller and a CPU no faster; neurons do both, and what remains is an ordinary model of
    the same architecture. What a neuron adds is measured where it works (`neuron_sizes`), as for single weights by Sun
    et al. 2024, "A simple and effective pruning approach for large language models": the norms of its weights alone
    miss the few neurons of a pretrained model on which everything hangs.

    Parameters
    ----------
    pairs
        Items and titles on which it is measured.

    Raises
    ------
    PolicyError
        If the model has no gated MLPs of one width, or no neuron would be taken or remain.
    """
    model = policy.model
    width = getattr(model.config, "intermediate_size", None)
    blocks: list[Any] = [block for block in model.modules() if _is_gated(block)]
    if width is None or not blocks or any(block.up_proj.out_features != width for block in blocks):
        raise PolicyError(
            f"--prune takes neurons out of gated MLPs of one width (Llama, Qwen, Mistral, Gemma and the like), and "
            f"{type(model).__name__} has none. Use --quantize or --distill-into tiny."
        )
    kept: int = width - round(share * width)
    if kept == width:
        raise PolicyError(f"--prune {share:g} would take none of {width} neurons away. Give a larger share.")
    if kept < 1:
        raise PolicyError(f"--prune {share:g} would leave none of {width} neurons. Give a smaller share.")
    for block, sizes in zip(blocks, neuron_sizes(policy, blocks, pairs), strict=True):
        rows = sizes.topk(kept).indices.sort().values
        for name in ("gate_proj", "up_proj"):
            _keep(getattr(block, name), rows, dim=0)
        _keep(block.down_proj, rows, dim=1)
        block.intermediate_size = kept
    model.config.intermediate_size = kept


def neuron_sizes(policy: TitlePolicy, blocks: Sequence[Any], pairs: Sequence[tuple[Item, str]]) -> list[torch.Tensor]:
    """Root mean square of what each neuron adds to the residual stream, over all tokens: of each block shape (width,).

    A neuron adds its activation times its column of ``down_proj``; the activations are those on prompts and titles.
    """
    prompts = policy.prompt_ids([item for item, _ in pairs])
    rows = [prompt + policy.target_ids(item, title) for prompt, (item, title) in zip(prompts, pairs, strict=True)]
    squares = [torch.zeros(block.down_proj.in_features, dtype=torch.float64) for block in blocks]
    tokens = 0
    for start in range(0, len(rows), MEASURED_AT_ONCE):
        ids, mask = left_pad(rows[start : start + MEASURED_AT_ONCE], int(policy.tokenizer.pad_token_id))
        tokens += int(mask.sum())
        for total, inputs in zip(squares, _inputs(policy.model, blocks, ids, mask), strict=True):
            total += inputs[mask.bool()].double().square().sum(dim=0)
    norms = [block.down_proj.weight.detach().double().norm(dim=0).cpu() for block in blocks]
    return [norm * (total / tokens).sqrt() for norm, total in zip(norms, squares, strict=True)]


def _inputs(model: PreTrainedModel, blocks: Sequence[Any], ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
    """Inputs of each block's ``down_proj``, shape (batch, length, width)."""
    found: list[torch.Tensor] = []
    hooks = [
        block.down_proj.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0].detach().cpu()))
        for block in blocks
    ]
    try:
        with torch.inference_mode():
            model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def average_weights(models: Sequence[PreTrainedModel]) -> None:
    """Put the mean of all models' weights into the first (Wortsman et al. 2022, "Model soups").

    It means something for models that were fine-tuned from one start, such as a run's SFT and PPO policies, or PPO
    with several seeds; models trained from different random weights average to noise.

    Raises
    ------
    PolicyError
        If the models differ in their layers, or in whether the output layer shares the embeddings' weights.
    """
    states = [model.state_dict() for model in models]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    if any(shape != shapes[0] for shape in shapes[1:]):
        raise PolicyError(
            "Models of different architectures have no average. Take policies that were trained from one start."
        )
    if len({bool(model.config.tie_word_embeddings) for model in models}) > 1:
        raise PolicyError(
            "In some of these models the output layer has weights of its own (they learned with head or last-n), in "
            "others it shares the embeddings': they have no average."
        )
    mean = {}
    for name, tensor in states[0].items():
        if tensor.is_floating_point():  # in double precision: the mean of equal weights is exactly these
            mean[name] = torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
    models[0].load_state_dict(mean, strict=False)


def load_quantised(folder: Path, kind: str) -> PreTrainedModel:
    """The model in ``folder`` with the weights of its linear layers in few bits; save it before it computes anything.

    Embeddings, norms and the output layer stay as they are.

    Parameters
    ----------
    kind
        "int8": torchao's weight-only int8, one scale a row; on CPU and GPU. (Its int8 activations, "dynamic"
        quantisation, make each token take 2 to 7 times as long as float on CPU, so that is not offered.)
        "nf4": bitsandbytes' 4-bit NormalFloat (Dettmers et al. 2023, "QLoRA"), made for GPUs.

    Raises
    ------
    PolicyError
        If the package is missing, the machine cannot do it, or the model is quantised already.
    """
    package = QUANTISERS[kind]
    if find_spec(package) is None:
        raise PolicyError(f"--quantize {kind} needs the package {package}: pip install {package}")
    if kind == "nf4" and not torch.cuda.is_available():  # on CPU its layout depends on the processor and layer widths
        raise PolicyError("--quantize nf4 needs a GPU, and this machine shows none. Use int8.")
    try:
        return AutoModelForCausalLM.from_pretrained(folder, quantization_config=_scheme(kind), dtype=torch.float32)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).split("\n", 1)[0].rstrip(".")
        raise PolicyError(f"{folder} cannot be quantised with {package} on this machine: {reason}.") from error


def is_quantised(model: PreTrainedModel) -> bool:
    """True for weights in few bits: they can be neither pruned nor averaged nor quantised again."""
    return getattr(model.config, "quantization_config", None) is not None


def _scheme(kind: str) -> Any:
    if kind == "int8":
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        return TorchAoConfig(Int8WeightOnlyConfig())
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")


def _is_gated(module: nn.Module) -> bool:
    return all(isinstance(getattr(module, name, None), nn.Linear) for name in ("gate_proj", "up_proj", "down_proj"))


def _keep(layer: nn.Linear, indices: torch.Tensor, dim: int) -> None:
    """Only these outputs (``dim`` 0) or inputs (1) of ``layer``."""
    layer.weight = nn.Parameter(layer.weight.detach().index_select(dim, indices).contiguous())
    if dim == 0:
        layer.out_features = len(indices)
        if layer.bias is not None:
            layer.bias = nn.Parameter(layer.bias.detach()[indices])
    else:
        layer.in_features = len(indices)
