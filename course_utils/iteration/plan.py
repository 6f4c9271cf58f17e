"""What a month's retraining is asked for; it imports nothing heavy, so that `--help` can read it."""

import math
from dataclasses import dataclass, field


def _option(default, words):
    return field(default=default, metadata={"help": words})


LEAST = {
    "cap": 1, "rows": 0, "steps": 1, "batch_size": 2, "r": 1, "checkpoint_every": 1, "judgements": 1,
    "safety_samples": 1, "seed": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a month's retraining is asked for; each field is an option of the command, and changes the result."""

    share_new: float = _option(0.5, "share of this month's votes in the mix")
    holdout: float = _option(0.2, "share of the users, and of the shared prompts, that are held out")
    cap: int = _option(20, "most votes of a user in a month")
    rows: int = _option(0, "rows of the mix, 0 for as many as there are")
    beta: float = _option(0.5, "of KTO")
    lr: float = _option(2e-3, "learning rate of the LoRA")
    steps: int = _option(60, "updates")
    batch_size: int = _option(64, "votes in a batch")
    r: int = _option(8, "rank of the LoRA")
    checkpoint_every: int = _option(20, "updates between two checkpoints")
    judgements: int = _option(600, "answers compared on held-out prompts, at most")
    safety_samples: int = _option(20, "answers to each prompt of the safety sets")
    margin: float = _option(0.05, "of the gate: how much more often a fault may occur")
    seed: int = _option(0, "of everything random")

    def __post_init__(self):
        """Refuse at once what a step would refuse after hours; a ValueError names the field."""
        for name, low in LEAST.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, not {getattr(self, name)}")
        for name in ("holdout", "margin"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("beta", "lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, not {getattr(self, name)}")
        if not 0 < self.share_new <= 1:
            raise ValueError(f"share_new must be above 0 and at most 1, not {self.share_new}")
        if self.rows == 1:
            raise ValueError("rows must be 0 or at least 2, not 1")
        if self.seed >= 2**32:
            raise ValueError(f"seed must be below 2^32, not {self.seed}")
