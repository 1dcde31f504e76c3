"""The adapters of parameter-efficient fine-tuning (peft), where not the model's own weights learn."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from peft import AdaLoraConfig, IA3Config, LoraConfig, PeftConfig, PeftModel, PrefixTuningConfig
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rlopt.errors import PolicyError

_ADALORA_STEPS = 3
IMPORTANCE_FILE = "adalora_importance.safetensors"
PATTERN_FILE = "adalora_ranks.json"


def adapter_config(
    learn: str,
    rank: int,
    steps: int,
    own: Mapping[str, Any] | None = None,
    *,
    dropout: float = 0.0,
    prefix_length: int = 0,
) -> PeftConfig | None:
    """Configuration of the adapters; None where the model's own weights learn.

    Parameters
    ----------
    learn
        "lora" or "adalora" on every linear layer, "ia3", "prefix"; anything else needs no adapters.
    rank
        Rank of LoRA; AdaLoRA starts at 1.5 times of it and spends ``rank`` on average.
    steps
        Optimiser steps of the training: AdaLoRA shares out its ranks over them.
    own
        Any configuration of peft by its own names (``peft_type`` and its settings); wins over ``learn``.
    dropout
        Dropout of LoRA's and AdaLoRA's input.
    prefix_length
        Virtual tokens of a prefix; nothing else has any.

    Raises
    ------
    PolicyError
        If peft does not know ``own``, its adapters cannot be merged into the weights, or AdaLoRA has too few steps.
    """
    if own:
        return _own(own)
    if learn == "lora":
        return lora(rank, dropout)
    if learn == "adalora":
        if steps < _ADALORA_STEPS:
            raise PolicyError(
                f"adalora shares out ranks in the middle of training and needs {_ADALORA_STEPS} steps at least. Got "
                f"{steps}. Set --steps."
            )
        return AdaLoraConfig(
            init_r=max(rank + 1, round(1.5 * rank)),
            target_r=rank,
            lora_alpha=2 * rank,
            lora_dropout=dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            total_step=steps,
            tinit=steps // 10,
            tfinal=steps // 2,
            deltaT=max(1, steps // 100),
        )
    if learn == "ia3":
        return IA3Config(task_type="CAUSAL_LM")
    if learn == "prefix":
        return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=prefix_length)
    return None


def lora(rank: int, dropout: float = 0.0) -> LoraConfig:
    """LoRA on every linear layer (Hu et al. 2021), scaled so that the rank does not change the step size."""
    return LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def with_adapters(model: PreTrainedModel, config: PeftConfig) -> PeftModel:
    """``model`` with fresh adapters, all else frozen.

    Raises
    ------
    PolicyError
        If peft does not know where to put them in this architecture.
    """
    try:
        adapted: PeftModel = peft.get_peft_model(model, config)
    except ValueError as error:
        reason = str(error).strip().split("\n", 1)[0].rstrip(".")
        raise PolicyError(
            f"peft's {type(config).__name__} does not fit {type(model).__name__}: {reason}. Use --learn lora."
        ) from error
    return adapted


def _own(own: Mapping[str, Any]) -> PeftConfig:
    try:
        config: PeftConfig = peft.get_peft_config({"task_type": "CAUSAL_LM", **own})
    except (KeyError, TypeError, ValueError) as error:
        raise PolicyError(
            f"peft_config is not a configuration of peft: {error}. It needs peft_type (such as LOHA or OFT) and that "
            "type's own settings."
        ) from error
    if config.is_prompt_learning:
        raise PolicyError(
            f"peft_config: {own['peft_type']} learns a prompt, which cannot be merged into a plain model folder. "
            "Take adapters on weights, such as LORA, ADALORA, LOHA or OFT."
        )
    return config


class AllocateRanks(TrainerCallback):
    """AdaLoRA's part of the training loop (Zhang et al. 2023): ranks are shared out again after each step.

    The pattern of living ranks is kept here and not in peft's configuration, where it would make peft cut the tensors
    of a checkpoint to sizes that training cannot go on from. Dead ranks are zeros, so merging loses nothing.
    """

    def __init__(self) -> None:
        self.pattern: dict[str, list[bool]] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Take back which ranks live, and how important each is, from the checkpoint that training goes on from."""
        adapted = _adalora(model)
        folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if adapted is None or not (folder / IMPORTANCE_FILE).exists():
            return
        for name, tensor in load_file(folder / IMPORTANCE_FILE).items():
            table, parameter = name.split("|", 1)
            getattr(adapted.rankallocator, table)[parameter] = tensor.to(args.device)
        self.pattern = json.loads((folder / PATTERN_FILE).read_text(encoding="utf-8"))

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """After the optimiser's step, while the gradients are still there."""
        adapted = _adalora(model)
        if adapted is None or all(p.grad is None for p in adapted.parameters()):
            return
        config = adapted.peft_config[adapted.trainable_adapter_name]
        config.rank_pattern = self.pattern
        adapted.update_and_allocate(state.global_step + 1)
        self.pattern, config.rank_pattern = config.rank_pattern, None

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Keep the importance of each rank, which peft leaves out of its checkpoints."""
        adapted = _adalora(model)
        if adapted is None or not state.is_world_process_zero:
            return
        tensors: dict[str, torch.Tensor] = {
            f"{table}|{name}": tensor.detach().clone()
            for table in ("ipt", "exp_avg_ipt", "exp_avg_unc")
            for name, tensor in getattr(adapted.rankallocator, table).items()
        }
        folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        save_file(tensors, folder / IMPORTANCE_FILE)
        (folder / PATTERN_FILE).write_text(json.dumps(self.pattern), encoding="utf-8")


def _adalora(model: Any) -> Any:
    """The AdaLoRA layer below peft's and any process wrapper, None for other models."""
    adapted = getattr(model, "module", model)
    return (
        adapted.base_model if isinstance(adapted, PeftModel) and hasattr(adapted.base_model, "rankallocator") else None
    )
