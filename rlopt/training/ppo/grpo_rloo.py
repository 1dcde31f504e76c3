"""GRPO and RLOO on the rewards, prompts, reference and KL target of PPO: trl's own trainers, its real rivals.

Both take a title's baseline from the other titles written for the same item instead of from a critic (Shao et al.
2024, "DeepSeekMath"; Ahmadian et al. 2024, "Back to Basics"). What is theirs, loss and advantages, stays trl's.
"""

from typing import Any

from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from rlopt.training.rollouts import TitleRollouts

from .kl_to_reference import HeldToReference
from .settings import PpoSettings, ScoreSoFar


class _Rival(HeldToReference, TitleRollouts):
    """Parts that both rivals share with PPO: reproducible rollouts, the KL in nats per title, and its controller.

    After each update, ``beta``, trl's coefficient of the KL, takes the controller's value.
    """

    def __init__(self, settings: PpoSettings, score_so_far: ScoreSoFar, **parts: Any) -> None:
        super().__init__(settings, **parts)  # without a critic, scores of unfinished titles are of no use

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        self.beta = self.kl_controller.coefficient

    def _end_window(self) -> None:
        super()._end_window()
        self.beta = self.kl_controller.coefficient


class TitleGRPOTrainer(_Rival, GRPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """trl's GRPOTrainer."""

    _tag_names = ("rlopt", "grpo")

    @staticmethod
    def arguments(settings: PpoSettings, shared: dict[str, Any]) -> GRPOConfig:
        """Trl's arguments."""
        return GRPOConfig(**shared, beta=settings.config.kl_coef, entropy_coef=settings.config.entropy_coef)

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], Any]:
        if self._samples_itself:
            return self._write(prompt_ids)[0], None
        written: tuple[list[list[int]], Any] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        return written


class TitleRLOOTrainer(_Rival, RLOOTrainer):  # type: ignore[misc]
    """trl's RLOOTrainer."""

    _tag_names = ("rlopt", "rloo")

    @staticmethod
    def arguments(settings: PpoSettings, shared: dict[str, Any]) -> RLOOConfig:
        """Trl's arguments."""
        return RLOOConfig(**shared, beta=settings.config.kl_coef)

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> list[list[int]]:
        if self._samples_itself:
            return self._write(prompt_ids)[0]
        written: list[list[int]] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        return written
