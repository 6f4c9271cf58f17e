"""DPO and its relatives in a table: over-optimisation without a reward model, label noise, certain labels."""

import math

import torch

from course_utils.losses import cdpo_loss, dpo_loss, ipo_loss, rdpo_loss

LOSSES = {"DPO": dpo_loss, "cDPO": cdpo_loss, "rDPO": rdpo_loss, "IPO": ipo_loss}


def walk(
    loss,
    strength,
    seeds=5,
    responses=200,
    pairs=300,
    flips=0.15,
    steps=(0, 10, 30, 100, 300, 1000, 2000),
    lr=0.05,
):
    """A tabular policy over many responses, trained on few pairs, each seen once and labelled once.

    Uniform reference; true rewards are standard normal; the better response is chosen, but for a share `flips`. Adam on the
    full batch. All seeds are trained side by side.

    Args:
        loss: with the signature of `dpo_loss`.
        strength: beta, or IPO's tau.
        seeds, responses, pairs, flips, steps, lr: of the worlds and the training; `steps` are the checkpoints.

    Returns:
        A list of dicts "step", "kl" and "gold" (lists, one value a seed).
    """
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(seeds, responses, generator=generator, dtype=torch.float64)
    draw = torch.rand(seeds, pairs, responses, generator=generator).topk(2).indices
    first, second = draw[..., 0], draw[..., 1]
    better = reward.gather(1, first) > reward.gather(1, second)
    better ^= torch.rand(seeds, pairs, generator=generator) < flips
    chosen, rejected = torch.where(better, first, second), torch.where(better, second, first)
    logits = torch.zeros_like(reward, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=lr)
    ref = torch.full((seeds * pairs,), -math.log(responses), dtype=torch.float64)
    rows = []
    for step in range(max(steps) + 1):
        logp = logits.log_softmax(1)
        if step in steps:
            p = logp.detach().exp()
            kl = (p * (logp.detach() + math.log(responses))).sum(1)
            rows.append({"step": step, "kl": kl.tolist(), "gold": (p * reward).sum(1).tolist()})
        both = (logp.gather(1, chosen).flatten(), logp.gather(1, rejected).flatten())
        optimizer.zero_grad()
        loss(*both, ref, ref, strength).mean().mul(seeds).backward()
        optimizer.step()
    return rows


def optimum(name, p, flips=0.0, strength=0.1, smoothing=0.1, steps=200):
    """The margin h at which the expected loss of one repeated pair is smallest, found by LBFGS.

    Args:
        name: a key of `LOSSES`.
        p: how often the better response is preferred.
        flips: share of labels that are turned round.
        strength: beta, or tau.
        smoothing: of cDPO and rDPO.
        steps: of LBFGS.

    Returns:
        A float; infinity where the margin grows past 200 nats.
    """
    seen = p * (1 - flips) + (1 - p) * flips
    h = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    more = (smoothing,) if name in ("cDPO", "rDPO") else ()
    optimizer = torch.optim.LBFGS(
        [h], max_iter=steps, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=0
    )

    def closure():
        optimizer.zero_grad()
        f = LOSSES[name]
        loss = seen * f(h, zero, zero, zero, strength, *more) + (1 - seen) * f(
            zero, h, zero, zero, strength, *more
        )
        loss.sum().backward()
        return loss.sum().item()

    optimizer.step(closure)
    return h.item() if abs(h.item()) < 200 else math.inf


def closed_form(name, p, flips=0.0, strength=0.1, smoothing=0.1):
    """The same margin by formula: DPO logit(q)/beta, IPO (2q - 1)/(2 tau), cDPO and rDPO with q smoothed or unsmoothed."""
    q = p * (1 - flips) + (1 - p) * flips
    if name == "IPO":
        return (2 * q - 1) / (2 * strength)
    if name == "cDPO":
        q = (1 - smoothing) * q + smoothing * (1 - q)
    if name == "rDPO":
        q = (q - smoothing) / (1 - 2 * smoothing)
    return math.inf if q >= 1 - 1e-12 else math.log(q / (1 - q)) / strength


def displace(cosine, steps, beta=0.1, lr=1.0):
    """Likelihood displacement in the smallest model that has it: three responses, two shared weights, one pair.

    The policy is a softmax of features times weights, uniform at the start. Chosen and rejected have features of length 1 with
    the given cosine; the third response, which no pair holds, has features along the way in which the pair's differ.
    Gradient descent on the DPO loss of the pair.

    Args:
        cosine: between the features of the chosen and the rejected response.
        steps: checkpoints; training goes on to the last.
        beta, lr: of DPO and of the descent.

    Returns:
        A list of dicts "step", "chosen", "rejected", "third" (probabilities) and "margin" (log-ratio, nats).
    """
    sine = math.sqrt(1 - cosine**2)
    features = torch.tensor(
        [[1.0, 0.0], [cosine, sine], [(cosine - 1) / 2, -2 * sine - 0.8]], dtype=torch.float64
    )
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    ref = torch.full((1,), -math.log(3), dtype=torch.float64)
    rows = []
    for step in range(max(steps) + 1):
        logp = (features @ weights).log_softmax(0)
        if step in steps:
            p = dict(zip(("chosen", "rejected", "third"), logp.exp().tolist(), strict=True))
            rows.append({"step": step, **p, "margin": (logp[0] - logp[1]).item()})
        (slope,) = torch.autograd.grad(dpo_loss(logp[:1], logp[1:2], ref, ref, beta).sum(), weights)
        with torch.no_grad():
            weights -= lr * slope
    return rows
