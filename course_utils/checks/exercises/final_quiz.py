"""06-final-quiz: the claims audit and the bugs."""

from course_utils.checks.exercises.quiz_bugs import BUGS
from course_utils.checks.exercises.quiz_claims import build
from course_utils.checks.exercises.quiz_claims_goodhart import GOODHART
from course_utils.checks.exercises.quiz_claims_losses import LOSSES
from course_utils.checks.exercises.quiz_claims_methods import METHODS
from course_utils.checks.exercises.quiz_claims_practice import PRACTICE
from course_utils.checks.exercises.quiz_claims_theory import THEORY
from course_utils.checks.questions import RecallQuestion

CLAIMS = (*THEORY, *LOSSES, *METHODS, *PRACTICE, *GOODHART)

EXERCISES = (*(build(claim) for claim in CLAIMS), *BUGS)

RECALL = (
    RecallQuestion(
        id="06-a",
        text="Best-of-n and reinforcement learning are run against one proxy (notebook 05). At which of these do you compare them?",
        choices={
            "a": "At equal proxy reward, by the gold reward.",
            "b": "At equal KL divergence from the start, by the gold reward.",
            "c": "At equal wall-clock time.",
            "d": "At the last checkpoint of each.",
        },
        right="a",
        why="The proxy reward says how far the proxy has been pushed, by either method, and gold what that brought: in Gao et al. "
        "(section 4.4) the two methods lie close together there. KL is no common cost: RL spends far more of it for the same "
        "proxy reward, so at equal KL best-of-n looks better than it is. The last checkpoint is where somebody stopped.",
    ),
    RecallQuestion(
        id="06-b",
        text="A judge prefers long answers. What does the length-controlled win rate of notebook 05 give?",
        choices={
            "a": "The win rate among pairs of exactly equal length.",
            "b": "The win rate after all answers have been cut to one length.",
            "c": "What a logistic model of the win predicts at a length difference of 0.",
            "d": "The win rate divided by the mean length.",
        },
        right="c",
        why="All comparisons are used, and the length difference is a covariate. It controls for what the model of "
        "length can express, and for no other habit of the judge.",
    ),
    RecallQuestion(
        id="06-c",
        text="A policy's reward from the visible tests is 0.9, on hidden tests 0.5. Which repair goes to the cause?",
        choices={
            "a": "A larger KL penalty.",
            "b": "A lower learning rate.",
            "c": "An ensemble of policies.",
            "d": "Tests that the policy cannot see or tabulate, drawn anew.",
        },
        right="d",
        why="The gap is the verifier's: it pays for what it can see. A penalty or a lower rate stops the policy "
        "earlier on the same path.",
    ),
)
