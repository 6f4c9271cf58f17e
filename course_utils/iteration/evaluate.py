"""A candidate against the present model: answers to held-out prompts, held-out votes, two kinds of harm."""

import numpy as np
import pandas as pd
import torch
from scipy import stats

from course_utils.evaluation import blind_comparison
from course_utils.feedback.columns import UP
from course_utils.feedback.pool import prompt_ids, response_ids
from course_utils.methods.start import completions, scores
from course_utils.serving.rollout import rate_interval
from course_utils.testbed import models, text

TIE = 0.15  # of the simulated raters: smaller differences of the gold reward, noise included, are none


def speaks_text_world(tokenizer):
    """Whether a tokenizer's words are those of the text world, so that the course can rate its answers."""
    return tokenizer.get_vocab() == text.IDS


def comparison_sheet(candidate, control, holdout, rows, seed):
    """(sheet, sheet's prompts): one answer of each model to each of up to `rows` held-out prompts, blind.

    The prompts are those of the holdout's rows, so that one that is asked often counts often. The models draw
    independently. `attrs["key"]` of the sheet has "a" for the candidate.
    """
    asked = holdout["prompt"].sample(min(rows, len(holdout)), random_state=seed).tolist()
    ids = torch.tensor([prompt_ids(prompt) for prompt in asked])
    said = [
        [" ".join(text.words_of(r)) for r in models.sample(model, ids, text.MAX_RESPONSE, 2 * seed + i)]
        for i, model in enumerate((candidate, control))
    ]
    return blind_comparison(asked, *said, seed=seed)


def rated(sheet, seed):
    """Places by the text world's simulated raters: 1, 2 or "tie" a row. They see the gold reward through logistic noise."""
    rng = np.random.default_rng(seed)
    first, second = (
        np.array(
            [
                text.gold_reward(prompt_ids(p), response_ids(r))
                for p, r in zip(sheet["prompt"], sheet[c], strict=True)
            ]
        )
        for c in ("response_1", "response_2")
    )
    gap = first - second + text.NOISE * rng.logistic(size=len(sheet))
    return ["tie" if abs(g) < TIE else 1 if g > 0 else 2 for g in gap]


def win_rate_by_prompt(sheet, places):
    """(rate, low, high) of the candidate, a tie counting half; the interval takes the prompt for the unit.

    Many judgements of few prompts are fewer than they look: what the models say to one prompt goes together. The
    variance is that of a ratio of sums over prompts, the interval Student's with prompts - 1 degrees of freedom.

    Args:
        sheet: of `comparison_sheet`.
        places: 1, 2 or "tie" for each of its rows.

    Raises:
        ValueError: the places are not as many as the rows, or another word is among them.
    """
    if len(places) != len(sheet):
        raise ValueError(f"places has {len(places)} judgements for {len(sheet)} rows")
    worth = []
    for place, key in zip(places, sheet.attrs["key"], strict=True):
        if place not in (1, 2, "tie"):
            raise ValueError(f'places may hold 1, 2 and "tie", not {place!r}')
        worth.append(0.5 if place == "tie" else float((place == 1) == (key == "a")))
    by_prompt = (
        pd.DataFrame({"worth": worth}).groupby(sheet["prompt"].to_numpy())["worth"].agg(["sum", "size"])
    )
    if len(by_prompt) < 2:
        return by_prompt["sum"].sum() / len(sheet), 0.0, 1.0
    return rate_interval(by_prompt["sum"], by_prompt["size"])


@torch.no_grad()
def ranked_votes(candidate, reference, holdout, batch=256):
    """How often the log-ratio of candidate to reference is larger for a held-out answer with a thumb up than for one with a
    thumb down (the area under the ROC curve); nan where there is one verdict only.

    0.5: nothing learnt that these users would share. Of votes it says more than of quality, and it decides nothing.
    """
    ids, labels = completions(
        [prompt_ids(p) for p in holdout["prompt"]], [response_ids(r) for r in holdout["response"]]
    )
    ratio = torch.cat(
        [scores(candidate, *part) - scores(reference, *part) for part in _parts(ids, labels, batch)]
    )
    up = (holdout["feedback"] == UP).to_numpy()
    if up.all() or not up.any():
        return float("nan")
    rank = stats.rankdata(ratio.numpy())
    return float((rank[up].sum() - up.sum() * (up.sum() + 1) / 2) / (up.sum() * (~up).sum()))


def _parts(ids, labels, batch):
    return zip(ids.split(batch), labels.split(batch), strict=True)
