"""Prefix tuning (Li and Liang 2021): learned keys and values that every layer sees before the prompt.

They are no weights and cannot be merged into any. So a policy with a prefix is saved as peft's folder with the plain
model beside it in ``base/``, and used as the plain model with a hook that puts the prefix into the empty cache.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PrefixTuningConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from rlopt.errors import PolicyError

BASE = "base"  # folder of the plain model below that of the prefix
CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
KEY = "prompt_embeddings"  # peft's name for them


@dataclass(frozen=True)
class Prefix:
    """A learned prefix.

    Parameters
    ----------
    embeddings
        Keys and values, shape (length, layers * 2 * heads * head_dim), as peft keeps them.
    config
        peft's description of their shape.
    """

    embeddings: Tensor
    config: PrefixTuningConfig

    @classmethod
    def load(cls, folder: Path) -> "Prefix":
        """The prefix saved in ``folder``.

        Raises
        ------
        PolicyError
            If it is damaged, or holds other adapters.
        """
        try:
            config = PeftConfig.from_pretrained(str(folder))
            if not isinstance(config, PrefixTuningConfig):
                raise ValueError(f"it holds {config.peft_type} adapters")
            return cls(load_file(folder / WEIGHTS_FILE)[KEY], config)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            reason = str(error).strip().split("\n", 1)[0]
            raise PolicyError(
                f"{folder} holds no prefix that can be read ({reason}). Train it again: rlopt sft --learn prefix"
            ) from error

    def save(self, folder: Path) -> None:
        """Write it as peft does; the plain model belongs into `BASE` below ``folder``."""
        self.config.base_model_name_or_path = f"./{BASE}"  # with the dot no hub takes it for a name
        self.config.inference_mode = True
        self.config.save_pretrained(str(folder))
        save_file({KEY: self.embeddings.detach().contiguous().cpu()}, folder / WEIGHTS_FILE)

    @property
    def length(self) -> int:
        """Number of virtual tokens."""
        return len(self.embeddings)

    def attach(self, model: PreTrainedModel) -> None:
        """From now on ``model`` reads the prefix before whatever it is given, in training code and generation alike."""
        model.register_forward_pre_hook(self._before, with_kwargs=True)

    def keys_and_values(self, model: PreTrainedModel) -> Tensor:
        """Shape (layers * 2, 1, heads, length, head_dim): keys and values of a layer after each other."""
        layers, heads = int(self.config.num_layers or 0), int(self.config.num_attention_heads or 0)
        shaped = self.embeddings.view(self.length, layers * 2, heads, -1)
        return shaped.permute(1, 2, 0, 3).unsqueeze(1).to(model.device, model.dtype)

    def _before(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        """The call as it would be, had the model read the prefix: cache, mask and positions."""
        ids = args[0] if args else kwargs["input_ids"]
        cache = kwargs.get("past_key_values")
        if cache is None or cache.get_seq_length() == 0:
            cache = DynamicCache(config=model.config) if cache is None else cache
            both = self.keys_and_values(model).expand(-1, len(ids), -1, -1, -1)
            for layer in range(len(both) // 2):
                cache.update(both[2 * layer], both[2 * layer + 1], layer)
        mask, positions = kwargs.get("attention_mask"), kwargs.get("position_ids")
        if mask is not None:
            if positions is None:  # padding on the left takes no position
                positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            mask = torch.cat([mask.new_ones(len(mask), self.length), mask], dim=1)
        changed = {"past_key_values": cache, "attention_mask": mask}
        if positions is not None:
            changed["position_ids"] = positions + self.length
        return args, {**kwargs, **changed}
