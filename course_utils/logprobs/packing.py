"""Prompt, chosen and rejected completion of a pair in one row: the model reads the prompt once.

    tokens      p0 p1 p2 | c0 c1 c2 | r0 r1
    positions    0  1  2 |  3  4  5 |  3  4
    r1 sees      x  x  x |          |  x  x

The rejected completion is blocked from the chosen one, and its positions begin again after the prompt. So each token
sees what it would see in a row of its own, and the log-probabilities are the same (up to rounding). The last
token of a completion is left out: nothing that counts is predicted from it.
"""

import torch

from course_utils.logprobs.rows import IGNORE


def packed(input_ids, attention_mask, labels, dtype):
    """The rows of B pairs as B packed rows.

    Args:
        input_ids, attention_mask, labels: (2B, T), the chosen rows, then the rejected; padding on either side.
            A prompt is what precedes a row's first label that counts, and is the same for both rows of a pair.
        dtype: of the model, for the mask.

    Returns:
        The inputs of the model: "input_ids" (B, L), "position_ids" (B, L), "attention_mask" (B, 1, L, L), 0 where
        a query sees a key and the dtype's least number elsewhere; for the N tokens that count four vectors (N,): packed row,
        position there that predicts the token, the token, row of the given batch, pair after pair; and for each
        packed row the tokens of prompt, chosen and rejected.

    Raises:
        ValueError: the prompts of a pair differ, or a row has no prompt or no label that counts.
    """
    pairs = len(labels) // 2
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    rows = [_parts(*row, i) for i, row in enumerate(zip(input_ids, attention_mask, labels, strict=True))]
    length = max(len(rows[i][0]) + len(rows[i][1]) + len(rows[pairs + i][1]) for i in range(pairs))
    device = input_ids.device
    ids = torch.zeros(pairs, length, dtype=torch.int64)
    positions = torch.zeros_like(ids)
    # 0: a prompt, 1: chosen, 2: rejected, 3: padding, which sees itself alone
    part = torch.full_like(ids, 3)
    found = []
    for i in range(pairs):
        prompt, *chosen = rows[i]
        other, *rejected = rows[pairs + i]
        if not torch.equal(prompt, other):
            raise ValueError(f"batch: the prompts of pair {i} differ, so they cannot be shared")
        start = len(prompt)
        ids[i, :start], positions[i, :start], part[i, :start] = prompt, torch.arange(start), 0
        for side, (tokens, targets) in enumerate((chosen, rejected)):
            end = start + len(tokens)
            ids[i, start:end], part[i, start:end] = tokens, 1 + side
            positions[i, start:end] = torch.arange(len(prompt), len(prompt) + len(tokens))
            counted = (targets != IGNORE).nonzero()[:, 0]
            # the first token is predicted by the prompt's last, the others by the one before
            before = torch.where(counted == 0, len(prompt) - 1, start + counted - 1)
            row, sequence = torch.full_like(counted, i), torch.full_like(counted, i + side * pairs)
            found.append(torch.stack([row, before, targets[counted], sequence]))
            start = end
    query, key = part[:, :, None], part[:, None, :]
    order = torch.arange(length)
    sees = (order[:, None] >= order) & ((key == query) | (key == 0)) & (query != 3)
    sees |= torch.eye(length, dtype=torch.bool)
    mask = torch.zeros(sees.shape, dtype=dtype).masked_fill(~sees, torch.finfo(dtype).min)[:, None]
    inputs = {"input_ids": ids, "position_ids": positions, "attention_mask": mask}
    lengths = [(len(rows[i][0]), len(rows[i][1]), len(rows[pairs + i][1])) for i in range(pairs)]
    return {name: x.to(device) for name, x in inputs.items()}, torch.cat(found, dim=1).to(device), lengths


def _parts(ids, mask, labels, i):
    """(prompt, completion but for its last token, labels of the completion) of one row, on the CPU, without padding."""
    real = mask.bool()
    ids, labels = ids[real].cpu(), labels[real].cpu()
    counted = (labels != IGNORE).nonzero()[:, 0]
    if len(counted) == 0 or counted[0] == 0:
        raise ValueError(f"batch: row {i} must have a prompt, and after it a label that counts")
    first, end = int(counted[0]), int(counted[-1]) + 1  # what follows the last one has no bearing on it
    return ids[:first], ids[first : end - 1], labels[first:end]
