"""Training: one update of a policy on a batch of preferences."""

from course_utils.logprobs import score_preferences
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
    reference.eval()
    loss = dpo_loss(*score_preferences(policy, batch, reference), beta).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
