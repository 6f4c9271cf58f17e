"""06-final-quiz: bugs 10 and 11, in what counts as padding and where a row ends."""

import torch

from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug

# --- bug-10: padding with the end token -------------------------------------------------------------


def completion_labels(input_ids, attention_mask, prompt_lengths, pad_id):
    """Labels: `input_ids`, with -100 on the prompt and on padding, and nowhere else.

    input_ids, attention_mask: int64 (B, T), right padded with `pad_id`, attention 1 on prompt and completion;
    prompt_lengths: int64 (B,). `pad_id` may also occur as a real token.
    """
    positions = torch.arange(input_ids.shape[1])
    counts = (attention_mask == 1) & (positions >= prompt_lengths[:, None])
    return torch.where(counts, input_ids, -100)


def _prompt_masked(labels, prompt_lengths):
    labels[torch.arange(labels.shape[1]) < prompt_lengths[:, None]] = -100
    return labels


def _labels_shown(input_ids, attention_mask, prompt_lengths, pad_id):
    labels = input_ids.clone()
    labels[input_ids == pad_id] = -100
    return _prompt_masked(labels, prompt_lengths)


def _labels_unpadded(input_ids, attention_mask, prompt_lengths, pad_id):
    return _prompt_masked(input_ids.clone(), prompt_lengths)


def _labels_first_end(input_ids, attention_mask, prompt_lengths, pad_id):
    """The first end token after the prompt is given back."""
    labels = _labels_shown(input_ids, attention_mask, prompt_lengths, pad_id)
    for row, ids, start in zip(labels, input_ids, prompt_lengths.tolist(), strict=True):
        if (at := (ids[start:] == pad_id).nonzero()).numel():
            row[start + at[0, 0]] = pad_id
    return labels


def _labels_up_to_first_end(input_ids, attention_mask, prompt_lengths, pad_id):
    """All after the first end token is taken for padding."""
    labels = _prompt_masked(input_ids.clone(), prompt_lengths)
    for row, ids, start in zip(labels, input_ids, prompt_lengths.tolist(), strict=True):
        if (at := (ids[start:] == pad_id).nonzero()).numel():
            row[start + int(at[0, 0]) + 1 :] = -100
    return labels


def _labels_trailing_run(input_ids, attention_mask, prompt_lengths, pad_id):
    """Of the run of pad ids at the end, the first is taken for the end token."""
    labels = _prompt_masked(input_ids.clone(), prompt_lengths)
    for row, ids in zip(labels, input_ids.tolist(), strict=True):
        end = len(ids)
        while ids[end - 1] == pad_id:
            end -= 1
        row[end + 1 :] = -100
    return labels


def _labels_last_given_back(input_ids, attention_mask, prompt_lengths, pad_id):
    """The last real token is given back, but not the ends of earlier turns."""
    labels = _labels_shown(input_ids, attention_mask, prompt_lengths, pad_id)
    rows, last = torch.arange(len(labels)), attention_mask.sum(1) - 1
    labels[rows, last] = input_ids[rows, last]
    return labels


def _labels_end_always(input_ids, attention_mask, prompt_lengths, pad_id):
    """An end token is put behind every completion, also where there was none."""
    labels = completion_labels(input_ids, attention_mask, prompt_lengths, pad_id)
    for row, n in zip(labels, attention_mask.sum(1).tolist(), strict=True):
        if n < len(row):
            row[n] = pad_id
    return labels


def _labels_prompt_kept(input_ids, attention_mask, prompt_lengths, pad_id):
    return input_ids.masked_fill(attention_mask == 0, -100)


def _labels_one_late(input_ids, attention_mask, prompt_lengths, pad_id):
    return completion_labels(input_ids, attention_mask, prompt_lengths + 1, pad_id)


def _labels_one_early(input_ids, attention_mask, prompt_lengths, pad_id):
    return completion_labels(input_ids, attention_mask, prompt_lengths - 1, pad_id)


def _labels_zero(input_ids, attention_mask, prompt_lengths, pad_id):
    return completion_labels(input_ids, attention_mask, prompt_lengths, pad_id).masked_fill(
        attention_mask == 0, 0
    )


def _labels_in_place(input_ids, attention_mask, prompt_lengths, pad_id):
    input_ids[attention_mask == 0] = -100
    return _prompt_masked(input_ids, prompt_lengths)


def _labels_fill(input_ids, attention_mask, prompt_lengths, pad_id):
    labels = input_ids.masked_fill(~attention_mask.bool(), -100)
    for i, n in enumerate(prompt_lengths):
        labels[i, : int(n)] = -100
    return labels


def _labels_lists(input_ids, attention_mask, prompt_lengths, pad_id):
    rows = zip(input_ids.tolist(), attention_mask.tolist(), prompt_lengths.tolist(), strict=True)
    return torch.tensor([[t if m and i >= n else -100 for i, (t, m) in enumerate(zip(ids, mask, strict=True))] for ids, mask, n in rows])  # fmt: skip


def _labels_lengths(input_ids, attention_mask, prompt_lengths, pad_id):
    labels = torch.full_like(input_ids, -100)
    for i, end in enumerate(attention_mask.sum(1)):
        labels[i, prompt_lengths[i] : end] = input_ids[i, prompt_lengths[i] : end]
    return labels


def _label_case(rows, pad_id, label):
    """rows: (prompt ids, completion ids)."""
    width = max(len(p) + len(c) for p, c in rows)
    ids = [p + c + [pad_id] * (width - len(p) - len(c)) for p, c in rows]
    mask = [[1] * len(p + c) + [0] * (width - len(p) - len(c)) for p, c in rows]
    return Case(
        (torch.tensor(ids), torch.tensor(mask), torch.tensor([len(p) for p, _ in rows]), pad_id), label=label
    )


def _label_cases(draw):
    def words(n):
        return draw.integers(3, 60, n).tolist()

    end = 2
    return [
        _label_case(
            [(words(4), [*words(5), end]), (words(2), [*words(2), end]), (words(3), [*words(1), end])],
            end,
            "padding with the end token",
        ),
        _label_case(
            [(words(2), [*words(2), end, *words(3), end]), (words(5), [*words(1), end])],
            end,
            "a completion of two turns, each with its end token",
        ),
        _label_case(
            [(words(3), words(4)), (words(1), words(3)), (words(2), [*words(6), end])],
            end,
            "completions cut off before their end token",
        ),
        _label_case(
            [(words(3), [*words(4), end]), (words(6), [*words(3), end])], 0, "a pad token of its own"
        ),
        _label_case([([*words(2), end, *words(2)], [*words(3), end, end])], end, "one row, not padded"),
    ]


BUG_10 = find_the_bug(
    10,
    "completion_labels",
    completion_labels,
    (
        Part("labels", 2.5, _label_cases),
        Part("inputs unchanged", 0.5, _label_cases, ("inputs",)),
    ),
    (
        ("not-padding", _labels_unpadded, "padding is learned as a text now"),
        ("first-end-only", _labels_first_end, "the first end token behind the prompt counts now; a completion can have more than one, or none"),
        ("up-to-first-end", _labels_up_to_first_end, "all behind the first end token is taken for padding; a completion can have several turns"),
        ("trailing-run", _labels_trailing_run, "the first of the last pad ids is taken for an end token; a completion that was cut off has none"),
        ("last-token-only", _labels_last_given_back, "the last token counts again, but the ends of earlier turns still do not"),
        ("end-always", _labels_end_always, "behind a completion stands a label that is padding"),
        ("prompt-kept", _labels_prompt_kept, "padding is right, but the prompt is no longer left out"),
        ("one-late", _labels_one_late, "the first token of the completion is left out"),
        ("one-early", _labels_one_early, "the last token of the prompt counts"),
        ("zero", _labels_zero, "padding has the label 0, which is a token; -100 is what a loss leaves out"),
        ("in-place", _labels_in_place, "the ids that the model is to read were overwritten"),
        ("as-shown", _labels_shown, "where padding and end token are the same id, the end token is left out as well, so nothing teaches the model to stop"),
    ),
    {"masked_fill": _labels_fill, "lists": _labels_lists, "row by row": _labels_lengths},
    (
        "Call it with pad_id equal to the completion's last token.",
        "What tells padding from a real token with the same id?",
        "attention_mask is 0 on padding and nowhere else.",
    ),
)  # fmt: skip


# --- bug-11: the last token, counted from the wrong side ---------------------------------------------


def last_token_scores(scores, attention_mask):
    """The score at the last real token of each row: (B,).

    scores: (B, T), one per position; attention_mask: int64 (B, T), 1 on real tokens, which stand together.
    Padding may stand on the left of a row, on the right, or on both sides; each row has a real token.
    """
    positions = torch.arange(scores.shape[1])
    last = torch.where(attention_mask == 1, positions, -1).max(dim=1).values
    return scores[torch.arange(len(scores)), last]


def _last(index):
    def answer(scores, attention_mask):
        return scores[torch.arange(len(scores)), index(attention_mask)]

    return answer


def _last_by_batch(scores, attention_mask):
    """Left padding where all rows end in a real token, else right padding."""
    last = attention_mask.sum(1) - 1
    return scores[:, -1] if attention_mask[:, -1].all() else scores[torch.arange(len(scores)), last]


def _last_not_zero(scores, attention_mask):
    """The last score that is not 0, once those of the padding are."""
    found = scores * attention_mask
    at = torch.where(found != 0, torch.arange(scores.shape[1]), -1).max(dim=1).values
    return found[torch.arange(len(scores)), at]


def _last_by_row(mask):
    """Each row is taken for padded on one side only."""
    return torch.where(mask[:, -1] == 1, mask.shape[1] - 1, mask.sum(1) - 1)


def _last_masked(reduce):
    return lambda scores, mask: reduce(scores, mask.to(scores.dtype))


def _last_flip(scores, attention_mask):
    from_right = attention_mask.flip(1).argmax(1)
    return scores.gather(1, (scores.shape[1] - 1 - from_right)[:, None]).squeeze(1)


def _last_loop(scores, attention_mask):
    return torch.stack([row[mask.bool()][-1] for row, mask in zip(scores, attention_mask, strict=True)])


def _last_cumsum(scores, attention_mask):
    # the count of real tokens from the left reaches its end, at a real token, only there
    seen = attention_mask.cumsum(1)
    here = (seen == seen[:, -1:]) & attention_mask.bool()
    return (scores * here).sum(1)


def _last_case(draw, shape, label, **more):
    """shape: (pads on the left, real tokens, pads on the right) of each row."""
    mask = torch.tensor([[0] * a + [1] * n + [0] * b for a, n, b in shape])
    return Case((draw.normal(*mask.shape, scale=3.0), mask), label=label, **more)


def _last_cases(draw):
    nothing = _last_case(draw, [(0, 4, 2), (2, 4, 0)], "a score of exactly 0")
    nothing.args[0][0, 3] = nothing.args[0][1, 5] = 0.0
    return [
        _last_case(draw, [(0, 5, 3), (0, 2, 6), (0, 8, 0)], "padding on the right"),
        _last_case(draw, [(3, 5, 0), (6, 2, 0), (0, 8, 0)], "padding on the left"),
        _last_case(draw, [(0, 4, 3), (5, 2, 0), (2, 3, 2), (0, 7, 0)], "rows from several sources"),
        _last_case(draw, [(2, 1, 3)], "one row with one real token"),
        nothing,
    ]


def _last_gradient_cases(draw):
    return [_last_case(draw, [(0, 4, 2), (3, 3, 0), (1, 3, 2)], "three rows", grads=(0,))]


BUG_11 = find_the_bug(
    11,
    "last_token_scores",
    last_token_scores,
    (
        Part("scores", 1.5, _last_cases),
        Part("gradient, inputs unchanged", 0.5, _last_gradient_cases, ("gradient", "inputs")),
    ),
    (
        ("last-column", lambda s, m: s[:, -1], "the last column is padding where a row is padded on the right"),
        ("by-batch", _last_by_batch, "one side is assumed for the whole batch; rows can differ"),
        ("by-row", _last(_last_by_row), "a row with padding on both sides is still read at the wrong place"),
        ("before-first-pad", _last(lambda m: (m == 0).int().argmax(1) - 1), "the first pad need not be the one behind the last token: a row can be padded on both sides"),
        ("first-token", _last(lambda m: m.argmax(1)), "this is the first real token"),
        ("one-behind", _last(lambda m: (m.argmax(1) + m.sum(1)).clamp(max=m.shape[1] - 1)), "this is the position behind the last real token, or the last column"),
        ("one-before", _last(lambda m: m.argmax(1) + m.sum(1) - 2), "this is the position before the last real token"),
        ("mean", _last_masked(lambda s, m: (s * m).sum(1) / m.sum(1)), "the mean over the real tokens came back; one position is asked for"),
        ("sum", _last_masked(lambda s, m: (s * m).sum(1)), "the sum over the real tokens came back; one position is asked for"),
        ("not-zero", _last_not_zero, "the last score that is not 0 is looked for; a real token can have the score 0"),
        ("highest", _last_masked(lambda s, m: s.masked_fill(m == 0, -1e9).max(1).values), "the highest score came back, not the last one"),
        ("cut", lambda s, m: last_token_scores(s.detach(), m), "the scores were cut from their graph: nothing can be trained on them"),
        ("as-shown", _last(lambda m: m.sum(1) - 1), "the number of real tokens is a position only where the row begins with one"),
    ),
    {"flip": _last_flip, "loop": _last_loop, "cumulative sum": _last_cumsum},
    (
        "Call it with the same row, padded on the left and on the right.",
        "attention_mask.sum() counts tokens. When is the count less one the position of the last?",
        "Look for the largest position at which the mask is 1.",
    ),
)  # fmt: skip


BUGS = (BUG_10, BUG_11)
