"""Our losses and loops against trl's trainers (version 1.16): the same batch, the loss and every gradient.

Each function builds one trainer on small models of the text world, gives it what our side gets, and returns
(our loss, their loss, the largest difference between two entries of the gradients). Where a loop of `methods`
computes what the trainer does, the loop itself runs, for one update; where trl's convention is another, our
functions are put together in its way. `PARITY` says what that took. trl is imported inside the functions,
since it takes seconds; PPO is not in trl any more, so nothing here checks the critic and `gae`.
"""

from course_utils.trl_parity import offline, online
from course_utils.trl_parity.rig import Parity

# (name, function, what had to be aligned)
PARITY = [
    ("DPO", offline.dpo, "Nothing: sums over tokens, end of sequence included, and the mean over pairs."),
    (
        "rDPO",
        offline.rdpo,
        'Nothing: it is loss_type "robust" with label_smoothing; plain cDPO is not among the loss types.',
    ),
    (
        "IPO",
        offline.ipo,
        "trl averages each log-ratio over its tokens, the paper and train_ipo sum; "
        "the target 1/(2 tau) stays, so these are two losses.",
    ),
    (
        "KTO",
        offline.kto,
        "For z0 trl pairs each prompt with the response before it in the batch, the loop with the one after it, "
        "so trl got the rows in reverse; in both the clamp at 0 follows the mean.",
    ),
    (
        "SimPO",
        offline.simpo,
        "It is CPOTrainer with cpo_alpha set to 0 (the default of 1 adds an NLL term) and beta to 2 (default 0.1); "
        "simpo_gamma is the paper's gamma, which trl divides by beta and multiplies again.",
    ),
    (
        "CPO",
        offline.cpo,
        "DPO's loss with log-probabilities of 0 for the reference, plus the chosen responses' NLL, "
        "averaged over all tokens of the batch.",
    ),
    (
        "ORPO",
        offline.orpo,
        "trl's NLL runs over prompt and response and averages over all tokens of the batch; the paper's and "
        "train_orpo's is that of the response, averaged row by row.",
    ),
    (
        "Reward",
        offline.reward,
        "trl reads the score at the last token, our reward model sums over the response's: "
        "the mask counts the last token only. trl's head has no bias.",
    ),
    (
        "GRPO",
        online.grpo,
        "trl multiplies k3 by the probability ratio unless use_bias_correction_kl is False, which leaves the loss "
        "as it is and changes its gradient; std with n - 1, plus 1e-4, in both.",
    ),
    (
        "Dr. GRPO",
        online.dr_grpo,
        'loss_type "dr_grpo" alone keeps the division by the std: scale_rewards must be "none" as well; '
        "use_bias_correction_kl off.",
    ),
    (
        "DAPO",
        online.dapo,
        "trl's default loss_type, of which this compares the mean over all tokens; use_bias_correction_kl off.",
    ),
    (
        "GRPO, samples used again",
        online.grpo_again,
        "The policy has moved since it drew the samples, so ratios are clipped; "
        "k3 is multiplied by the ratio, as trl does by default.",
    ),
    (
        "RLOO",
        online.rloo,
        "trl puts the KL into the reward (k1, summed over tokens) and takes one ratio for the whole response; "
        "the loop has k3 in the loss and a ratio for each token.",
    ),
    (
        "Online DPO",
        online.online_dpo,
        "trl trains on a tie as if the first response had won, the loop drops it; there are no ties here.",
    ),
    (
        "Online IPO",
        online.online_ipo,
        "Nothing: here trl sums over tokens, as the paper does, unlike in its DPOTrainer.",
    ),
]

__all__ = ["PARITY", "Parity", "offline", "online"]
