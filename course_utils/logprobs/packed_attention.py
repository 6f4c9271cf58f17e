"""Attention of packed pairs, part by part: what the mask hides is not computed.

The kernel of torch that takes a mask forms all L·L scores of a packed row on the CPU, with a copy of the keys for
every head that shares them. Prompt, chosen and rejected each need a block of their own: about half the scores.
They are kept for the backward pass, so this is for short rows only.
"""

import contextlib
import itertools

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "packed_pairs"
# Tokens of a packed row. The scores grow with its square: what SmolLM2's layers keep for the backward pass, and torch's
# kernel does not, is 8 % at 254 tokens, 17 % at 382, 26 % at 510.
SHORT = 384


@contextlib.contextmanager
def part_by_part(config, mask, lengths):
    """Within this context, "sdpa" attention that is given `mask` is computed part by part, where that pays.

    What runs again in the backward pass, outside the context, is not covered: no gradient checkpointing in it.

    Args:
        config: of the model; its attention is set back at the end.
        mask: (B, 1, L, L), the very tensor that the model will get.
        lengths: B tuples, the tokens of prompt, chosen and rejected in each row; what is left of a row is padding.
    """
    kind = config._attn_implementation
    exact = mask.dtype in (torch.float32, torch.float64)  # in half precision torch's kernel sums in float32
    if kind != "sdpa" or not exact or mask.device.type != "cpu" or mask.shape[-1] > SHORT:
        yield
        return
    mask.lengths = lengths
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = kind


def attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    """transformers' interface: query (B, H, L, D), key and value (B, K, L, D) -> (B, L, H, D) and None."""
    lengths = getattr(attention_mask, "lengths", None)
    if (
        lengths is None
        or dropout
        or kwargs.get("position_bias") is not None
        or query.dtype != attention_mask.dtype
    ):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    # rows of the same lengths go together
    alike = [(parts, len(list(rows))) for parts, rows in itertools.groupby(lengths)]
    split = (x.split([count for _, count in alike]) for x in (query, key, value, attention_mask))
    groups = zip(*split, [parts for parts, _ in alike], strict=True)
    return torch.cat([_rows(*group, scaling) for group in groups]).transpose(1, 2), None


def _rows(query, key, value, mask, lengths, scaling):
    """(n, H, L, D), twice (n, K, L, D), (n, 1, L, L), whose rows are alike -> (n, H, L, D), 0 at padding."""
    sizes = [*lengths, query.shape[2] - sum(lengths)]
    (q, *queries, padding), (k, *keys, _), (v, *values, _) = (x.split(sizes, 2) for x in (query, key, value))
    hidden, *masks, _ = [part.split(sizes, 1) for part in mask[0, 0].split(sizes)]
    parts = [_block(q, k, v, hidden[0], scaling)]
    for at, (q, more, rest, hidden) in enumerate(zip(queries, keys, values, masks, strict=True), start=1):
        seen = (torch.cat(pair, -2) for pair in ((k, more), (v, rest)))
        parts.append(_block(q, *seen, torch.cat([hidden[0], hidden[at]], 1), scaling))
    return torch.cat([*parts, torch.zeros_like(padding)], 2)


def _block(query, key, value, mask, scaling):
    """Attention of l tokens to s: (n, H, l, D), twice (n, K, s, D), (l, s) -> (n, H, l, D)."""
    rows, heads, count, width = query.shape
    groups = key.shape[1]
    # the heads that share keys, one below the other; scaled here, where numbers are fewest
    grouped = query.reshape(rows * groups, -1, width) * scaling
    weights = torch.baddbmm(mask.repeat(heads // groups, 1), grouped, key.flatten(0, 1).mT).softmax(-1)
    return (weights @ value.flatten(0, 1)).view(rows, heads, count, value.shape[-1])


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
