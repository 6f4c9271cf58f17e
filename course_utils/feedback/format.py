"""A cleaned log in the forms that trainers read: KTO rows, pairs, and the weights of the two classes."""

import math
from itertools import islice

import numpy as np
from datasets import Dataset, Features, Value

from course_utils.feedback.columns import UP, check_feedback, check_texts

# λ_D n_D / (λ_U n_U) of Ethayarajh et al. 2024 (arXiv 2402.01306), eq. 9. Their first version, and with it
# several manuals, say [1, 4/3]; its upper end is a choice that both allow.
LOWEST, HIGHEST, CHOSEN_RATIO = 1.0, 3 / 2, 4 / 3


def to_kto(feedback):
    """The rows that a KTO trainer reads.

    Args:
        feedback: a log, cleaned and split; any index.

    Returns:
        A `datasets.Dataset`, a row for each row of the log, in order: "prompt" and "completion", texts unaltered
        (no chat template, no separator: that is the tokeniser's business), and "label" (bool, True for a thumbs-up).

    Raises:
        ValueError: a column is missing, the frame is empty, a verdict is unknown, or a text is missing.
    """
    check_feedback(feedback, ("prompt", "response", "feedback"))
    check_texts(feedback, ("prompt", "response"))
    columns = {
        "prompt": feedback["prompt"].tolist(),
        "completion": feedback["response"].tolist(),
        "label": (feedback["feedback"] == UP).tolist(),
    }
    types = {"prompt": Value("string"), "completion": Value("string"), "label": Value("bool")}
    return Dataset.from_dict(columns, features=Features(types))


def to_pairs(feedback, max_pairs_per_prompt=4):
    """Pairs for DPO: a response with a thumbs-up beside one *to the same prompt* with a thumbs-down.

    A vote says that a response is good, not that it is better than another: the two votes may come from
    people with different standards. So these pairs are noisier than real comparisons. The cap keeps a prompt
    that many asked from filling the data.

    Args:
        feedback: a log, cleaned; any index.
        max_pairs_per_prompt: the most pairs of one prompt, at least 1.

    Returns:
        A `datasets.Dataset` with "prompt", "chosen" and "rejected" (texts): for each prompt, in order of appearance,
        min(cap, all there are) different pairs, spread over its responses as evenly as they allow. A text with both
        verdicts is never paired with itself. No rows where no prompt has both verdicts.

    Raises:
        ValueError: a column is missing, the frame is empty, a verdict is unknown, a text is missing, or
            `max_pairs_per_prompt` is not a whole number from 1.
    """
    check_feedback(feedback, ("prompt", "response", "feedback"))
    check_texts(feedback, ("prompt", "response"))
    cap = max_pairs_per_prompt
    if isinstance(cap, bool) or int(cap) != cap or cap < 1:
        raise ValueError(f"max_pairs_per_prompt must be a whole number from 1, not {cap}")
    liked = feedback["feedback"] == UP
    by_prompt = {}
    for prompt, response, up in zip(feedback["prompt"], feedback["response"], liked, strict=True):
        by_prompt.setdefault(prompt, ({}, {}))[0 if up else 1][response] = None  # dicts, as ordered sets
    rows = [
        (prompt, *pair)
        for prompt, (chosen, rejected) in by_prompt.items()
        for pair in islice(_spread(list(chosen), list(rejected)), int(cap))
    ]
    names = ("prompt", "chosen", "rejected")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return Dataset.from_dict(columns, features=Features(dict.fromkeys(names, Value("string"))))


def _spread(chosen, rejected):
    """All pairs of two different texts, going round both lists at once, so that all get their turn."""
    if not chosen or not rejected:
        return
    together = math.lcm(len(chosen), len(rejected))  # after so many steps the same pairs would come again
    for step in range(len(chosen) * len(rejected)):
        pair = chosen[step % len(chosen)], rejected[(step + step // together) % len(rejected)]
        if pair[0] != pair[1]:
            yield pair


def kto_weights(n_desirable, n_undesirable):
    """The weights (λ_D, λ_U) of KTO's two classes, one of them 1.

    The paper asks that λ_D n_D / (λ_U n_U) lie in [1, 3/2]. Where it already does with both weights 1, they
    stay 1; else the class that has too little is weighted up, to a ratio of 4/3. Count *after* cleaning and
    splitting, on the rows that are trained on.

    Args:
        n_desirable, n_undesirable: how many rows of the two labels, both above 0.

    Returns:
        (desirable_weight, undesirable_weight), floats.

    Raises:
        ValueError: naming the count that is not positive and finite.
    """
    for name, count in (("n_desirable", n_desirable), ("n_undesirable", n_undesirable)):
        if not (count > 0 and np.isfinite(count)):
            raise ValueError(f"{name} must be above 0, not {count}")
    ratio = n_desirable / n_undesirable
    if LOWEST <= ratio <= HIGHEST:
        return 1.0, 1.0
    if ratio > HIGHEST:
        return 1.0, float(ratio / CHOSEN_RATIO)
    return float(CHOSEN_RATIO / ratio), 1.0
