"""05-goodhart: over-optimisation, its laws and its meters, and what guards against it."""

from course_utils.checks.exercises.goodhart_best_of_n import BEST_OF_N_KL, BEST_OF_N_REWARD
from course_utils.checks.exercises.goodhart_laws import EARLY_STOP, FIT_OVEROPTIMISATION, PREDICTED_PEAK
from course_utils.checks.exercises.goodhart_meters import DIVERSITY, LENGTH_CONTROL
from course_utils.checks.exercises.goodhart_rewards import ENSEMBLE_REWARD, PARETO_FRONT, WORST_CASE_REWARD
from course_utils.checks.exercises.goodhart_verifier import OVERFIT_VERIFIER
from course_utils.checks.questions import RecallQuestion

EXERCISES = (
    BEST_OF_N_KL,
    BEST_OF_N_REWARD,
    FIT_OVEROPTIMISATION,
    PREDICTED_PEAK,
    ENSEMBLE_REWARD,
    EARLY_STOP,
    DIVERSITY,
    LENGTH_CONTROL,
    OVERFIT_VERIFIER,
    PARETO_FRONT,
    WORST_CASE_REWARD,
)

RECALL = (
    RecallQuestion(
        id="05-a",
        text="In notebook 03 the reward model was fitted by the Bradley-Terry loss. You add 3 to all of its rewards for "
        "one prompt. What changes?",
        choices={
            "a": "Its loss on the comparisons, and the optimal policy for that prompt.",
            "b": "Its loss on the comparisons; the optimal policy stays.",
            "c": "The optimal policy for that prompt; its loss on the comparisons stays.",
            "d": "Neither.",
        },
        right="d",
        why="Both depend on differences of rewards within a prompt only. That is why rewards of different runs can be "
        "compared only after they have been put on one scale, and why gold and proxy need not share a zero.",
    ),
    RecallQuestion(
        id="05-b",
        text="GRPO gives all eight answers to a prompt the same reward. What does this group contribute to the gradient "
        "of the policy (without a KL term)?",
        choices={
            "a": "Nothing: every advantage is 0, whether the reward is high or low.",
            "b": "It raises the probability of all eight if the reward is 1, and lowers it if it is 0.",
            "c": "nan, because the standard deviation is 0.",
            "d": "The most of all groups, because their spread is the smallest.",
        },
        right="a",
        why="An advantage is a reward minus the mean of its group. A verifier that passes everything, or nothing, "
        "teaches nothing; what counts is which answers it tells apart, and that is what a policy will exploit.",
    ),
    RecallQuestion(
        id="05-c",
        text="In a blinded comparison (notebook 04) the new model wins 58 of 100, and its answers are on average 80 "
        "tokens longer. What does the win rate say about its quality at equal length?",
        choices={
            "a": "It is 0.58, because blinding takes out the effect of length.",
            "b": "It is above 0.58, because long answers are penalised by judges.",
            "c": "Nothing certain: judges may prefer length as such, and the interval holds 0.5 besides.",
            "d": "It is exactly 0.5, because 58 of 100 is not significant.",
        },
        right="c",
        why="Blinding hides which model wrote what, not how long an answer is. And Wilson's 95 % interval of 58 of 100 "
        "reaches from 0.48 to 0.67. This notebook controls for length.",
    ),
)
