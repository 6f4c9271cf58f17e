"""02-dpo-from-scratch: a batch of preferences."""

import copy

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import observe_call
from course_utils.preferences import collate_preferences

_KEYS = ("input_ids", "attention_mask", "labels")


def _observe_batch(function, case):
    """Each tensor by itself; their dtypes and the keys together."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    result = seen["result"]
    tensors = dict.fromkeys(_KEYS, result)
    if isinstance(result, dict):
        missing = Missing(f"the key is missing; keys seen: {', '.join(map(str, result))}")
        tensors = {key: result.get(key, missing) for key in _KEYS}
    return tensors | {"dtype": seen["dtype"], "inputs": seen["inputs"]}


def draw_examples(draw, lengths, low=3, high=40):
    """Examples with prompt, chosen and rejected of the given lengths."""
    keys = ("prompt", "chosen", "rejected")
    return [
        {k: draw.integers(low, high, n).tolist() for k, n in zip(keys, row, strict=True)} for row in lengths
    ]


def _batch_cases(draw):
    worked = [
        {"prompt": [11, 12], "chosen": [21, 22, 23], "rejected": [31]},
        {"prompt": [13], "chosen": [24], "rejected": [32, 33]},
    ]
    # the pad id is a genuine token too: in a prompt, and at the end of completions (the end-of-sequence token)
    genuine = draw_examples(draw, [(3, 2, 4), (2, 4, 3), (1, 3, 1)])
    for example in genuine:
        example["chosen"][-1] = example["rejected"][-1] = 2
    genuine[0]["prompt"][0] = 2
    zero = draw_examples(draw, [(2, 3, 5), (4, 2, 2)])
    zero[0]["prompt"][1] = zero[1]["chosen"][1] = zero[0]["rejected"][4] = 0
    # the completions begin with the prompt's last token, and hold no other tokens than it
    alike = {"prompt": [5, 6, 5], "chosen": [5, 5, 6, 5], "rejected": [5, 6]}
    return [
        Case((worked, 0), label="two pairs, pad_id 0"),
        Case((genuine, 2), label="three pairs, pad_id 2, which is also a token of the pairs"),
        Case((zero, 0), label="two pairs, pad_id 0, which is also a token of the pairs"),
        Case((draw_examples(draw, [(2, 3, 6)]), 50256), label="one pair, the rejected response the longer"),
        Case(
            (draw_examples(draw, [(3, 4, 1), (2, 5, 2), (4, 3, 3)]), 99),
            label="three pairs, the longest row chosen",
        ),
        Case((draw_examples(draw, [(3, 2, 2), (1, 4, 4)]), 7), label="rows of equal length, no padding"),
        Case(
            ([alike, *draw_examples(draw, [(2, 2, 3)]), alike], 1),
            label="three pairs, two of them the same, whose completions repeat the prompt's tokens",
        ),
    ]


def _long_cases(draw):
    """Beyond the usual limits of length, 512 and 1024; slower than the others, so for one part only."""
    return [
        *_batch_cases(draw),
        Case((draw_examples(draw, [(4, 1100, 30)]), 0), label="one pair, the chosen response of 1100 tokens"),
    ]


def _batch_form(draw):
    return [
        Case((draw_examples(draw, [(2, 3, 4), (3, 1, 2)]), 0), label="two pairs"),
        Case((draw_examples(draw, [(2, 3, 4)]), 1), label="one pair"),
    ]


def _rows(examples, sides=("chosen", "rejected")):
    """(prompt, completion) of each row, in the right order."""
    return [(list(e["prompt"]), list(e[side])) for side in sides for e in examples]


def _collated(rows, pad_id, row_labels=None, width=None, left=False):
    """A batch of (prompt, completion) rows, with other labels, another width or padding on the left."""
    width = width or max(len(p) + len(c) for p, c in rows)
    ids, mask, labels = [], [], []
    for prompt, completion in rows:
        row = (prompt + completion)[:width]
        label = (row_labels(prompt, completion) if row_labels else [-100] * len(prompt) + completion)[:width]
        fill = width - len(row)

        def filled(values, by, n=fill):
            return [by] * n + values if left else values + [by] * n

        ids.append(filled(row, pad_id))
        mask.append(filled([1] * len(row), 0))
        labels.append(filled(label, -100))
    tensors = map(torch.tensor, (ids, mask, labels))
    return dict(zip(_KEYS, tensors, strict=True))


def _edited(edit):
    """The right batch, with entries replaced by `edit(batch, examples, pad_id)`."""

    def answer(examples, pad_id):
        right = collate_preferences(examples, pad_id)
        return right | edit(right, examples, pad_id)

    return answer


def _prompt_mask(examples):
    return torch.stack(
        [
            torch.arange(max(len(p) + len(c) for p, c in _rows(examples))) < len(prompt)
            for prompt, _ in _rows(examples)
        ]
    )


def _prompts_grown(examples, pad_id):
    examples = copy.deepcopy(examples)
    rows = []
    for side in ("chosen", "rejected"):
        for example in examples:
            prompt = list(example["prompt"])
            example["prompt"] += example[side]
            rows.append((prompt, example["prompt"][len(prompt) :]))
    return _collated(rows, pad_id)


def _without_copies(examples, pad_id):
    seen = []
    for example in examples:
        if example not in seen:
            seen.append(example)
    return collate_preferences(seen, pad_id)


def _shared_token_once(prompt, completion):
    if len(completion) > 1 and prompt and prompt[-1] == completion[0]:
        return prompt, completion[1:]
    return prompt, completion


def _from_first_match(prompt, completion):
    row = prompt + completion
    start = row.index(completion[0])
    return [-100] * start + row[start:]


def _examples_changed(examples, pad_id):
    right = collate_preferences(examples, pad_id)
    for example in examples:
        example["chosen"] = example["prompt"] + example["chosen"]
    return right


def _interleaved(examples, pad_id):
    return _collated([row for e in examples for row in _rows([e])], pad_id)


def _with_pad_sequence(examples, pad_id):
    rows = _rows(examples)
    ids = [torch.tensor(p + c) for p, c in rows]
    labels = [torch.tensor([-100] * len(p) + c) for p, c in rows]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
    }


def _with_numpy(examples, pad_id):
    rows = _rows(examples)
    size = (len(rows), max(len(p) + len(c) for p, c in rows))
    ids, mask, labels = np.full(size, pad_id), np.zeros(size, dtype=int), np.full(size, -100)
    for i, (p, c) in enumerate(rows):
        ids[i, : len(p) + len(c)] = p + c
        mask[i, : len(p) + len(c)] = 1
        labels[i, len(p) : len(p) + len(c)] = c
    return {
        "labels": torch.from_numpy(labels),
        "attention_mask": torch.from_numpy(mask),
        "input_ids": torch.from_numpy(ids),
    }


def _by_positions(examples, pad_id):
    rows = _rows(examples)
    prompts = torch.tensor([len(p) for p, _ in rows])[:, None]
    ends = torch.tensor([len(p) + len(c) for p, c in rows])[:, None]
    ids = pad_sequence([torch.tensor(p + c) for p, c in rows], batch_first=True, padding_value=pad_id)
    at = torch.arange(ids.shape[1])[None]
    return {
        "input_ids": ids,
        "attention_mask": (at < ends).long(),
        "labels": ids.masked_fill((at < prompts) | (at >= ends), -100),
    }


COLLATE_PREFERENCES = Exercise(
    id="collate-preferences",
    function="collate_preferences",
    reference=collate_preferences,
    observe=_observe_batch,
    parts=(
        Part("input_ids", 2, _long_cases, ("input_ids",), independent=True),
        Part("attention_mask", 1, _batch_cases, ("attention_mask",), independent=True),
        Part("labels", 2, _batch_cases, ("labels",), independent=True),
        Part("three int64 tensors, examples unchanged", 1, _batch_form, ("dtype", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "labels-with-prompt",
            _edited(
                lambda b, e, pad: {"labels": torch.where(b["attention_mask"] == 1, b["input_ids"], -100)}
            ),
            "the labels hold the prompt too; only the completion is scored",
        ),
        Misconception(
            "labels-with-padding",
            _edited(lambda b, e, pad: {"labels": b["input_ids"].masked_fill(_prompt_mask(e), -100)}),
            "the labels hold the padding too; -100 belongs there",
        ),
        Misconception(
            "labels-are-ids",
            _edited(lambda b, e, pad: {"labels": b["input_ids"].clone()}),
            "the labels are a copy of the ids; prompt and padding must be -100",
        ),
        Misconception(
            "labels-by-pad-id",
            _edited(
                lambda b, e, pad: {
                    "labels": b["input_ids"].masked_fill(_prompt_mask(e) | (b["input_ids"] == pad), -100)
                }
            ),
            "padding was found by comparing with pad_id, but that id is also a token of the completions "
            "(often the end-of-sequence token); use the lengths",
        ),
        Misconception(
            "labels-from-longest-prompt",
            _edited(
                lambda b, e, pad: {
                    "labels": torch.cat(
                        [
                            torch.full((2 * len(e), n := max(len(x["prompt"]) for x in e)), -100),
                            b["labels"][:, n:],
                        ],
                        1,
                    )
                }
            ),
            "the longest prompt's length was used for every row; each row has its own",
        ),
        Misconception(
            "labels-shifted",
            _edited(lambda b, e, pad: {"labels": F.pad(b["labels"][:, 1:], (0, 1), value=-100)}),
            "the labels are shifted by one already; here they stand under their own tokens, and the shift comes with "
            "the log-probabilities",
        ),
        Misconception(
            "first-completion-token-masked",
            lambda e, pad: _collated(_rows(e), pad, lambda p, c: [-100] * (len(p) + 1) + c[1:]),
            "one label too many is -100: the completion's first token is scored, from the prompt's last position",
        ),
        Misconception(
            "last-prompt-token-counted",
            lambda e, pad: _collated(_rows(e), pad, lambda p, c: [-100] * (len(p) - 1) + p[-1:] + c),
            "one label too few is -100: the prompt's last token is scored too",
        ),
        Misconception(
            "last-token-masked",
            lambda e, pad: _collated(_rows(e), pad, lambda p, c: [-100] * len(p) + c[:-1] + [-100]),
            "the completion's last token is -100; it is part of the completion and counts",
        ),
        Misconception(
            "labels-zero",
            _edited(lambda b, e, pad: {"labels": b["labels"].masked_fill(b["labels"] == -100, 0)}),
            "labels that must not count are 0, which is a token; use -100",
        ),
        Misconception(
            "labels-pad-id",
            _edited(lambda b, e, pad: {"labels": b["labels"].masked_fill(b["labels"] == -100, pad)}),
            "labels that must not count are pad_id, which is a token; use -100",
        ),
        Misconception(
            "mask-by-pad-id",
            _edited(lambda b, e, pad: {"attention_mask": (b["input_ids"] != pad).long()}),
            "the attention mask was made by comparing with pad_id, but that id is also a token of the pairs; use the lengths",
        ),
        Misconception(
            "mask-completion-only",
            _edited(lambda b, e, pad: {"attention_mask": (b["labels"] != -100).long()}),
            "the attention mask leaves out the prompt; the model must see it. Only the labels are about the completion",
        ),
        Misconception(
            "mask-all-ones",
            _edited(lambda b, e, pad: {"attention_mask": torch.ones_like(b["input_ids"])}),
            "the attention mask is 1 on padding too",
        ),
        Misconception(
            "mask-turned",
            _edited(lambda b, e, pad: {"attention_mask": 1 - b["attention_mask"]}),
            "the attention mask is turned: 1 means that a position is there",
        ),
        Misconception(
            "padded-with-0",
            _edited(lambda b, e, pad: {"input_ids": b["input_ids"].masked_fill(b["attention_mask"] == 0, 0)}),
            "the ids are padded with 0, not with pad_id",
        ),
        Misconception(
            "padded-with-100",
            _edited(
                lambda b, e, pad: {"input_ids": b["input_ids"].masked_fill(b["attention_mask"] == 0, -100)}
            ),
            "the ids are padded with -100, which no embedding has; -100 is for the labels",
        ),
        Misconception(
            "interleaved",
            _interleaved,
            "the rows alternate between chosen and rejected; all chosen come first, then all rejected",
        ),
        Misconception(
            "rejected-first",
            lambda e, pad: _collated(_rows(e, ("rejected", "chosen")), pad),
            "the rejected rows come first; the chosen ones should",
        ),
        Misconception(
            "left-padded",
            lambda e, pad: _collated(_rows(e), pad, left=True),
            "the rows are padded on the left; here padding goes to the right",
        ),
        Misconception(
            "end-appended",
            lambda e, pad: _collated([(p, c + [pad]) for p, c in _rows(e)], pad),
            "a token was appended to each row; the rows are to be taken as they are given",
        ),
        Misconception(
            "one-too-long",
            lambda e, pad: _collated(_rows(e), pad, width=1 + max(len(p) + len(c) for p, c in _rows(e))),
            "the batch is longer than its longest row",
        ),
        Misconception(
            "cut-to-chosen",
            lambda e, pad: _collated(
                _rows(e), pad, width=max(len(p) + len(c) for p, c in _rows(e, ("chosen",)))
            ),
            "the length was taken from the chosen rows only; a longer rejected row was cut",
        ),
        Misconception(
            "cut-to-shortest",
            lambda e, pad: _collated(_rows(e), pad, width=min(len(p) + len(c) for p, c in _rows(e))),
            "the rows were cut to the shortest; pad them to the longest",
        ),
        Misconception(
            "cut-to-a-limit",
            lambda e, pad: _collated(
                _rows(e), pad, width=min(512, max(len(p) + len(c) for p, c in _rows(e)))
            ),
            "a long row was cut to some greatest length; the rows are to be taken as they are given",
        ),
        Misconception(
            "copies-dropped",
            _without_copies,
            "a pair that stands twice in the examples is in the batch once; each example makes two rows",
        ),
        Misconception(
            "shared-token-once",
            lambda e, pad: _collated([_shared_token_once(p, c) for p, c in _rows(e)], pad),
            "where a completion begins with the prompt's last token, that token is there once only; "
            "each row is prompt + completion, with nothing cut",
        ),
        Misconception(
            "completion-searched",
            lambda e, pad: _collated(_rows(e), pad, _from_first_match),
            "the start of the completion was found by searching for its tokens, which may stand in the prompt too; "
            "use the prompt's length",
        ),
        Misconception(
            "prompt-tokens-masked",
            lambda e, pad: _collated(_rows(e), pad, lambda p, c: [-100 if t in p else t for t in p + c]),
            "tokens of the completion that also occur in the prompt are -100; what counts is a matter of position",
        ),
        Misconception(
            "multiple-of-8",
            lambda e, pad: _collated(
                _rows(e), pad, width=-(-max(len(p) + len(c) for p, c in _rows(e)) // 8) * 8
            ),
            "the length was rounded up to a multiple of 8; it is that of the longest row",
        ),
        Misconception(
            "no-prompt",
            lambda e, pad: _collated([([], c) for _, c in _rows(e)], pad),
            "the prompts are missing; each row is prompt + completion",
        ),
        Misconception(
            "prompt-grown",
            _prompts_grown,
            "the chosen response was added to the prompt's own list, and so stands before the rejected one too "
            "(+= changes a list; a + b makes a new one)",
        ),
        Misconception(
            "examples-changed",
            _examples_changed,
            "the examples themselves were changed (by +=, append or an assignment); build new lists",
        ),
        Misconception(
            "int32",
            _edited(lambda b, e, pad: {key: b[key].int() for key in _KEYS}),
            "the tensors are int32; int64 is wanted (torch.long)",
        ),
        Misconception(
            "bool-mask",
            _edited(lambda b, e, pad: {"attention_mask": b["attention_mask"].bool()}),
            "the attention mask is bool; int64 is wanted, with 1 and 0",
        ),
        Misconception(
            "float-mask",
            _edited(lambda b, e, pad: {"attention_mask": b["attention_mask"].float()}),
            "the attention mask is float; int64 is wanted, with 1 and 0",
        ),
        Misconception(
            "lists",
            _edited(lambda b, e, pad: {key: b[key].tolist() for key in _KEYS}),
            "the rows are lists; make a tensor of each of the three",
        ),
        Misconception(
            "further-key",
            _edited(lambda b, e, pad: {"prompt_lengths": torch.tensor([len(x["prompt"]) for x in e])}),
            "there is a key more than the three that were asked for",
        ),
    ),
    alternatives={
        "pad_sequence": _with_pad_sequence,
        "numpy": _with_numpy,
        "positions": _by_positions,
        "lists": lambda examples, pad_id: _collated(_rows(examples), pad_id),
    },
    hints=(
        "Build plain lists first: for each row the ids, a mask of ones, and labels of -100 · len(prompt) followed by "
        "the completion.",
        "Then fill each up to the longest row: the ids with pad_id, the mask with 0, the labels with -100.",
        "Never ask whether a token equals pad_id: it may be a genuine token too. The lengths say what is padding.",
    ),
)
