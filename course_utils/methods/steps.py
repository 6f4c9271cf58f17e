"""Training: one update of a policy on a batch of preferences."""

import torch

from course_utils.logprobs import sequence_logprob
from course_utils.losses import dpo_loss


def train_step(policy, reference, batch, optimizer, beta=0.1):
    """One update of the policy on the batch mean of the DPO loss (Rafailov et al. 2023, eq. 7).

    Log-probabilities are summed over the completion's tokens. Gradients left in the policy from before
    do not count. The reference gets no gradient, and is put, and left, in eval mode: with dropout on, it
    would be another distribution at every step.

    Args:
        policy, reference: called as model(input_ids, attention_mask=attention_mask); return an object
            with `.logits`, (2B, T, V).
        batch: from `collate_preferences`, on the models' device: the B chosen rows, then the B rejected.
        optimizer: holds the policy's parameters.
        beta: > 0.

    Returns:
        The loss before the update, a Python float.

    Raises:
        ValueError: `batch` lacks a key, is empty, or has an odd number of rows; beta <= 0.
    """
    input_ids, attention_mask, labels = _parts(batch)
    reference.eval()
    with torch.no_grad():
        ref_logits = reference(input_ids, attention_mask=attention_mask).logits
        ref_chosen, ref_rejected = sequence_logprob(ref_logits, labels).chunk(2)
        del ref_logits  # (2B, T, V): not needed while the policy's are there
    optimizer.zero_grad()
    logits = policy(input_ids, attention_mask=attention_mask).logits
    chosen, rejected = sequence_logprob(logits, labels).chunk(2)
    loss = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def _parts(batch):
    keys = ("input_ids", "attention_mask", "labels")
    if missing := [key for key in keys if key not in batch]:
        raise ValueError(f"batch has no {missing[0]!r}")
    if len(batch["labels"]) == 0 or len(batch["labels"]) % 2:
        raise ValueError(
            f"batch must have the chosen rows and as many rejected, not {len(batch['labels'])} rows"
        )
    return [batch[key] for key in keys]
