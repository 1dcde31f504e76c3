"""Learning rates for those who give none: by what learns, and from where it starts.

Orders of magnitude that are usual for models of some hundred million weights; larger ones want less.
"""

FROM_SCRATCH = 2e-3
SUPERVISED = {
    "full": 1e-4,
    "head": 5e-4,
    "last-n": 3e-4,
    "lora": 1e-3,
    "adalora": 3e-3,
    "ia3": 1e-2,
    "prefix": 1e-2,
}
REINFORCED, REINFORCED_PRETRAINED = 2e-4, 1e-5


def supervised_rate(learn: str, pretrained: bool) -> float:
    """Peak learning rate of supervised training."""
    return SUPERVISED[learn] if pretrained or learn != "full" else FROM_SCRATCH


def reinforced_rate(learn: str, pretrained: bool) -> float:
    """First learning rate of PPO and its rivals; all weights of a pretrained model learn carefully."""
    return REINFORCED_PRETRAINED if pretrained and learn == "full" else REINFORCED
