"""01-derivation: from the KL-regularised objective to the DPO loss."""

from course_utils.checks.exercises.derivation_policies import KL_OBJECTIVE, LOG_PARTITION, OPTIMAL_POLICY
from course_utils.checks.exercises.derivation_preferences import BRADLEY_TERRY, DPO_GRADIENT_WEIGHT
from course_utils.checks.exercises.derivation_rewards import IMPLICIT_REWARD, REWARD_EQUIVALENCE
from course_utils.checks.exercises.derivation_symbolic import (
    CANCEL_PARTITION,
    LAGRANGIAN,
    SOLVE_OPTIMAL_POLICY,
)
from course_utils.checks.questions import RecallQuestion

EXERCISES = (
    KL_OBJECTIVE,
    LAGRANGIAN,
    SOLVE_OPTIMAL_POLICY,
    LOG_PARTITION,
    OPTIMAL_POLICY,
    IMPLICIT_REWARD,
    REWARD_EQUIVALENCE,
    BRADLEY_TERRY,
    CANCEL_PARTITION,
    DPO_GRADIENT_WEIGHT,
)

RECALL = (
    RecallQuestion(
        id="01-a",
        text="All logits of a row are raised by 3. What does log-softmax of that row do?",
        choices={
            "a": "It rises by 3 everywhere.",
            "b": "Nothing: the normaliser rises by 3 as well.",
            "c": "It changes, but the order of the entries stays.",
        },
        right="b",
        why="log-softmax subtracts the log of the sum of the exponentials, which rises by the same 3. "
        "Only differences of logits matter. The same thing happens to rewards in this notebook.",
    ),
    RecallQuestion(
        id="01-b",
        text="KL(p ‖ q) is an expectation. Under which distribution, and when is it zero?",
        choices={
            "a": "Under p; zero only where p = q.",
            "b": "Under q; zero only where p = q.",
            "c": "Under p; zero whenever p and q have the same most likely response.",
        },
        right="a",
        why="KL(p ‖ q) = Σ p (log p - log q): the first distribution does the weighting. It is never "
        "negative, and zero only for equal distributions; the uniqueness of π* rests on that.",
    ),
    RecallQuestion(
        id="01-c",
        text="A fair coin is q, a coin that always shows heads is p. How large is KL(p ‖ q), in nats?",
        choices={"a": "1", "b": "infinite", "c": "log 2, about 0.69"},
        right="c",
        why="1 · (log 1 - log 0.5) = log 2 = 0.69 nats, which is 1 bit. Infinite is the other direction, "
        "KL(q ‖ p), where p gives no probability to tails.",
    ),
)
