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


def online_pairs(rewards, group_size):
    """Preference pairs out of samples that were judged just now: best against worst of each prompt's group.

    The data step of online DPO (Guo et al. 2024, OAIF, arXiv 2402.04792, with two samples a prompt; with
    more, best against worst is one choice of several). A group whose best reward equals its worst shows
    no preference and gives no pair.

    Args:
        rewards: (N,), a tensor or another sequence of numbers; the rewards of one prompt's samples
            stand side by side.
        group_size: samples of one prompt, at least 2; divides N.

    Returns:
        (chosen_idx, rejected_idx): two int64 tensors (P,), P <= N / group_size, of positions in `rewards`,
        groups in order, on the device of `rewards`. Of several best (or worst) the first is taken. They
        are positions: nothing here has a gradient.

    Raises:
        ValueError: `rewards` is empty or has more than one axis, or `group_size` is below 2 or does
            not divide N.
    """
    rewards = torch.as_tensor(rewards).detach()
    if rewards.dim() != 1 or len(rewards) == 0:
        raise ValueError(f"rewards must be (N,) with N >= 1, not {tuple(rewards.shape)}")
    if group_size < 2 or len(rewards) % group_size:
        raise ValueError(f"group_size must be at least 2 and divide {len(rewards)}, not {group_size}")
    groups = rewards.reshape(-1, group_size)
    best, worst = groups.argmax(1), groups.argmin(1)
    starts = torch.arange(len(groups), device=rewards.device) * group_size
    kept = groups.amax(1) > groups.amin(1)
    return (starts + best)[kept], (starts + worst)[kept]
