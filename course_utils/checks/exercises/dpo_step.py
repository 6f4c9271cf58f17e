"""02-dpo-from-scratch: one training step."""

import copy
import functools

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.checks.beside import beside
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.dpo_collate import draw_examples
from course_utils.checks.observe import changed_inputs, describe_error, detached, quietly
from course_utils.checks.scripts.training import one_step
from course_utils.logprobs import sequence_logprob
from course_utils.methods import train_step
from course_utils.preferences import collate_preferences

_VOCABULARY, _WIDTH = 12, 5


def _weights(draw):
    return draw.normal(_VOCABULARY, _WIDTH), draw.normal(_VOCABULARY, _WIDTH), draw.normal(_VOCABULARY)


def _observe_step(function, case):
    """One call on fresh models: the loss, and what became of policy, reference and batch."""
    given, batch = case.extra, copy.deepcopy(case.args[0])
    before = dict(zip(("embedding", "head", "bias"), given["reference"], strict=True))
    weights = given["policy"], given["reference"]
    how = given["optimizer"], given["dropout"], given["leftover"], given["again"]
    try:
        seen = quietly(beside, function, one_step, *weights, batch, *how, case.kwargs)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    return {
        "policy": detached(seen["policy"]),
        "mode of the policy": "train" if seen["policy trains"] else "the policy was left in eval mode",
        "loss": seen["loss"],
        "reference gradient": "a gradient reached the reference" if seen["reference gradient"] else "none",
        "reference weights": changed_inputs(((before,), {}), ((seen["reference"],), {})).replace(
            "argument 1", "the reference"
        ),
        "reference mode": "train" if seen["reference trains"] else "eval",
        "inputs": changed_inputs((case.args, {}), ((seen["batch"],), {})).replace("argument 1", "the batch"),
        # the above tells what is wrong, if this process is to be believed; these are numbers that follow from it
        "afterwards": {
            "logits of the policy, as it was left": detached(seen["logits"][0]),
            "logits of the reference, as it was left": detached(seen["logits"][1]),
        },
    }


def _step_case(
    draw, lengths, label, optimizer="sgd", dropout=False, leftover=False, again=False, equal=False, **kwargs
):
    batch = collate_preferences(draw_examples(draw, lengths, low=0, high=_VOCABULARY - 1), pad_id=0)
    policy = _weights(draw)
    extra = {
        "policy": policy,
        "reference": policy if equal else _weights(draw),
        "optimizer": optimizer,
        "dropout": dropout,
        "leftover": leftover,
        "again": again,
    }
    # an answer may go through float32 somewhere: held to 1e-5, and to 4e-7 where a parameter is near 0
    return Case((batch,), kwargs, label, rtol=1e-5, scale=1e8, extra=extra)


_EQUAL, _UNEQUAL = [(2, 3, 3), (1, 4, 4), (3, 2, 2)], [(2, 3, 5), (1, 4, 2), (3, 2, 6)]


def _step_cases(draw):
    return [
        _step_case(draw, _EQUAL, "three pairs of equal length, SGD"),
        _step_case(draw, [(2, 3, 3)], "one pair, SGD, beta=0.5", beta=0.5),
        _step_case(draw, [*_EQUAL, (2, 3, 3)], "four pairs of equal length, SGD, beta=2", beta=2.0),
        _step_case(draw, _EQUAL, "three pairs of equal length, Adam, its second step", "adam"),
        _step_case(draw, [(2, 4, 4)], "a policy equal to the reference, beta=20", equal=True, beta=20.0),
    ]


def _loss_value_cases(draw):
    return [
        _step_case(draw, _EQUAL, "three pairs of equal length"),
        _step_case(draw, [(2, 3, 3), (3, 2, 2)], "two pairs, beta=0.5", beta=0.5),
    ]


def _padded_step(draw):
    return [
        _step_case(draw, _UNEQUAL, "three pairs of unequal length"),
        _step_case(draw, [(2, 1, 4)], "one pair"),
    ]


def _step(
    policy,
    reference,
    batch,
    optimizer,
    beta=0.1,
    *,
    ids=lambda b: b["input_ids"],
    labels=lambda b: b["labels"],
    masked=True,
    split=lambda x: x.chunk(2),
    average=False,
    log_ratio=lambda logp, ref: logp - ref,
    loss=lambda logits: -F.logsigmoid(logits).mean(),
    scale=lambda beta: beta,
    evaluate="before",
    policy_mode=None,
    no_grad=True,
    zero="before",
    clip=None,
    steps=1,
    own=None,
    returned=lambda loss, again: loss.item(),
):
    """A training step in which one thing or another can be done wrongly."""
    optimizer = own(policy.parameters()) if own else optimizer

    def rows(model):
        mask = {"attention_mask": batch["attention_mask"]} if masked else {}
        return sequence_logprob(model(ids(batch), **mask).logits, labels(batch), average)

    def current():
        with torch.set_grad_enabled(not no_grad):
            ref = rows(reference)
        chosen, rejected = split(log_ratio(rows(policy), ref))
        return loss(scale(beta) * (chosen - rejected))

    if evaluate == "before":
        reference.eval()
    if policy_mode is not None:
        policy.train(policy_mode)
    if zero == "before":
        optimizer.zero_grad()
    value = current()
    value.backward()
    if clip:
        nn.utils.clip_grad_norm_(policy.parameters(), clip)
    if zero == "too late":
        optimizer.zero_grad()
    for _ in range(steps):
        optimizer.step()
    if zero == "after":
        optimizer.zero_grad()
    if evaluate == "after":
        reference.eval()
    return returned(value, current)


def _wrong(**changed):
    return functools.partial(_step, **changed)


def _supervised(policy, reference, batch, optimizer, beta=0.1):
    reference.eval()
    logits = policy(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    chosen, _ = sequence_logprob(logits, batch["labels"]).chunk(2)
    optimizer.zero_grad()
    (-chosen.mean()).backward()
    optimizer.step()
    return -chosen.mean().item()


def _mode_restored(policy, reference, batch, optimizer, beta=0.1):
    training = reference.training
    loss = train_step(policy, reference, batch, optimizer, beta)
    reference.train(training)
    return loss


def _policy_left_in_eval_mode(policy, reference, batch, optimizer, beta=0.1):
    loss = train_step(policy, reference, batch, optimizer, beta)
    policy.eval()
    return loss


def _reference_follows(policy, reference, batch, optimizer, beta=0.1):
    loss = train_step(policy, reference, batch, optimizer, beta)
    reference.load_state_dict(policy.state_dict())
    return loss


def _policy_under_no_grad(policy, reference, batch, optimizer, beta=0.1):
    reference.eval()
    with torch.no_grad():
        logps = [
            sequence_logprob(
                m(batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch["labels"]
            )
            for m in (policy, reference)
        ]
    chosen, rejected = (logps[0] - logps[1]).chunk(2)
    loss = -F.logsigmoid(beta * (chosen - rejected)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _policy_twice(policy, reference, batch, optimizer, beta=0.1):
    reference.eval()
    first, second = (
        sequence_logprob(
            m(batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch["labels"]
        )
        for m in (policy, policy)
    )
    chosen, rejected = (first - second.detach()).chunk(2)
    loss = -F.logsigmoid(beta * (chosen - rejected)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _labels_clamped(policy, reference, batch, optimizer, beta=0.1):
    loss = train_step(policy, reference, batch, optimizer, beta)
    batch["labels"].clamp_(min=0)
    return loss


def _two_passes(policy, reference, batch, optimizer, beta=0.1):
    """Chosen and rejected apart, each cut to its longest row; the reference under inference mode."""
    reference.eval()
    half = len(batch["labels"]) // 2

    def logp(model, rows):
        width = int(batch["attention_mask"][rows].sum(1).max())
        ids, mask, labels = (batch[k][rows, :width] for k in ("input_ids", "attention_mask", "labels"))
        scores = model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)[:, :-1]
        values = scores.gather(2, labels[:, 1:].clamp(min=0)[..., None])[..., 0]
        return (values * (labels[:, 1:] != -100)).sum(1)

    chosen, rejected = logp(policy, slice(0, half)), logp(policy, slice(half, None))
    with torch.inference_mode():
        ref_chosen, ref_rejected = logp(reference, slice(0, half)), logp(reference, slice(half, None))
    loss = F.softplus(-beta * (chosen - ref_chosen - rejected + ref_rejected)).mean()
    policy.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return float(loss)


def _with_closure(policy, reference, batch, optimizer, beta=0.1):
    policy.train()
    reference.eval().requires_grad_(False)

    def logps(model):
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        nll = F.cross_entropy(
            logits.transpose(1, 2), batch["labels"][:, 1:], ignore_index=-100, reduction="none"
        )
        return -nll.sum(1)

    def closure():
        optimizer.zero_grad()
        ratio = logps(policy) - logps(reference)
        half = len(ratio) // 2
        loss = -F.logsigmoid(beta * (ratio[:half] - ratio[half:])).sum() / half
        loss.backward()
        return loss

    return optimizer.step(closure).item()


def _in_float32(policy, reference, batch, optimizer, beta=0.1):
    """The logits cast to float32, as is usual for models in half precision."""
    with torch.no_grad():
        ref = reference.eval()(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.float()
    logits = policy(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.float()
    ratio = sequence_logprob(logits, batch["labels"]) - sequence_logprob(ref, batch["labels"])
    optimizer.zero_grad(set_to_none=True)
    loss = torch.log1p(torch.exp(-beta * (ratio[: len(ratio) // 2] - ratio[len(ratio) // 2 :]))).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def _autograd_by_hand(policy, reference, batch, optimizer, beta=0.1):
    reference.eval()
    inputs = batch["input_ids"], batch["attention_mask"]
    logps = [
        sequence_logprob(m(inputs[0], attention_mask=inputs[1]).logits, batch["labels"])
        for m in (policy, reference)
    ]
    chosen, rejected = torch.chunk(logps[0] - logps[1].detach(), 2)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        beta * (chosen - rejected), torch.ones_like(chosen)
    )
    parameters = list(policy.parameters())
    for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = grad
    optimizer.step()
    return loss.tolist()


TRAIN_STEP = Exercise(
    id="train-step",
    function="train_step",
    reference=train_step,
    observe=_observe_step,
    parts=(
        Part("the policy after one update", 3, _step_cases, ("policy",)),
        Part("the loss before the update, a Python float", 1, _loss_value_cases, ("loss",), independent=True),
        Part("the attention mask reaches both models", 1, _padded_step, ("policy",)),
        Part(
            "gradients left over from before do not count",
            1,
            lambda draw: [_step_case(draw, _EQUAL, "a policy with gradients from before", leftover=True)],
            ("policy",),
        ),
        Part(
            "no gradient into the reference; reference and batch unchanged",
            1,
            lambda draw: [_step_case(draw, _EQUAL, "three pairs, two steps", again=True)],
            ("reference gradient", "reference weights", "inputs", "afterwards"),
        ),
        Part(
            "the reference put, and left, in eval mode",
            1,
            lambda draw: [
                _step_case(draw, _EQUAL, "two models with dropout, both in train mode before", dropout=True)
            ],
            ("policy", "reference mode", "mode of the policy", "afterwards"),
        ),
    ),
    misconceptions=(
        Misconception(
            "averaged",
            _wrong(average=True),
            "the log-probabilities are means over the tokens; DPO takes their sums",
        ),
        Misconception(
            "loss-summed",
            _wrong(loss=lambda x: -F.logsigmoid(x).sum()),
            "the losses of the pairs were added up; the step is on their mean",
        ),
        Misconception(
            "mean-over-rows",
            _wrong(loss=lambda x: -F.logsigmoid(x).sum() / (2 * len(x))),
            "the loss was divided by the number of rows, 2B; there are B pairs",
        ),
        Misconception(
            "of-mean-margin",
            _wrong(loss=lambda x: -F.logsigmoid(x.mean())),
            "the margins were averaged before the loss; take the loss of each pair, then the mean",
        ),
        Misconception(
            "interleaved",
            _wrong(split=lambda x: (x[0::2], x[1::2])),
            "the rows were split as if chosen and rejected alternated; all B chosen come first, then all rejected",
        ),
        Misconception(
            "swapped",
            _wrong(split=lambda x: x.chunk(2)[::-1]),
            "chosen and rejected are exchanged: the first half of the batch are the chosen rows",
        ),
        Misconception(
            "no-reference",
            _wrong(log_ratio=lambda logp, ref: logp),
            "the reference does not enter the loss",
        ),
        Misconception(
            "policy-as-reference",
            _policy_twice,
            "the policy itself was used as the reference, so the margin is always 0 and the loss log 2",
        ),
        Misconception(
            "beta-fixed", _wrong(scale=lambda beta: 0.1), "beta is always 0.1 here, whatever is passed"
        ),
        Misconception("beta-missing", _wrong(scale=lambda beta: 1.0), "beta does not enter the loss"),
        Misconception(
            "ascent",
            _wrong(loss=lambda x: F.logsigmoid(x).mean()),
            "the sign is turned: this step makes the loss larger",
        ),
        Misconception("supervised", _supervised, "this is supervised fine-tuning on the chosen responses"),
        Misconception(
            "prompt-counted",
            _wrong(labels=lambda b: b["input_ids"]),
            "tokens that are not of the completion are in the log-probabilities; batch['labels'] says what counts",
        ),
        Misconception(
            "no-update",
            _wrong(zero="too late"),
            "the policy is the same as before: was step() called, and were this batch's gradients still there?",
        ),
        Misconception(
            "own-optimizer",
            _wrong(own=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3)),
            "an optimiser of its own was made; use the one that is passed, with its settings and its state",
        ),
        Misconception(
            "stepped-twice",
            _wrong(steps=2),
            "two updates were made with the same gradient; one was asked for",
        ),
        Misconception(
            "clipped-at-10",
            _wrong(clip=10.0),
            "a large gradient was clipped, which was not asked for and makes another update",
        ),
        Misconception(
            "clipped",
            _wrong(clip=1.0),
            "the gradient was clipped, which was not asked for and makes another update",
        ),
        Misconception(
            "policy-no-grad",
            _policy_under_no_grad,
            "the policy ran under no_grad, so there is nothing to backpropagate; only the reference belongs there",
        ),
        Misconception(
            "no-attention-mask",
            _wrong(masked=False),
            "the models were called without the attention mask, and took the padding for text",
        ),
        Misconception(
            "leftover-gradients",
            _wrong(zero="after"),
            "gradients from before the call went into the update: clear them before this batch's are computed",
        ),
        Misconception(
            "reference-gradient",
            _wrong(no_grad=False),
            "a gradient reached the reference, and its activations were kept for that; run it without one",
        ),
        Misconception(
            "reference-follows",
            _reference_follows,
            "the reference was set to the updated policy; it stays what it was",
        ),
        Misconception(
            "reference-not-eval",
            _wrong(evaluate=""),
            "the reference was left in train mode: its dropout makes it another distribution at every step",
        ),
        Misconception(
            "reference-eval-too-late",
            _wrong(evaluate="after"),
            "the reference is in eval mode at the end, but its log-probabilities were computed in train mode",
        ),
        Misconception(
            "policy-eval",
            _wrong(policy_mode=False),
            "the policy was put in eval mode too, without its dropout; only the reference belongs there",
        ),
        Misconception(
            "policy-left-in-eval",
            _policy_left_in_eval_mode,
            "the policy was put in eval mode at the end, and the next step would train it without its dropout",
        ),
        Misconception(
            "mode-restored",
            _mode_restored,
            "the reference is in train mode again at the end; it is to be left in eval mode",
        ),
        Misconception(
            "loss-after",
            _wrong(returned=lambda loss, again: again().item()),
            "this is the loss after the update; the one before it was asked for",
        ),
        Misconception(
            "loss-tensor",
            _wrong(returned=lambda loss, again: loss.detach()),
            "the loss is still a tensor; .item() makes a Python float, which keeps no graph alive",
        ),
        Misconception(
            "loss-forgotten",
            _wrong(returned=lambda loss, again: None),
            "nothing is returned; the loss before the update was asked for",
        ),
        Misconception(
            "batch-changed",
            _labels_clamped,
            "the batch was changed (an operation ending in _ on its labels); it may be used again in the next epoch",
        ),
    ),
    alternatives={
        "two passes": _two_passes,
        "closure": _with_closure,
        "autograd.grad": _autograd_by_hand,
        "float32 logits": _in_float32,
        "in one": _step,
        "policy in train mode": _wrong(policy_mode=True),
    },
    hints=(
        "Reference first: eval mode, no gradient. Then the policy, on the same input_ids and attention_mask. "
        "The lines of your sequence_logprob, copied in as a helper, turn each one's logits into 2B sums.",
        "The first half of the 2B rows are the chosen ones, the second half the rejected: .chunk(2) splits them.",
        "The mean of the DPO losses, then three calls in this order: clear the gradients, backward, step. "
        "Return the loss as a number.",
    ),
)
