"""The parts of trl that PPOTrainer leans on. A failure here says which one an upgrade changed."""

import inspect

import pytest
import trl
from transformers import Trainer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from rlopt.training.ppo.grpo_rloo import TitleGRPOTrainer, TitleRLOOTrainer
from rlopt.training.ppo.trainer import PPOArguments, PPOTrainer

METHODS = {
    "_generate_and_score_completions": ["self", "inputs"],
    "_tokenize_prompts": ["self", "prompts"],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_compute_loss": ["self", "model", "inputs"],
    "compute_loss": ["self", "model", "inputs", "return_outputs", "num_items_in_batch"],
    "training_step": ["self", "model", "inputs", "num_items_in_batch"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_optimizer_and_scheduler": ["self", "checkpoint"],
}
WHY = "rlopt.training.ppo.trainer overrides it: adapt PPOTrainer, then this test"


BOTH = (
    "_generate_and_score_completions",
    "_tokenize_prompts",
    "_calculate_rewards",
    "compute_loss",
    "_compute_loss",
    "training_step",
)
SINGLE_TURN = {
    GRPOTrainer: ["self", "prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images"],
    RLOOTrainer: ["self", "prompt_ids", "images", "multimodal_fields"],
}


def test_the_tested_minor_version_is_installed() -> None:
    assert trl.__version__.split(".")[:2] == ["1", "16"], f"trl {trl.__version__}: PPOTrainer was tested with 1.16"


@pytest.mark.parametrize("name", METHODS)
def test_overridden_methods_have_the_signature_we_rely_on(name: str) -> None:
    method = getattr(GRPOTrainer, name, None)
    assert method is not None, f"trl.GRPOTrainer lost {name}; {WHY}"
    found = list(inspect.signature(inspect.unwrap(method)).parameters)
    assert found == METHODS[name], f"trl.GRPOTrainer.{name} takes {found}, not {METHODS[name]}; {WHY}"


@pytest.mark.parametrize("name", BOTH)
def test_rloo_has_the_same_methods(name: str) -> None:
    method = getattr(RLOOTrainer, name, None)
    assert method is not None, f"trl.RLOOTrainer lost {name}; adapt training.ppo.grpo_rloo and rollouts"
    found = list(inspect.signature(inspect.unwrap(method)).parameters)
    assert found == METHODS[name], f"trl.RLOOTrainer.{name} takes {found}; adapt training.ppo.grpo_rloo and rollouts"


@pytest.mark.parametrize("trainer", SINGLE_TURN)
def test_titles_are_written_where_we_write_them(trainer: type) -> None:
    found = list(inspect.signature(trainer._generate_single_turn).parameters)
    assert found == SINGLE_TURN[trainer], (
        f"trl.{trainer.__name__}._generate_single_turn takes {found}; adapt its overrides in rlopt.training.ppo"
    )
    source = inspect.getsource(trainer)
    for name in ("self.use_vllm", "self.use_transformers_continuous_batching", "unwrap_model_for_generation"):
        assert name in source, f"trl.{trainer.__name__} lost {name}; adapt TitleRollouts._write"


def test_what_a_generation_returns() -> None:
    grpo, rloo = (inspect.getsource(trainer._generate_single_turn) for trainer in (GRPOTrainer, RLOOTrainer))
    assert "return completion_ids, logprobs" in grpo, "GRPOTrainer._generate_single_turn returns something else now"
    assert "return completion_ids\n" in rloo, "RLOOTrainer._generate_single_turn returns something else now"


@pytest.mark.parametrize("trainer", [PPOTrainer, TitleGRPOTrainer, TitleRLOOTrainer])
def test_our_overrides_come_before_trls_methods(trainer: type) -> None:
    order = [parent.__module__.split(".")[0] for parent in trainer.__mro__]
    assert order.index("rlopt") < order.index("trl"), f"{trainer.__name__} must inherit from TitleRollouts first"


def test_rloo_computes_policy_then_reference_in_a_rollout() -> None:
    source = inspect.getsource(RLOOTrainer._generate_and_score_completions)
    policy, reference = source.find("old_per_token_logps, _, _ ="), source.find("ref_per_token_logps, _, _ =")
    assert 0 < policy < reference, "RLOOTrainer changed how it gets log-probs; TitleRLOOTrainer's KL relies on it"
    fields = RLOOConfig.__dataclass_fields__
    for name in ("beta", "num_iterations", "epsilon", "reward_weights", "use_vllm", "vllm_mode"):
        assert name in fields, f"RLOOConfig lost {name}; adapt rlopt.training.ppo.learn"


def test_grpo_reads_with_the_reference_last_in_a_rollout() -> None:
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    last = source.rfind("self._get_per_token_logps_and_entropies(")
    assert "ref_per_token_logps, _, _ =" in source[last - 60 : last], (
        "GRPOTrainer computes other log-probs after the reference's; PPOTrainer's critic takes the last states it heard"
    )
    assert 'output["sampling_per_token_logps"] = sampling_per_token_logps' in source, (
        "GRPOTrainer no longer keeps the sampler's log-probs; PPOTrainer._old_log_probs takes them from the rollout"
    )


def test_grpo_logs_its_kl_as_a_mean_over_tokens() -> None:
    source = inspect.getsource(GRPOTrainer._compute_loss)
    assert '["kl"].append(global_masked_mean(per_token_kl))' in source, (
        "GRPOTrainer logs its KL another way; TitleGRPOTrainer turns it into nats per title"
    )


def test_rewards_without_a_value_count_nothing() -> None:
    for trainer in (GRPOTrainer, RLOOTrainer):
        source = inspect.getsource(trainer._generate_and_score_completions)
        assert "nansum(dim=1)" in source, f"{trainer.__name__} counts missing rewards: the monitor would be optimised"


def test_new_adapters_have_the_base_model_as_reference() -> None:
    for trainer in (GRPOTrainer, RLOOTrainer):
        source = inspect.getsource(trainer._generate_and_score_completions)
        assert 'adapter_name="ref" if "ref" in model.peft_config else None' in source, (
            f"{trainer.__name__} takes another reference for adapters; the KL would be to something else"
        )


def test_the_best_checkpoint_is_kept_and_loaded_by_transformers() -> None:
    assert hasattr(Trainer, "_load_best_model"), "transformers lost Trainer._load_best_model; adapt checkpoints.train"
    source = inspect.getsource(Trainer._save_checkpoint)
    assert "best_model_checkpoint=self.state.best_model_checkpoint" in source, (
        "transformers no longer spares state.best_model_checkpoint when it removes old checkpoints; adapt PeakGuard"
    )
    assert hasattr(TrainerCallback, "on_optimizer_step"), "transformers lost on_optimizer_step; AdaLoRA needs it"


def test_log_probs_are_asked_for_as_we_answer() -> None:
    for trainer in (GRPOTrainer, RLOOTrainer):
        _check_log_probs(trainer)


def _check_log_probs(trainer: type) -> None:
    found = list(inspect.signature(trainer._get_per_token_logps_and_entropies).parameters)
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


def test_the_coefficient_of_the_kl_is_read_at_every_step() -> None:
    grpo, rloo = inspect.getsource(GRPOTrainer), inspect.getsource(RLOOTrainer)
    assert "self.beta * per_token_kl" in grpo, "GRPOTrainer weights its KL otherwise; adapt training.ppo.grpo_rloo"
    assert "self.beta * kl" in rloo, "RLOOTrainer weights its KL otherwise; adapt training.ppo.grpo_rloo"
