"""What is done to training examples at random, as a frozen dataclass that checks its values when it is made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training examples; none by default. Validation, test and exported models never have any."""
