"""From a causal language model and a collated batch to the rows that count, and to one number per sequence."""

import contextlib
import inspect
import weakref
from typing import NamedTuple

import torch

from course_utils.kernels import tiles
from course_utils.kernels.products import faster_products
from course_utils.logprobs.linear import linear_logprobs
from course_utils.logprobs.packing import packed
from course_utils.logprobs.rows import IGNORE, counted_tokens
from course_utils.logprobs.tokens import token_logprobs

# What some models do to their logits after the output layer: the setting, and the value that changes nothing.
BEYOND_THE_LAYER = {
    "final_logit_softcapping": None,
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
    "lm_head_multiplier": 1.0,
}

# Models that were seen to do nothing to their logits but what their output layer does, and that layer.
_PLAIN = weakref.WeakKeyDictionary()


class Rows(NamedTuple):
    """The hidden states that predict a token that counts, and what `linear_logprobs` and `preference_loss` want.

    Attributes:
        hidden: (N, d), only rows that count, sequence after sequence or pair after pair.
        weight, bias: of the output layer, (V, d) and (V,) or None.
        labels: (N,), the token that each row predicts.
        sequences: (N,), the row of the batch that it belongs to.
    """

    hidden: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    labels: torch.Tensor
    sequences: torch.Tensor


def completion_rows(model, batch, *, shared_prompt=False):
    """Run the model without its output layer, and keep the rows that predict a token of a completion.

    Args:
        model: a causal model of `transformers`, bare or with an adapter of `peft`, whose logits are its
            output layer's and nothing else. It is called as itself, so hooks see it.
        batch: from `collate_preferences`, on the model's device; the padding may stand on either side, and where it
            stands on the right the mask may be None.
        shared_prompt: lay prompt, chosen and rejected in one row, so that the model reads each prompt once: P + C + R
            tokens for a pair, less the last of each completion, in place of 2 P + C + R. The same numbers up to
            rounding; for models with positions that can be given and attention of the kinds "sdpa" and "eager".

    Returns:
        `Rows`, with a gradient into the model where that is on.

    Raises:
        ValueError: `batch` lacks a key, is empty or has an odd number of rows; the model has no plain output
            layer; with `shared_prompt`, two prompts of a pair differ or the model cannot be given a mask.
    """
    input_ids, attention_mask, labels = batch_parts(batch, pairs=shared_prompt)
    layer = _layer(model)
    if layer is None:
        raise ValueError("model has no plain output layer, whose product with hidden states are its logits")
    if shared_prompt:
        _check_takes_a_mask(model, labels.shape[1])
        inputs, positions, lengths = packed(input_ids, attention_mask, labels, next(model.parameters()).dtype)
    else:
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            **_positions(model, attention_mask),
        }
        sequence, at = (labels[:, 1:] != IGNORE).nonzero(as_tuple=True)
        positions = sequence, at, labels[sequence, at + 1], sequence
        lengths = None
    with _faster(model, inputs["attention_mask"], lengths):
        hidden = _last_hidden(model, layer, inputs)
    row, at, targets, sequences = positions
    return Rows(hidden[row, at], layer.weight, layer.bias, targets, sequences)


def sequence_logps(model, batch, *, average=False, shared_prompt=False):
    """log p of each completion of a collated batch: sums over its tokens, or means.

    Where the logits are few, or the model does more to them than its output layer, they are taken as the model gives
    them; else they are never all formed (`completion_rows`).

    Args:
        model, batch, shared_prompt: as for `completion_rows`; any model called as model(input_ids,
            attention_mask=attention_mask) with `.logits` will do where `shared_prompt` is False.
        average: divide by the number of tokens that count.

    Returns:
        (2B,), float32 at least. With a reference under `torch.no_grad()`, these are the `reference_logps` that
        a batch may carry.

    Raises:
        ValueError: as for `completion_rows`, or a row has no token that counts.
    """
    input_ids, attention_mask, labels = batch_parts(batch, pairs=shared_prompt)
    count = counted_tokens(labels)
    layer = _layer(model)
    small = layer is None or labels.numel() * len(layer.weight) * 4 <= tiles.BUFFER_BYTES["cpu"]
    if small and not shared_prompt:
        positions = _positions(model, attention_mask)
        logits = model(input_ids, attention_mask=attention_mask, **positions).logits
        total = token_logprobs(logits, labels).sum(1)
    else:
        rows = completion_rows(model, batch, shared_prompt=shared_prompt)
        logp = linear_logprobs(rows.hidden, rows.weight, rows.labels, bias=rows.bias)
        total = logp.new_zeros(len(labels)).index_add(0, rows.sequences, logp)
    return total / count if average else total


def batch_parts(batch, pairs=True):
    """input_ids, attention_mask and labels of a batch, of pairs or of any rows, or ValueError."""
    keys = ("input_ids", "attention_mask", "labels")
    if missing := [key for key in keys if key not in batch]:
        raise ValueError(f"batch has no {missing[0]!r}")
    if len(batch["labels"]) == 0 or (pairs and len(batch["labels"]) % 2):
        raise ValueError(
            f"batch must have the chosen rows and as many rejected, not {len(batch['labels'])} rows"
        )
    return [batch[key] for key in keys]


def _core(model):
    """The model without the wrapping of an adapter (its layers hold the adapter)."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _layer(model):
    """The output layer if hidden states times its weight are the logits, else None."""
    core = _core(model)
    if not hasattr(core, "get_output_embeddings") or not _accepts(core, "logits_to_keep"):
        return None
    layer = core.get_output_embeddings()
    config = core.config.get_text_config()
    changed = any(getattr(config, name, None) not in (None, none) for name, none in BEYOND_THE_LAYER.items())
    return layer if type(layer) is torch.nn.Linear and not changed else None


def _positions(model, attention_mask):
    """{"position_ids": ...} where the padding stands on the left: positions count from the first token."""
    if attention_mask is None or bool(attention_mask[:, 0].all()) or not _accepts(model, "position_ids"):
        return {}
    return {"position_ids": (attention_mask.cumsum(1) - 1).clamp(min=0)}


def _accepts(model, name):
    return name in inspect.signature(_core(model).forward).parameters


def _last_hidden(model, layer, inputs):
    """(rows, T, d): what the output layer would read. It is run itself only once for a model, at the last position."""
    seen = []
    handle = _core(model).base_model.register_forward_hook(
        lambda module, args, output: seen.append(output[0])
    )
    known = _PLAIN.get(model) is layer
    try:
        ids = inputs.pop("input_ids")
        # a list of positions and not the number 1: their rows are copied together, while a slice of them would
        # make the product with a frozen layer copy the layer for each row
        last = torch.tensor([] if known else [-1], device=ids.device, dtype=torch.int64)
        logits = model(ids, **inputs, use_cache=False, logits_to_keep=last).logits
    finally:
        handle.remove()
    if not known:
        with torch.no_grad():
            own = layer(seen[0][:, -1]).float()
            if not torch.allclose(own, logits[:, -1].float(), rtol=1e-2, atol=1e-2, equal_nan=True):
                raise ValueError("model does more to its logits than its output layer says")
        _PLAIN[model] = layer
    return seen[0]


@contextlib.contextmanager
def _faster(model, mask, lengths):
    """What makes the forward pass faster, and its backward pass with it; `lengths` are those of packed rows, or None."""
    if model.training and any(getattr(m, "gradient_checkpointing", False) for m in model.modules()):
        yield  # the model forms its activations anew in the backward pass, outside: they must be formed alike
        return
    with contextlib.ExitStack() as ways:
        ways.enter_context(faster_products())
        if lengths:
            from course_utils.logprobs.packed_attention import part_by_part  # imports half of transformers

            ways.enter_context(part_by_part(_core(model).config.get_text_config(), mask, lengths))
        yield


def _check_takes_a_mask(model, length):
    core = _core(model)
    config = core.config.get_text_config()
    kind = getattr(config, "_attn_implementation", None)
    if kind not in ("sdpa", "eager") or not _accepts(core, "position_ids"):
        raise ValueError(
            f"model must take a mask and positions for shared_prompt: its attention is {kind!r}; "
            "'sdpa' and 'eager' do"
        )
    window = getattr(config, "sliding_window", None)
    if window is not None and getattr(config, "use_sliding_window", True) and window < 2 * length:
        raise ValueError(f"model has a sliding window of {window} tokens, which shared_prompt would undo")
