"""From preference pairs in token ids to one padded batch."""

import torch

from course_utils.logprobs import IGNORE


def collate_preferences(examples, pad_id):
    """One batch of preference pairs: the B chosen rows first, then the B rejected.

    A row is prompt + completion as given, nothing added or cut, right padded with `pad_id` to the
    longest row. What counts is read from the lengths, never from the ids, since `pad_id` may be a
    genuine token too (often it is the end-of-sequence token).

    Args:
        examples: list of dicts with "prompt", "chosen" and "rejected": lists of token ids, none empty.
        pad_id: the id that fills a row.

    Returns:
        A dict of int64 tensors (2B, T):
        "input_ids"; "attention_mask", 1 on prompt and completion, 0 on padding; "labels", the ids of the
        completion, -100 on prompt and padding. On the CPU.

    Raises:
        ValueError: `examples` is empty, or one of them lacks a key or has an empty list.
    """
    if len(examples) == 0:
        raise ValueError("examples is empty")
    rows = [_row(examples, i, side) for side in ("chosen", "rejected") for i in range(len(examples))]
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    input_ids = torch.full((len(rows), longest), pad_id, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    labels = torch.full_like(input_ids, IGNORE)
    for i, (prompt, completion) in enumerate(rows):
        start, end = len(prompt), len(prompt) + len(completion)
        input_ids[i, :end] = torch.tensor(prompt + completion)
        attention_mask[i, :end] = 1
        labels[i, start:end] = torch.tensor(completion)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


def _row(examples, i, side):
    """Prompt and completion of one example as lists of ints."""
    found = []
    for key in ("prompt", side):
        if key not in examples[i]:
            raise ValueError(f"examples[{i}] has no {key!r}")
        ids = [int(token) for token in examples[i][key]]
        if not ids:  # without a prompt the completion's first token has no position that predicts it
            raise ValueError(f"examples[{i}][{key!r}] is empty")
        found.append(ids)
    return found
