"""The parts of trl that PPOTrainer leans on. A failure here says which one an upgrade changed."""

import inspect

import pytest
import trl
from trl import GRPOConfig, GRPOTrainer

from rlopt.training.ppo.trainer import PPOArguments

METHODS = {
    "_generate_and_score_completions": ["self", "inputs"],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_compute_loss": ["self", "model", "inputs"],
    "training_step": ["self", "model", "inputs", "num_items_in_batch"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_optimizer_and_scheduler": ["self", "checkpoint"],
}
WHY = "rlopt.training.ppo.trainer overrides it: adapt PPOTrainer, then this test"


def test_the_tested_minor_version_is_installed() -> None:
    assert trl.__version__.split(".")[:2] == ["1", "16"], f"trl {trl.__version__}: PPOTrainer was tested with 1.16"


@pytest.mark.parametrize("name", METHODS)
def test_overridden_methods_have_the_signature_we_rely_on(name: str) -> None:
    method = getattr(GRPOTrainer, name, None)
    assert method is not None, f"trl.GRPOTrainer lost {name}; {WHY}"
    found = list(inspect.signature(inspect.unwrap(method)).parameters)
    assert found == METHODS[name], f"trl.GRPOTrainer.{name} takes {found}, not {METHODS[name]}; {WHY}"


def test_log_probs_are_asked_for_as_we_answer() -> None:
    found = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    expected = [
        "self",
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
        "batch_size",
        "compute_entropy",
        "compute_aux_loss",
    ]
    assert found[: len(expected)] == expected, f"trl changed _get_per_token_logps_and_entropies to {found}; {WHY}"


@pytest.mark.parametrize(
    "key",
    [
        "prompt_ids",
        "prompt_mask",
        "completion_ids",
        "completion_mask",
        "advantages",
        "num_items_in_batch",
        "old_per_token_logps",
        "ref_per_token_logps",
    ],
)
def test_a_rollout_has_the_tensors_we_read(key: str) -> None:
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert f'"{key}"' in source, f"trl's rollout no longer has {key!r}; {WHY}"


def test_rewards_of_all_processes_come_back_gathered() -> None:
    source = inspect.getsource(inspect.unwrap(GRPOTrainer._calculate_rewards))
    assert "gather(rewards_per_func)" in source, f"trl no longer gathers rewards in _calculate_rewards; {WHY}"


def test_trl_still_refuses_one_generation_which_ppo_allows() -> None:
    with pytest.raises(ValueError, match="at least 2 generations"):
        GRPOConfig(output_dir="x", num_generations=1, use_cpu=True, bf16=False)
    assert PPOArguments(output_dir="x", num_generations=1, use_cpu=True, bf16=False).num_generations == 1
