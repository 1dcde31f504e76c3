"""Default learning rates: each way to learn has one, and what can break more moves less."""

from typing import get_args

from rlopt.config import PpoConfig, SftConfig
from rlopt.training.learning_rates import reinforced_rate, supervised_rate


def test_every_way_to_learn_has_a_rate() -> None:
    for learn in get_args(SftConfig.model_fields["learn"].annotation):
        assert 0 < supervised_rate(learn, pretrained=True) < 0.1
    for learn in set(get_args(PpoConfig.model_fields["learn"].annotation)) - {"auto"}:
        assert 0 < reinforced_rate(learn, pretrained=True) < 1e-2


def test_all_weights_of_a_pretrained_model_learn_in_the_smallest_steps() -> None:
    for rate in (supervised_rate, reinforced_rate):
        assert rate("full", True) < rate("full", False)
        assert rate("full", True) < rate("lora", True)
