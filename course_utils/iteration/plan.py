"""What a month's retraining is asked for; it imports nothing heavy, so that `--help` can read it."""

from dataclasses import dataclass, field


def _option(default, words):
    return field(default=default, metadata={"help": words})


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
