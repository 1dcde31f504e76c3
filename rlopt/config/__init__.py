"""Every setting of every stage, documented once, and how presets and flags set them."""

from .abtests import AbAnalyzeConfig, AbConfig, AbPlanConfig
from .base import StageConfig
from .evaluation import CompareConfig, EvalConfig, ProbeConfig, TextConfig
from .exploring import ExploreConfig
from .exporting import ExportConfig
from .learning import PpoConfig, RewardConfig, SftConfig
from .presets import STAGES, load, read_preset
from .reviewing import ReviewConfig
from .serving import ServeConfig
from .tagging import ShortenConfig, TagConfig
from .writing import Decoding, GenerateConfig, RulesConfig, SimulateConfig

__all__ = [
    "STAGES",
    "AbAnalyzeConfig",
    "AbConfig",
    "AbPlanConfig",
    "CompareConfig",
    "Decoding",
    "EvalConfig",
    "ExploreConfig",
    "ExportConfig",
    "GenerateConfig",
    "PpoConfig",
    "ProbeConfig",
    "ReviewConfig",
    "RewardConfig",
    "RulesConfig",
    "ServeConfig",
    "SftConfig",
    "ShortenConfig",
    "SimulateConfig",
    "StageConfig",
    "TagConfig",
    "TextConfig",
    "load",
    "read_preset",
]
