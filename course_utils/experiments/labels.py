"""DPO and its relatives trained on certain and on flipped labels (text world): the trained side of `noise.optimum`."""

import functools

import torch

from course_utils.experiments.bias import displacement, log_ratios, meters, train_on_pairs
from course_utils.experiments.noise import LOSSES
from course_utils.methods import Start, make_start
from course_utils.testbed import text

# beta and tau, and the smoothing where no label is flipped; elsewhere it is the share of flips
STRENGTH, SMOOTHING = 0.1, 0.1
FLIPS = (0.0, 0.2)
TRAINING = {"lr": 3e-4, "batch_size": 32, "steps": 300}
LOOKS = (100, 300)


def judge(start, flips, seed):
    """The same pairs of responses with the better one by gold chosen, but for a share `flips` that is turned round."""
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for pair in start.pairs:
        prompt, a, b = pair["prompt"], pair["chosen"], pair["rejected"]
        better = text.gold_reward(prompt, a) >= text.gold_reward(prompt, b)
        if better == (torch.rand((), generator=generator).item() < flips):
            a, b = b, a
        pairs.append({"prompt": prompt, "chosen": a, "rejected": b})
    return Start(start.model, pairs, start.prompts)


def losses(flips):
    """{name: loss} for a share of flips, with the signature of `dpo_loss`; cDPO and rDPO know the share."""
    known = {"smoothing": flips or SMOOTHING}
    return {
        name: functools.partial(loss, **known) if name in ("cDPO", "rDPO") else loss
        for name, loss in LOSSES.items()
    }


def train(start, seed, flips, name, looks=LOOKS, **training):
    """One loss on one kind of label.

    Returns:
        Rows with "seed", "flips", "loss", "step", the meters of `bias.meters` and `bias.displacement`, and "margin" and
        "margin_sd", mean and standard deviation over the training pairs.
    """
    judged, rows = judge(start, flips, seed), []

    def watch(step, policy):
        if step in looks:
            chosen, rejected = log_ratios(policy, judged)
            h = chosen - rejected
            row = {"seed": seed, "flips": flips, "loss": name, "step": step}
            row |= meters(policy, start, seed)[0] | displacement(chosen, rejected)
            rows.append(row | {"margin": h.mean().item(), "margin_sd": h.std().item()})

    settings = TRAINING | training
    train_on_pairs(judged, beta=STRENGTH, loss=losses(flips)[name], seed=seed, checkpoint=watch, **settings)
    return rows


def measure_seed(seed, say=print):
    """Each loss on each kind of label, from one start: the rows of `train`."""
    start, rows = make_start(seed), []
    for flips in FLIPS:
        for name in losses(flips):
            rows += train(start, seed, flips, name)
            say(
                f"seed {seed}, flips {flips}, {name}: gold {rows[-1]['gold']:.2f}, margin {rows[-1]['margin']:.1f}"
            )
    return rows
