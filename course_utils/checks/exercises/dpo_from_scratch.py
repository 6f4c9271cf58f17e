"""02-dpo-from-scratch: log-probabilities, the loss, a training step."""

from course_utils.checks.exercises.dpo_chunked import CHUNKED_LOGPROBS
from course_utils.checks.exercises.dpo_collate import COLLATE_PREFERENCES
from course_utils.checks.exercises.dpo_length import LENGTH_BIAS
from course_utils.checks.exercises.dpo_loss import DPO_LOSS
from course_utils.checks.exercises.dpo_metrics import DPO_METRICS
from course_utils.checks.exercises.dpo_sequences import SEQUENCE_LOGPROB
from course_utils.checks.exercises.dpo_step import TRAIN_STEP
from course_utils.checks.exercises.dpo_tokens import TOKEN_LOGPROBS
from course_utils.checks.questions import RecallQuestion

EXERCISES = (
    TOKEN_LOGPROBS,
    SEQUENCE_LOGPROB,
    COLLATE_PREFERENCES,
    DPO_LOSS,
    DPO_METRICS,
    TRAIN_STEP,
    CHUNKED_LOGPROBS,
    LENGTH_BIAS,
)

RECALL = (
    RecallQuestion(
        id="02-a",
        text="All logits of one position are raised by 3. What happens to the log-probabilities?",
        choices={
            "a": "Each rises by 3.",
            "b": "Each rises by log 3.",
            "c": "Nothing: they stay the same.",
            "d": "Likely tokens gain, unlikely ones lose.",
        },
        right="c",
        why="The log of the sum of the exponentials rises by 3 as well, and is taken off. Only differences of logits count.",
    ),
    RecallQuestion(
        id="02-b",
        text="Why does log Z(x) not appear in the DPO loss?",
        choices={
            "a": "It is small for a good reference, and is left out.",
            "b": "It is the same for both responses to a prompt, and a Bradley-Terry probability depends on their "
            "difference only.",
            "c": "It is 0, because the reference's probabilities sum to 1.",
            "d": "It is estimated from samples and divided out.",
        },
        right="b",
        why="Both implicit rewards hold the same β log Z(x), and the difference cancels it exactly. "
        "A loss on single responses would keep it.",
    ),
    RecallQuestion(
        id="02-c",
        text="Policy and reference are equal and β = 0.1. By what factor (its size) does DPO's gradient scale "
        "∇(log π(chosen) − log π(rejected))?",
        choices={"a": "0", "b": "0.05", "c": "0.1", "d": "0.5"},
        right="b",
        why="The factor is β σ(−β · margin); the margin is 0 at the start, and σ(0) = 1/2: 0.1 · 0.5 = 0.05.",
    ),
)
