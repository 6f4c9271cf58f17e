"""03-method-comparison: ORPO."""

import math

import torch
from torch.nn import functional as F

from course_utils.checks.cases import cast, form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.losses import orpo_loss


def _column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


WORKED = _column(-2.0), _column(-1.5), _column(2.0)


def _responses(draw, batch):
    """Mean log-probabilities of both responses, and an NLL that is not minus the first of them."""
    return draw.uniform(-3.0, -0.2, batch), draw.uniform(-3.0, -0.2, batch), draw.uniform(0.3, 4.0, batch)


def _orpo_cases(draw):
    likely = draw.uniform(-0.3, -0.05, 3), draw.uniform(-2.0, -0.5, 3), draw.uniform(0.1, 2.0, 3)
    return [
        Case(WORKED, label="mean log-probabilities -2 and -1.5, NLL 2"),
        Case(_responses(draw, 5), label="five pairs, lam left at its default"),
        Case(_responses(draw, 4), {"lam": 0.5}, "four pairs, lam=0.5"),
        Case((*_responses(draw, 1), 2.0), label="one pair, lam=2"),
        Case(likely, {"lam": 1.0}, "three pairs, the chosen nearly certain, lam=1"),
        Case(
            (likely[1], likely[0], likely[2]), {"lam": 1.0}, "three pairs, the rejected nearly certain, lam=1"
        ),
    ]


def _orpo_extremes(draw):
    """One response with a probability near 1, the other likely, unlikely or of probability about e^-100."""
    certain = -torch.cat([_column(1e-6), draw.uniform(1e-6, 3e-6, 5)])
    likely, unlikely = draw.uniform(-1.5, -0.5, 6), draw.uniform(-100.0, -90.0, 6)
    nll = draw.uniform(0.1, 0.5, 6)
    # Where the chosen is certain, its gradient is a tiny weight times a large slope: it depends on how an answer
    # rounds, and is looked at in float64 only, or not at all.
    pairs = (
        (likely, certain, "rejected mean log-probability near -1e-6", (0, 1), (0, 1)),
        (certain, likely, "chosen mean log-probability near -1e-6", (0, 1), (1,)),
        (unlikely, certain, "chosen near -100, rejected near -1e-6", (0, 1), (0, 1)),
        (certain, unlikely, "chosen near -1e-6, rejected near -100", (1,), (1,)),
        (unlikely, unlikely.flip(0), "both near -100", (0, 1), (0, 1)),
    )
    cases = []
    for chosen, rejected, label, *grads in pairs:
        for dtype, name, positions in zip(
            (torch.float64, torch.float32), ("", ", float32"), grads, strict=True
        ):
            # a large gradient hides a small one, so each response is looked at by itself
            args = cast((chosen, rejected, nll), dtype)
            cases += [Case(args, {"lam": 1.0}, f"{label}{name}", grads=(i,)) for i in positions]
    # log odds ratios of about 7, 9, 11 and 15
    high, low = _column(-0.001, -0.001, -0.001, -0.001), _column(-1.0, -2.5, -4.0, -8.0)
    for args, label in (((high, low), "the chosen"), ((low, high), "the rejected")):
        cases.append(
            Case((*args, _column(1.0, 1.0, 1.0, 1.0)), {"lam": 1.0}, f"{label} of probability 0.999")
        )
    return cases


def _orpo_gradients(draw):
    return [
        Case(WORKED, label="mean log-probabilities -2 and -1.5, NLL 2", grads=(0, 1, 2)),
        Case(_responses(draw, 4), {"lam": 0.5}, "four pairs, lam=0.5", grads=(0, 1, 2)),
    ]


def _log_odds(logp):
    return logp - torch.log(-torch.expm1(logp))


def _of_logits(logit):
    """NLL + lam (-log σ) of another logit, in the two mean log-probabilities."""

    def answer(chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1):
        return chosen_nll - lam * F.logsigmoid(logit(chosen_mean_logp, rejected_mean_logp))

    return answer


def _of_log_odds(log_odds):
    """The loss from another log-odds of one response."""
    return _of_logits(lambda c, r: log_odds(c) - log_odds(r))


def _of_ratio(loss):
    """The loss from another function of (log odds ratio, NLL, lam)."""

    def answer(chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1):
        return loss(_log_odds(chosen_mean_logp) - _log_odds(rejected_mean_logp), chosen_nll, lam)

    return answer


def _of_two_terms(chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1):
    return chosen_nll - lam * (
        F.logsigmoid(_log_odds(chosen_mean_logp)) + F.logsigmoid(-_log_odds(rejected_mean_logp))
    )


def _odds(p):
    return p / (1 - p)


def _orpo_in_place(chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1):
    with torch.no_grad():
        ratio = _log_odds(chosen_mean_logp) - _log_odds(rejected_mean_logp)
        chosen_nll -= lam * F.logsigmoid(ratio)
    return chosen_nll


def _cutoff(logp):
    """log(1 - e^x) by the usual case distinction at -log 2."""
    return torch.where(logp > -math.log(2), torch.log(-torch.expm1(logp)), torch.log1p(-torch.exp(logp)))


def _in_float64(chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1):
    c, r = chosen_mean_logp.double(), rejected_mean_logp.double()
    ratio = (c - r) - (torch.log1p(-c.exp()) - torch.log1p(-r.exp()))
    return chosen_nll + (lam * F.softplus(-ratio)).to(chosen_nll.dtype)


_NAN = (
    "nan or infinity was replaced by a number after the fact; keep it from arising (is there a torch function for "
    "e^x - 1?)"
)
_EPSILON = (
    "an epsilon inside the logarithm changes the odds of a nearly certain response, whose 1 - p is as small; compute "
    "1 - p without the rounding instead"
)

ORPO_LOSS = Exercise(
    id="orpo-loss",
    function="orpo_loss",
    reference=orpo_loss,
    parts=(
        Part("values", 2.5, _orpo_cases),
        Part("stable from -100 to -1e-6", 1, _orpo_extremes, ("result", "gradient")),
        gradient(1, _orpo_gradients, "gradient into all three"),
        form(0.5, lambda draw: _responses(draw, 3)),
    ),
    misconceptions=(
        Misconception(
            "probability-ratio",
            _of_logits(lambda c, r: c - r),
            "this is the log-ratio of the *probabilities*; the odds divide each by 1 - p",
        ),
        Misconception(
            "odds-sign",
            _of_log_odds(lambda x: x + torch.log(-torch.expm1(x))),
            "the part with 1 - p has the wrong sign: the odds divide by it",
        ),
        Misconception(
            "odds-sign-rejected",
            _of_logits(lambda c, r: c - r - torch.log(-torch.expm1(c)) - torch.log(-torch.expm1(r))),
            "the 1 - p of the rejected response has the wrong sign: its odds are subtracted as a whole",
        ),
        Misconception(
            "clamped-unlikely",
            _of_log_odds(lambda x: _log_odds(x.clamp(min=-50))),
            "an unlikely response was clamped, which caps its odds and kills its gradient",
        ),
        Misconception(
            "complement-only",
            _of_log_odds(lambda x: -torch.log(-torch.expm1(x))),
            "p itself is missing from the odds, only 1 - p is there",
        ),
        Misconception(
            "one-plus-p",
            _of_log_odds(lambda x: x - torch.log1p(torch.exp(x))),
            "the odds divide by 1 + p here; they are p / (1 - p)",
        ),
        Misconception(
            "odds-not-logged",
            _of_log_odds(lambda x: _odds(torch.exp(x))),
            "the difference of the odds was taken; the *log* of their ratio goes into the sigmoid",
        ),
        Misconception(
            "where-of-an-overflow",
            _of_log_odds(lambda x: torch.where(x < -40, x, -torch.log(torch.expm1(-x)))),
            "torch.where computes both branches; an infinity in the one not chosen makes the gradient nan: put a harmless "
            "number in there first",
        ),
        Misconception(
            "linear-softplus",
            _of_ratio(lambda x, nll, lam: nll + lam * F.softplus(-x, threshold=5)),
            "log(1 + e^x) was taken for x itself where x is a little large (softplus has a threshold for that, 20 by "
            "default); at 6 that is off by 0.0025",
        ),
        Misconception(
            "ratio-not-logged",
            _of_logits(lambda c, r: _odds(torch.exp(c)) / _odds(torch.exp(r))),
            "the odds ratio itself went into the sigmoid; its logarithm does",
        ),
        Misconception(
            "log-probability-as-probability",
            _of_logits(lambda c, r: torch.log(_odds(c) / _odds(r))),
            "the mean log-probabilities were used as probabilities; p is their exponential",
        ),
        Misconception(
            "log-probabilities-divided",
            _of_log_odds(lambda x: x - torch.log(1 - x)),
            "1 minus the *log*-probability was taken; p is the exponential of the mean log-probability",
        ),
        Misconception(
            "difference-of-probabilities",
            _of_logits(lambda c, r: torch.exp(c) - torch.exp(r)),
            "the probabilities were subtracted; the log of the ratio of the odds is wanted",
        ),
        Misconception(
            "swapped",
            _of_logits(lambda c, r: _log_odds(r) - _log_odds(c)),
            "rejected over chosen: this makes the rejected response more likely",
        ),
        Misconception(
            "log-odds-added",
            _of_logits(lambda c, r: _log_odds(c) + _log_odds(r)),
            "the log-odds were added; the log of a ratio is a difference",
        ),
        Misconception(
            "rejected-only",
            _of_logits(lambda c, r: -_log_odds(r)),
            "only the rejected response's odds appear; the ratio is chosen over rejected",
        ),
        Misconception(
            "chosen-only",
            _of_logits(lambda c, r: _log_odds(c)),
            "only the chosen response's odds appear; the ratio is chosen over rejected",
        ),
        Misconception(
            "two-terms",
            _of_two_terms,
            "each response has a sigmoid of its own; there is one, of the log of the ratio of the odds",
        ),
        Misconception(
            "penalty-subtracted",
            _of_ratio(lambda x, nll, lam: nll + lam * F.logsigmoid(x)),
            "the odds-ratio term has the wrong sign: the loss must fall when the odds ratio rises",
        ),
        Misconception(
            "no-sigmoid",
            _of_ratio(lambda x, nll, lam: nll - lam * x),
            "the log odds ratio itself was subtracted, which falls without end; -log σ of it is wanted",
        ),
        Misconception(
            "no-logarithm",
            _of_ratio(lambda x, nll, lam: nll + lam * torch.sigmoid(-x)),
            "1 - σ was added; the term is the negative *logarithm* of σ",
        ),
        Misconception(
            "sigmoid-added",
            _of_ratio(lambda x, nll, lam: nll + lam * torch.sigmoid(x)),
            "σ itself was added; the term is its negative logarithm",
        ),
        Misconception(
            "sigmoid-subtracted",
            _of_ratio(lambda x, nll, lam: nll - lam * torch.sigmoid(x)),
            "σ itself was subtracted; the term is its negative logarithm",
        ),
        Misconception(
            "log-base-2",
            _of_ratio(lambda x, nll, lam: nll - lam * F.logsigmoid(x) / math.log(2.0)),
            "this is a logarithm to base 2; the course uses natural ones",
        ),
        Misconception(
            "hinge",
            _of_ratio(lambda x, nll, lam: nll + lam * F.relu(1 - x)),
            "this is a hinge; ORPO has -log σ of the log odds ratio",
        ),
        Misconception(
            "nll-detached",
            lambda c, r, nll, lam=0.1: orpo_loss(c, r, nll.detach(), lam),
            "no gradient reaches the NLL, so the fine-tuning part would not be trained",
        ),
        Misconception(
            "no-nll",
            _of_ratio(lambda x, nll, lam: -lam * F.logsigmoid(x) + 0 * nll),
            "the NLL of the chosen response is missing: it takes the place of the fine-tuning stage before",
        ),
        Misconception(
            "nll-sign",
            _of_ratio(lambda x, nll, lam: -nll - lam * F.logsigmoid(x)),
            "the NLL was subtracted; it is a loss already, with its minus inside",
        ),
        Misconception(
            "nll-from-chosen",
            lambda c, r, nll, lam=0.1: orpo_loss(c, r, -c, lam) + 0 * nll,
            "the NLL was taken as minus the chosen mean log-probability; use the argument (it may run over other "
            "tokens)",
        ),
        Misconception(
            "nll-twice",
            lambda c, r, nll, lam=0.1: orpo_loss(c, r, nll - c, lam),
            "minus the chosen mean log-probability was added to the NLL that came in: once is enough",
        ),
        Misconception(
            "no-odds-ratio",
            _of_ratio(lambda x, nll, lam: nll + 0 * x),
            "this is the NLL alone; the odds-ratio term is missing",
        ),
        Misconception(
            "lam-on-nll",
            _of_ratio(lambda x, nll, lam: lam * nll - F.logsigmoid(x)),
            "lam weighs the NLL here; it weighs the odds-ratio term",
        ),
        Misconception(
            "lam-on-both",
            _of_ratio(lambda x, nll, lam: lam * (nll - F.logsigmoid(x))),
            "lam weighs the whole; it weighs the odds-ratio term only",
        ),
        Misconception(
            "default-lam",
            lambda c, r, nll, lam=1.0: orpo_loss(c, r, nll, lam),
            "lam is 1 where none is passed; its default is 0.1",
        ),
        Misconception(
            "lam-missing",
            _of_ratio(lambda x, nll, lam: nll - F.logsigmoid(x)),
            "lam does not appear; it weighs the odds-ratio term",
        ),
        Misconception(
            "lam-inside",
            _of_ratio(lambda x, nll, lam: nll - F.logsigmoid(lam * x)),
            "lam stands inside the sigmoid, as beta does in DPO; here it weighs the term from outside",
        ),
        Misconception(
            "lam-mixes",
            _of_ratio(lambda x, nll, lam: (1 - lam) * nll - lam * F.logsigmoid(x)),
            "lam mixes the two terms; the NLL has weight 1",
        ),
        Misconception(
            "lam-divides",
            _of_ratio(lambda x, nll, lam: nll - F.logsigmoid(x) / lam),
            "the odds-ratio term was divided by lam; it is multiplied",
        ),
        Misconception(
            "lam-fixed",
            lambda c, r, nll, lam=0.1: orpo_loss(c, r, nll, 0.1),
            "lam is always 0.1 here, whatever is passed",
        ),
        Misconception(
            "default-lam-half",
            lambda c, r, nll, lam=0.5: orpo_loss(c, r, nll, lam),
            "lam is 0.5 where none is passed; its default is 0.1",
        ),
        Misconception(
            "batch-mean",
            lambda *args, **kwargs: orpo_loss(*args, **kwargs).mean(),
            "one number for the whole batch; return one loss per pair, the training loop takes the mean",
        ),
        Misconception(
            "nll-mean",
            lambda c, r, nll, lam=0.1: orpo_loss(c, r, nll.mean().expand(nll.shape), lam),
            "the NLL was averaged over the batch; each pair has its own",
        ),
        Misconception(
            "odds-ratio-mean",
            lambda c, r, nll, lam=0.1: nll + (orpo_loss(c, r, nll, lam) - nll).mean(),
            "the odds-ratio term was averaged over the batch; each pair has its own",
        ),
        Misconception(
            "batch-sum",
            lambda *args, **kwargs: orpo_loss(*args, **kwargs).sum(),
            "the losses were added up to one number; return one loss per pair",
        ),
        Misconception(
            "keepdim",
            lambda *args, **kwargs: orpo_loss(*args, **kwargs).unsqueeze(-1),
            "the result has shape (B, 1); one value per pair, shape (B,), is wanted",
        ),
        Misconception(
            "one-minus-p-rounded",
            _of_log_odds(lambda x: x - torch.log(1 - torch.exp(x))),
            "where p is nearly 1, 1 - p loses almost all its digits in float32 (log1p(-p) does not help, p is rounded "
            "already); is there a torch function for e^x - 1?",
        ),
        Misconception(
            "odds-in-probabilities",
            _of_log_odds(lambda x: torch.log(_odds(torch.exp(x)))),
            "p was formed first: near 1 and near 0 it has lost its digits in float32. Stay with logarithms, and look "
            "for "
            "a torch function for e^x - 1",
        ),
        Misconception(
            "odds-ratio-in-probabilities",
            _of_logits(lambda c, r: torch.log(_odds(torch.exp(c)) / _odds(torch.exp(r)))),
            "the ratio of the odds was formed from probabilities, which round to 0 and 1 in float32. Stay with "
            "logarithms, and look for a torch function for e^x - 1",
        ),
        Misconception(
            "expm1-sign",
            _of_log_odds(lambda x: x - torch.log(torch.expm1(x))),
            "expm1(x) is below 0 for a log-probability, and its logarithm is nan: which sign has 1 - p in terms of it?",
        ),
        Misconception(
            "overflow",
            _of_log_odds(lambda x: -torch.log(torch.expm1(-x))),
            "exp(100) is infinite in float32: take the exponential of the negative number",
        ),
        Misconception(
            "log-of-sigmoid",
            _of_ratio(lambda x, nll, lam: nll - lam * torch.log(torch.sigmoid(x))),
            "for a very small odds ratio sigmoid rounds to 0, whose logarithm is -infinity (and exp overflows); torch "
            "has "
            "log σ as one function",
        ),
        Misconception(
            "epsilon-in-the-sigmoid",
            _of_ratio(lambda x, nll, lam: nll - lam * torch.log(torch.sigmoid(x) + 1e-8)),
            "an epsilon inside the logarithm caps the loss of a very wrong pair and loses its gradient; torch has log σ "
            "as one function",
        ),
        Misconception(
            "epsilon",
            _of_log_odds(lambda x: x - torch.log(1 - torch.exp(x) + 1e-8)),
            _EPSILON,
        ),
        Misconception(
            "epsilon-1e-6",
            _of_log_odds(lambda x: x - torch.log(1 - torch.exp(x) + 1e-6)),
            _EPSILON,
        ),
        Misconception(
            "epsilon-outside-expm1",
            _of_log_odds(lambda x: x - torch.log(-torch.expm1(x) + 1e-8)),
            _EPSILON,
        ),
        Misconception(
            "clamped-probability",
            _of_log_odds(lambda x: torch.logit(torch.exp(x), eps=1e-6)),
            "the probability was kept away from 0 and 1, which caps the odds and kills the gradient; stay with "
            "logarithms",
        ),
        Misconception(
            "clamped-log-probability",
            _of_log_odds(lambda x: _log_odds(x.clamp(max=-1e-5))),
            "a nearly certain response was clamped, which caps its odds and kills its gradient",
        ),
        Misconception(
            "clamped-ratio",
            _of_ratio(lambda x, nll, lam: nll - lam * F.logsigmoid(x.clamp(-10, 10))),
            "the log odds ratio was clamped: the loss of a very wrong pair is capped, and its gradient is gone",
        ),
        *(
            Misconception(
                f"clamped-ratio-{bound}",
                _of_ratio(lambda x, nll, lam, bound=bound: nll - lam * F.logsigmoid(x.clamp(-bound, bound))),
                "the log odds ratio was clamped: the loss of a very wrong pair is capped, and its gradient is gone",
            )
            for bound in (20, 50)
        ),
        Misconception(
            "nan-replaced",
            _of_ratio(lambda x, nll, lam: nll - lam * torch.nan_to_num(torch.log(torch.sigmoid(x)))),
            _NAN,
        ),
        Misconception(
            "all-detached",
            lambda *args, **kwargs: orpo_loss(*args, **kwargs).detach(),
            "no gradient reaches the policy here: was something detached, or clamped, where it should flow?",
        ),
        Misconception(
            "chosen-detached",
            lambda c, r, nll, lam=0.1: orpo_loss(c.detach(), r, nll, lam),
            "no gradient reaches the chosen mean log-probability through the odds",
        ),
        Misconception(
            "rejected-detached",
            lambda c, r, nll, lam=0.1: orpo_loss(c, r.detach(), nll, lam),
            "no gradient reaches the rejected response; it is the policy's too, there is no reference here",
        ),
        Misconception(
            "odds-detached",
            lambda c, r, nll, lam=0.1: orpo_loss(c.detach(), r.detach(), nll, lam),
            "no gradient passes through the odds ratio; only the NLL would be trained",
        ),
        Misconception(
            "float32-only",
            lambda c, r, nll, lam=0.1: orpo_loss(c.float(), r.float(), nll.float(), lam),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-always",
            lambda c, r, nll, lam=0.1: orpo_loss(c.double(), r.double(), nll.double(), lam),
            "the result is float64 whatever came in; cast it back to the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _orpo_in_place,
            "the NLL that came in was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "case distinction": _of_log_odds(lambda x: x - _cutoff(x)),
        "softplus of log-odds": lambda chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1: (
            chosen_nll
            + lam
            * F.softplus(
                (rejected_mean_logp - chosen_mean_logp)
                + ((-torch.expm1(chosen_mean_logp)).log() - (-torch.expm1(rejected_mean_logp)).log())
            )
        ),
        "in float64, cast back": _in_float64,
        "logaddexp": lambda chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1: torch.add(
            chosen_nll,
            torch.logaddexp(_log_odds(chosen_mean_logp), _log_odds(rejected_mean_logp))
            - _log_odds(chosen_mean_logp),
            alpha=lam,
        ),
        "log-softmax of two log-odds": lambda chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1: (
            chosen_nll
            - lam
            * torch.stack([_log_odds(chosen_mean_logp), _log_odds(rejected_mean_logp)], dim=-1).log_softmax(
                -1
            )[:, 0]
        ),
        "quotient of expm1": _of_logits(
            lambda c, r: c - r + torch.log(torch.expm1(r) / torch.expm1(c)),
        ),
        "loop": lambda chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1: torch.stack(
            [
                n - lam * F.logsigmoid(_log_odds(c) - _log_odds(r))
                for c, r, n in zip(chosen_mean_logp, rejected_mean_logp, chosen_nll, strict=True)
            ]
        ),
    },
    hints=(
        "Stay with logarithms: log odds = log p - log(1 - p), and log p is what comes in.",
        "The log odds ratio is a difference of two log-odds; -log σ of it, weighted by lam, is added to the NLL.",
        "1 - exp(x) loses its digits where x is close to 0. torch.expm1(x) is exp(x) - 1 without that rounding.",
    ),
)

EXERCISES = (ORPO_LOSS,)
