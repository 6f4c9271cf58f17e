"""A batch of preference pairs under a policy and its reference: the four vectors that a pair loss takes."""

import contextlib

import torch

from course_utils.logprobs.model import batch_parts, sequence_logps


def score_preferences(model, batch, reference=None, *, average=False, shared_prompt=False):
    """Log-probabilities of the completions under the policy, with gradient, and under the reference, without.

    Only the positions that predict a completion's token go through the output layer, a few at a time. Where the
    reference comes from: the model given as `reference`; else the batch's "reference_logps", which cost nothing;
    else the policy itself with its adapter switched off. A reference runs in eval mode (and goes back to the mode
    that it was in), since with dropout it would be another distribution at every step.

    Args:
        model: the policy, a causal model of `transformers`, bare or with an adapter of `peft`.
        batch: from `collate_preferences`, on the model's device: the B chosen rows, then the B rejected. May hold
            "reference_logps" (2B,), from `sequence_logps` with the same `average`.
        reference: a model, or None.
        average: means over a completion's tokens in place of sums.
        shared_prompt: read each prompt once, see `completion_rows`. The default reads it with either completion.

    Returns:
        policy_chosen, policy_rejected, ref_chosen, ref_rejected: (B,) each, float32 at least.

    Raises:
        ValueError: as for `completion_rows` and `sequence_logps`; there is neither a reference nor an adapter nor
            "reference_logps" in the batch, or these have another shape.
    """
    rows = len(batch_parts(batch)[2])
    options = {"average": average, "shared_prompt": shared_prompt}
    ref = reference_scores(model, batch, reference, **options)
    policy = sequence_logps(model, batch, **options)
    return *policy.split(rows // 2), *ref.to(policy.dtype).split(rows // 2)


def reference_scores(model, batch, reference=None, *, average=False, shared_prompt=False):
    """(2B,) log-probabilities under the reference of `score_preferences`, without gradient."""
    if reference is None and "reference_logps" in batch:
        cached = batch["reference_logps"]
        if cached.shape != (len(batch["labels"]),) or not cached.is_floating_point():
            raise ValueError(
                f"batch['reference_logps'] must be ({len(batch['labels'])},) floats, "
                f"not {tuple(cached.shape)} {cached.dtype}"
            )
        return cached.detach()
    if reference is None and not hasattr(model, "disable_adapter"):
        raise ValueError(
            "reference is None: the model has no adapter to switch off, and the batch no 'reference_logps'"
        )
    off = contextlib.nullcontext() if reference is not None else model.disable_adapter()
    with torch.no_grad(), off, _eval_mode(model if reference is None else reference) as scored:
        return sequence_logps(scored, batch, average=average, shared_prompt=shared_prompt)


@contextlib.contextmanager
def _eval_mode(model):
    """The model in eval mode; each of its modules goes back to the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model.eval()
    finally:
        for module, training in modes:
            module.training = training
