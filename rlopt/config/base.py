"""What every stage's settings share: frozen, no unknown keys, no NaN."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from reward.seeds import MAX_SEED


class StageConfig(BaseModel):
    """Base: frozen, no unknown keys, no NaN; ``section`` is its key in a YAML preset."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)
    section: ClassVar[str]

    seed: int = Field(0, ge=0, le=MAX_SEED, description="Seed of everything random in the stage.")

    def files(self) -> list[str]:
        """Files that the settings name; what these hold counts like the settings themselves."""
        return []
