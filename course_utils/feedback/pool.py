"""Text-world responses for a simulated log to vote on, and the way back from a log's texts to tokens."""

import pandas as pd

from course_utils.testbed import text


def text_pool(per_prompt, seed=0):
    """Responses of the text world to vote on: `per_prompt` different example answers to each of its 96 prompts.

    Args:
        per_prompt: how many; fewer where the world's writers do not come up with as many in eight times the tries.
        seed: of the draw.

    Returns:
        A frame "prompt", "response" (words; `prompt_ids` and `response_ids` lead back to tokens), "gold".
    """
    asked = [
        text.encode([text.BOS, "i", "think", animal, relation, value, ".", ":"])
        for animal in text.ANIMALS
        for relation, values in text.RELATIONS.items()
        for value in values
    ]
    found = [{} for _ in asked]  # dicts, since they keep the order
    tries = 0
    while tries < 8 * per_prompt and any(len(answers) < per_prompt for answers in found):
        batch = max(16, per_prompt // 2)
        todo = [i for i, answers in enumerate(found) if len(answers) < per_prompt for _ in range(batch)]
        for i, answer in zip(
            todo, text.example_answers([asked[i] for i in todo], f"{seed} {tries}"), strict=True
        ):
            if len(found[i]) < per_prompt:
                found[i][tuple(answer)] = None
        tries += batch
    return response_pool(
        [prompt for prompt, answers in zip(asked, found, strict=True) for _ in answers],
        [list(answer) for answers in found for answer in answers],
    )


def response_pool(prompts, responses):
    """A pool for `simulate_feedback` out of N text-world prompts and responses (token ids), e.g. a model's samples."""
    pairs = list(zip(prompts, responses, strict=True))
    return pd.DataFrame(
        {
            "prompt": [text.decode(prompt[1:]) for prompt, _ in pairs],
            "response": [" ".join(text.words_of(response)) for _, response in pairs],
            "gold": [text.gold_reward(prompt, response) for prompt, response in pairs],
        }
    )


def prompt_ids(prompt):
    """Token ids of a text-world prompt from a log, <bos> first."""
    return [text.BOS_ID, *text.encode(prompt)]


def response_ids(response):
    """Token ids of a text-world response from a log, <eos> last."""
    return [*text.encode(response), text.EOS_ID]
