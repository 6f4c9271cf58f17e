"""A rule of thumb for the choice of a method: what feedback there is, and what it may cost.

Its support is weak: the choice of the algorithm matters far less than the base model and the data
(Lambert, RLHF Book, ch. 8), and no study that we know of covers all the branches. What the rules do
respect is what each method can be fed with.
"""

from collections.abc import Callable
from typing import NamedTuple

FEEDBACK = ("verifiable", "reward_model", "principles", "thumbs", "pairs")
COMPUTE = ("low", "high")
_KEYS = ("feedback", "compute", "noisy", "fresh_data")


class Rule(NamedTuple):
    """One branch: its condition in words, the condition, and the method that it names."""

    condition: str
    holds: Callable[[dict], bool]
    method: str


# Read from the top; the first that holds decides. From the fifth on, the feedback is pairs.
RULES = (
    Rule("answers can be verified", lambda s: s["feedback"] == "verifiable", "grpo"),
    Rule("there is a reward model", lambda s: s["feedback"] == "reward_model", "ppo"),
    Rule("there are written principles", lambda s: s["feedback"] == "principles", "constitutional"),
    Rule("there are thumbs on single answers", lambda s: s["feedback"] == "thumbs", "kto"),
    Rule(
        "pairs; new samples can be judged, compute is high",
        lambda s: s["fresh_data"] and s["compute"] == "high",
        "online-dpo",
    ),
    Rule("pairs with noisy labels", lambda s: s["noisy"], "kto"),
    Rule("pairs; compute is low", lambda s: s["compute"] == "low", "orpo"),
    Rule("pairs; none of these", lambda s: True, "dpo"),
)


def recommend_method(situation):
    """The method that the first rule that holds names: a starting point, not a verdict.

    Args:
        situation: a dict with
            "feedback": "verifiable", "reward_model", "principles", "thumbs" or "pairs";
            "compute": "low" or "high";
            "noisy": whether the labels are;
            "fresh_data": whether the policy's new samples can be judged.
            Other keys, such as "domain", change nothing.

    Returns:
        "grpo", "ppo", "constitutional", "kto", "online-dpo", "orpo" or "dpo".

    Raises:
        ValueError: `situation` lacks a key, or its feedback or compute is none of those above.
    """
    for key in _KEYS:
        if key not in situation:
            raise ValueError(f"situation has no {key!r}")
    for key, known in (("feedback", FEEDBACK), ("compute", COMPUTE)):
        if situation[key] not in known:
            raise ValueError(f"situation[{key!r}] must be one of {', '.join(known)}, not {situation[key]!r}")
    return next(rule.method for rule in RULES if rule.holds(situation))
