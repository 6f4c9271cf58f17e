"""04-kto-pipeline: from thumbs to a monitored service."""

from course_utils.checks.exercises.pipeline_bugs import BUGS
from course_utils.checks.exercises.pipeline_cleaning import CLEAN_FEEDBACK, FLAG_BIASED_USERS
from course_utils.checks.exercises.pipeline_evaluation import BLIND_COMPARISON, WIN_RATE
from course_utils.checks.exercises.pipeline_formats import KTO_WEIGHTS, TO_KTO, TO_PAIRS
from course_utils.checks.exercises.pipeline_monitoring import DETECT_FAILURES, LATENCY_PERCENTILE
from course_utils.checks.exercises.pipeline_rollout import ASSIGN_VARIANT, ROLLOUT_DECISION
from course_utils.checks.exercises.pipeline_splitting import SPLIT_FEEDBACK
from course_utils.checks.questions import RecallQuestion

EXERCISES = (
    FLAG_BIASED_USERS,
    CLEAN_FEEDBACK,
    SPLIT_FEEDBACK,
    TO_KTO,
    TO_PAIRS,
    KTO_WEIGHTS,
    BLIND_COMPARISON,
    WIN_RATE,
    ASSIGN_VARIANT,
    ROLLOUT_DECISION,
    DETECT_FAILURES,
    LATENCY_PERCENTILE,
    *BUGS,
)

RECALL = (
    RecallQuestion(
        id="04-a",
        text="In the KTO loss of notebook 03, what is the reference point z0 made of?",
        choices={
            "a": "A running average of the rewards of earlier batches.",
            "b": "The mean log-ratio of the batch's own pairs of prompt and answer, with its gradient.",
            "c": "The mean log-ratio of prompts with other prompts' answers, at least 0, without a gradient.",
            "d": "The median of the implicit rewards of the undesirable answers.",
        },
        right="c",
        why="It estimates KL(π‖π_ref) from mismatched pairs of the batch. The mean is clamped at 0, not each "
        "log-ratio, and no gradient flows through it. In very small batches it is noisy and, by the clamp, too large.",
    ),
    RecallQuestion(
        id="04-b",
        text="You have thumbs on single answers, and no prompt was answered twice. Which loss of notebook 03 can use "
        "them as they are?",
        choices={
            "a": "KTO: it takes each answer with its own label.",
            "b": "DPO: a thumbs-up is chosen, any thumbs-down is rejected.",
            "c": "IPO: it was made for noisy labels.",
            "d": "SimPO: it needs no reference, so it needs no pairs.",
        },
        right="a",
        why="DPO, IPO and SimPO compare two answers to the same prompt. KTO needs a label for each single answer. A "
        "reward model trained on the thumbs one by one would be another way.",
    ),
    RecallQuestion(
        id="04-c",
        text="KTO starts with the policy equal to the reference, λ_D = λ_U = 1. What is the loss of every example?",
        choices={
            "a": "0.",
            "b": "0.5, whatever its label.",
            "c": "log 2 ≈ 0.693.",
            "d": "1 for the undesirable, 0 for the desirable.",
        },
        right="b",
        why="All log-ratios and z0 are 0, so the loss is λ − λσ(0) = 0.5. DPO starts at log 2 and IPO at (1/(2τ))²: "
        "losses of different methods cannot be compared to choose a model.",
    ),
)
