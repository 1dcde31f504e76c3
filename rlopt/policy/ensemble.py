"""Several policies that write as one: their next-token distributions averaged, or their titles ranked by all of them.

The mean of the distributions is the mixture that deep ensembles predict with (Lakshminarayanan et al. 2017, "Simple and
scalable predictive uncertainty estimation using deep ensembles"), here token by token. Ranking asks nothing of the
members but a log-probability, so they may have different tokenizers, and what writes may be anything.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from reward.items import Item
from rlopt.config import Decoding
from rlopt.errors import PolicyError

from .constraints import Constraints
from .title_policy import GeneratedTitle, TitlePolicy, read_alike

CANDIDATES = 8  # titles that are ranked for each one that is kept


class Mixture(PreTrainedModel, GenerationMixin):
    """A causal language model whose next-token probabilities are the mean of its members'.

    Sampling, beam search and log-probabilities take it for any other model. Its config has the layers of all members,
    so that one cache holds the keys and values of all, each member's after those of the ones before.

    Parameters
    ----------
    members
        Causal language models with one vocabulary, on one device.
    """

    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, members: Sequence[PreTrainedModel]) -> None:
        configs = [member.config.get_text_config(decoder=True) for member in members]
        config = copy.deepcopy(configs[0])
        config.num_hidden_layers = sum(int(one.num_hidden_layers) for one in configs)
        if getattr(config, "layer_types", None) is not None:
            config.layer_types = [kind for one in configs for kind in one.layer_types]
        super().__init__(config)
        self.generation_config = copy.deepcopy(members[0].generation_config)
        self.members = torch.nn.ModuleList(members)
        ends = np.cumsum([int(one.num_hidden_layers) for one in configs]).tolist()
        self._layers = [slice(end - int(one.num_hidden_layers), end) for end, one in zip(ends, configs, strict=True)]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        use_cache: bool = False,
        logits_to_keep: int | Tensor = 0,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Logits are the log of the mean of the members' probabilities, shape (B, T, V)."""
        logs = []
        for member, layers in zip(self.members, self._layers, strict=True):
            found = member(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=None if past_key_values is None else _part(past_key_values, layers),
                use_cache=use_cache,
                logits_to_keep=logits_to_keep,
            )
            logs.append(torch.log_softmax(found.logits.float(), dim=-1))
        mean = torch.stack(logs).logsumexp(dim=0) - float(np.log(len(logs)))
        return CausalLMOutputWithPast(logits=mean, past_key_values=past_key_values)


class Ranked(TitlePolicy):
    """Writes `CANDIDATES` titles for each one asked for and keeps those with the best mean log-probability.

    Parameters
    ----------
    writer
        The policy that writes.
    others
        The policies that rank the titles together with the writer.
    """

    def __init__(self, writer: TitlePolicy, others: Sequence[TitlePolicy]) -> None:
        super().__init__(writer.model, writer.tokenizer, writer.renderer, writer.max_title_tokens)
        self.raters = (writer, *others)

    def write(
        self, items: Sequence[Item], n: int, how: Decoding, constraints: Constraints | None = None
    ) -> list[list[GeneratedTitle]]:
        """Write titles as `TitlePolicy.write`; an item's titles differ as long as there are enough, the best first."""
        wanted = n * CANDIDATES
        wide = how.model_copy(update={"beams": max(how.beams, wanted) if how.beams > 1 else 1})
        written = super().write(items, wanted, wide, constraints)
        owners = [item for item, titles in zip(items, written, strict=True) for _ in titles]
        texts = [title.text for titles in written for title in titles]
        score = np.mean([judge.log_prob(owners, texts, how.batch_size) for judge in self.raters], axis=0)
        out, start = [], 0
        for titles in written:
            ranked = [titles[k] for k in np.argsort(-score[start : start + len(titles)], kind="stable")]
            start += len(titles)
            # the same title again says nothing new: all first ones go before their repeats
            first = {title.text: title for title in reversed(ranked)}
            ranked.sort(key=lambda title: first[title.text] is not title)
            out.append(ranked[:n])
        return out


def ensemble(policies: Sequence[TitlePolicy], folders: Sequence[str | Path], by: str) -> TitlePolicy:
    """One policy of several.

    Parameters
    ----------
    policies
        The members; titles are rendered, and with ``by="titles"`` written, by the first.
    folders
        Folders they came from, for messages.
    by
        "tokens": the mean of their next-token distributions writes. "titles": the first writes, all rank.

    Raises
    ------
    PolicyError
        If distributions are to be averaged and the members do not share tokens and prompts.
    """
    first = policies[0]
    if by == "titles":
        return Ranked(first, policies[1:])
    check_alike(policies, folders)
    mixture = Mixture([policy.model for policy in policies])
    return TitlePolicy(mixture, first.tokenizer, first.renderer, first.max_title_tokens)


def check_alike(policies: Sequence[TitlePolicy], folders: Sequence[str | Path]) -> None:
    """Check that members read and write the same tokens in the same prompts.

    Raises
    ------
    PolicyError
        Names the first that does not.
    """
    first = policies[0]
    for policy, folder in zip(policies[1:], folders[1:], strict=True):
        if not read_alike(first, policy):
            what = "prompts" if policy.tokenizer.get_vocab() == first.tokenizer.get_vocab() else "tokens"
            raise PolicyError(
                f"{folder} has other {what} than {folders[0]}, so that the two cannot be averaged. "
                "Take policies of one run (other seeds, PPO and SFT); generate can also rank titles by several "
                "policies (--ensemble --ensemble-by titles)."
            )


def _part(cache: DynamicCache, layers: slice) -> DynamicCache:
    """The cache of one member: the same layer objects, so that what it adds is in the whole."""
    part = DynamicCache()
    part.layers = cache.layers[layers]
    return part
