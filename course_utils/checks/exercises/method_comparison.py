"""03-method-comparison: the losses beside DPO, the parts of PPO and GRPO, and how to choose."""

from course_utils.checks.exercises.method_constitution import CONSTITUTIONAL_REVISION
from course_utils.checks.exercises.method_decision import RECOMMEND_METHOD
from course_utils.checks.exercises.method_kto import KTO_LOSS, KTO_REFERENCE_POINT
from course_utils.checks.exercises.method_online import ONLINE_PAIRS
from course_utils.checks.exercises.method_orpo import ORPO_LOSS
from course_utils.checks.exercises.method_pairs import IPO_LOSS, REWARD_MODEL_LOSS, SIMPO_LOSS
from course_utils.checks.exercises.method_policy_gradient import GROUP_ADVANTAGES, KL_ESTIMATORS, PPO_LOSS
from course_utils.checks.exercises.method_rollouts import GAE, KL_SHAPED_REWARDS
from course_utils.checks.questions import RecallQuestion

EXERCISES = (
    IPO_LOSS,
    KTO_REFERENCE_POINT,
    KTO_LOSS,
    ORPO_LOSS,
    SIMPO_LOSS,
    REWARD_MODEL_LOSS,
    KL_SHAPED_REWARDS,
    GAE,
    PPO_LOSS,
    GROUP_ADVANTAGES,
    KL_ESTIMATORS,
    ONLINE_PAIRS,
    CONSTITUTIONAL_REVISION,
    RECOMMEND_METHOD,
)

RECALL = (
    RecallQuestion(
        id="03-a",
        text="The policy starts as a copy of the reference, β = 0.1. What is the DPO loss of every pair before the "
        "first update?",
        choices={
            "a": "0, because nothing has to be corrected yet.",
            "b": "log 2 ≈ 0.693, because every margin is 0.",
            "c": "0.0693, because β multiplies the loss.",
            "d": "It depends on the lengths of the responses.",
        },
        right="b",
        why="Both log-ratios are 0, so the loss is −log σ(β · 0) = log 2, whatever β and the lengths are. "
        "Another value at step 0 points to a bug.",
    ),
    RecallQuestion(
        id="03-b",
        text="In notebook 02 the labels are −100 on the prompt. What would change in the DPO margin if the prompt's "
        "tokens were counted too, by policy and reference alike?",
        choices={
            "a": "Nothing: each prompt's log-ratio is in both responses' sums, and the difference cancels it.",
            "b": "The margin would grow with the length of the prompt.",
            "c": "The margin would change its sign.",
            "d": "The margin would become an average over tokens.",
        },
        right="a",
        why="With sums, chosen and rejected share the prompt and so its log-ratio. With averages over the row it does "
        "not cancel where the responses differ in length, and in a loss on single responses it never does. That is "
        "why it is masked.",
    ),
    RecallQuestion(
        id="03-c",
        text="After DPO training the reward accuracy on held-out pairs is 0.8. What follows?",
        choices={
            "a": "The policy gives the chosen response the higher probability in 80 % of the pairs.",
            "b": "The probability of the chosen responses has gone up.",
            "c": "In 80 % of the pairs the log-ratio of the chosen response to the reference is above the rejected one's.",
            "d": "80 % of the policy's own samples are better than the reference's.",
        },
        right="c",
        why="The implicit reward is relative to the reference. The policy may still find the rejected response likelier, "
        "both probabilities may have fallen, and nothing was sampled.",
    ),
)
