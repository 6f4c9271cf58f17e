"""Online KTO: rounds of votes on the policy's own answers, and what the reference of each round does to the drift."""

import copy
from dataclasses import dataclass

import numpy as np
import torch

from course_utils.feedback.format import kto_weights
from course_utils.feedback.simulate import CONCENTRATION
from course_utils.methods.offline import kto_batch_loss
from course_utils.methods.start import batches, updates
from course_utils.testbed import models, text

REFERENCES = ("fixed", "moving")
OFFLINE = "one offline round"
# What is compared: settings of `online_kto_rounds`; the offline round has all votes of the rounds at once.
VARIANTS = {
    "fixed, new votes": {"reference": "fixed"},
    "moving, new votes": {"reference": "moving"},
    "fixed, all votes": {"reference": "fixed", "keep_old": True},
    OFFLINE: {},
}


@dataclass(frozen=True)
class Ballots:
    """Votes on a policy's answers.

    Attributes:
        prompts: (N, 8) token ids.
        responses: N lists of token ids.
        up: (N,) bool, True for a thumbs-up.
    """

    prompts: torch.Tensor
    responses: list
    up: torch.Tensor

    def __len__(self):
        return len(self.responses)

    def plus(self, other):
        """These votes and others."""
        return Ballots(
            torch.cat([self.prompts, other.prompts]),
            self.responses + other.responses,
            torch.cat([self.up, other.up]),
        )


def online_kto_rounds(policy, collect, train, rounds, reference="fixed", keep_old=False, watch=None):
    """Rounds of online KTO: votes on the policy's own answers, then training on them, and again.

    Args:
        policy: a torch module; it is left as it was.
        collect: from (policy, number of the round, from 0) to votes.
        train: from (policy, reference, votes, number of the round) to the trained policy; may change the policy that it
            is given, and must not change the reference.
        rounds: how many, at least 1.
        reference: "fixed": the policy before the first round, in every round. "moving": the policy before this one.
        keep_old: train on the votes of all rounds so far (joined by `plus`), not on the new ones alone.
        watch: called with (policy, number of the round, votes trained on) after each round, or None.

    Returns:
        The policy after the last round.

    Raises:
        ValueError: `rounds` is below 1, or `reference` is another word.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    if reference not in REFERENCES:
        raise ValueError(f"reference must be one of {', '.join(REFERENCES)}, not {reference!r}")
    # copies with weights of their own: a second name for the same module would move along with it
    anchor, policy, votes = _frozen(policy), copy.deepcopy(policy), None
    for number in range(rounds):
        new = collect(policy, number)
        votes = new if votes is None or not keep_old else votes.plus(new)
        if reference == "moving" and number:
            anchor = _frozen(policy)
        policy = train(policy, anchor, votes, number)
        if watch:
            watch(policy, number, votes)
    return policy


def _frozen(policy):
    return copy.deepcopy(policy).requires_grad_(False)


class Voters:
    """Honest users of the text world, as in `simulate_feedback`, with standards that stay what they are.

    A user votes up where the gold reward plus logistic noise of scale `text.NOISE` is above a threshold of the user's
    own. The thresholds are set on the first policy's answers, so that the users' rates of thumbs-up there are Beta
    distributed with mean `up_rate`; a better policy earns more thumbs.

    Args:
        policy: the first policy.
        prompts: how many prompts its answers are drawn for.
        seed: of the draw.
        up_rate: on the first policy's answers, about.
    """

    def __init__(self, policy, prompts=1000, seed=0, up_rate=0.65):
        rng = np.random.default_rng(seed)
        asked = text.make_prompts(prompts, seed=2_000_000 + seed)
        gold = text.gold_rewards(asked, models.sample(policy, asked, text.MAX_RESPONSE, seed)).numpy()
        self._utility = np.sort(gold + text.NOISE * rng.logistic(size=prompts))
        self._up_rate, self._seed = up_rate, seed

    def collect(self, policy, number, votes):
        """So many votes, each of another user, on answers that the policy now gives to fresh prompts."""
        seed = 1000 * self._seed + number
        prompts = text.make_prompts(votes, seed=3_000_000 + seed)
        responses = models.sample(policy, prompts, text.MAX_RESPONSE, 7 + seed)
        rng = np.random.default_rng((self._seed, number, 1))
        rate = rng.beta(CONCENTRATION * self._up_rate, CONCENTRATION * (1 - self._up_rate), votes)
        utility = text.gold_rewards(prompts, responses).numpy() + text.NOISE * rng.logistic(size=votes)
        return Ballots(prompts, responses, torch.tensor(utility > np.quantile(self._utility, 1 - rate)))


def train_kto_round(policy, reference, votes, steps, beta=0.5, lr=2e-4, batch_size=64, seed=0):
    """KTO (Ethayarajh et al. 2024, eq. 8) on `Ballots`; trains `policy` in place and gives it back.

    The class weights are worked out on these votes. As in `train_kto`, z0 comes from mismatched pairs of a batch.
    """
    ups = int(votes.up.sum())
    weights = kto_weights(ups, len(votes) - ups) if 0 < ups < len(votes) else (1.0, 1.0)
    update = updates(policy, lr)
    for rows in batches(len(votes), batch_size, steps, seed):
        prompts, responses = votes.prompts[rows], [votes.responses[row] for row in rows]
        update(kto_batch_loss(policy, reference, prompts, responses, votes.up[rows], beta, weights))
    return policy


def compare_rounds(
    start, seed=0, variants=tuple(VARIANTS), rounds=5, votes=512, steps=16, beta=2.0, lr=3e-4, batch_size=64,
    evaluate=300, progress=None,
):  # fmt: skip
    """The variants from one start on equally many votes and updates, measured after each round.

    Args:
        start: the policy before the first round.
        seed: of votes, batches and evaluation; the variants share it.
        variants: keys of VARIANTS.
        rounds, votes, steps: votes and updates in each round; the offline round has `rounds` times as many of both.
        beta, lr, batch_size: of `train_kto_round`.
        evaluate: prompts on which a policy is measured, one answer each.
        progress: called with each row, or None.

    Returns:
        A list of dicts "variant", "seed", "round" (from 1; the start is round 0 of each variant), "gold" (mean gold reward
        on the evaluation prompts), "kl" (exact, to `start`, in nats), "votes" (collected so far), "liked" (share of
        thumbs-up among the votes trained on).
    """
    voters = Voters(start, seed=seed)
    asked = text.make_prompts(evaluate, seed=50_000 + seed)
    rows = []

    def measured(variant, policy, number, collected, ballots):
        answers = models.sample(policy, asked, text.MAX_RESPONSE, 90_000 + seed)
        row = {
            "variant": variant,
            "seed": seed,
            "round": number,
            "gold": text.gold_rewards(asked, answers).mean().item(),
            "kl": models.exact_kl(policy, start, asked, answers).mean().item(),
            "votes": collected,
            "liked": float("nan") if ballots is None else ballots.up.float().mean().item(),
        }
        rows.append(row)
        if progress:
            progress(row)

    for variant in variants:
        # the offline round is one round of everything
        factor = rounds if variant == OFFLINE else 1
        measured(variant, start, 0, 0, None)
        online_kto_rounds(
            start,
            lambda policy, number, n=factor * votes: voters.collect(policy, number, n),
            lambda policy, reference, ballots, number, n=factor * steps: train_kto_round(
                policy, reference, ballots, n, beta, lr, batch_size, seed + number
            ),
            rounds // factor,
            **VARIANTS[variant],
            watch=lambda policy, number, ballots, v=variant, f=factor: measured(
                v, policy, f * (number + 1), f * votes * (number + 1), ballots
            ),
        )
    return rows
