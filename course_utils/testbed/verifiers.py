"""Three verifiable rewards for the text world: programs that look an answer up in the table of facts.

Each asks whether an answer states the fact that the prompt is about, and each is 0 or 1. They differ in
what else they look at, and so in what a policy can get away with.
"""

import torch

from course_utils.testbed import text


def states_the_fact(prompt, response):
    """1 if the true fact that the prompt asks about is stated anywhere in the response, whatever else is."""
    animal, relation, _ = text.statement(prompt)
    wanted = (animal, relation, text.TRUTH[animal, relation])
    return float(any(clause.words == wanted for clause in text.parse(prompt, response)))


def contradicts_nothing(prompt, response):
    """As `states_the_fact`, and 0 if another value is stated for the same fact."""
    animal, relation, _ = text.statement(prompt)
    about = {
        c.words[2]
        for c in text.parse(prompt, response)
        if c.kind.endswith("claim") or c.kind == "repeat"
        if c.words[:2] == (animal, relation)
    }
    return float(about == {text.TRUTH[animal, relation]})


def whole_answer(prompt, response):
    """As `states_the_fact`, and 0 for any false, repeated or malformed clause, a wrong verdict, or over 17 words."""
    faults = {"false claim", "repeat", "malformed", "wrong verdict"}
    clean = not any(clause.kind in faults for clause in text.parse(prompt, response))
    return states_the_fact(prompt, response) * (clean and text.length(response) <= text.FREE_WORDS)


def rewards(verifier, prompts, responses):
    """(B,) rewards of B responses by one of the verifiers above."""
    return torch.tensor(
        [verifier(p, r) for p, r in zip(prompts, responses, strict=True)], dtype=torch.float32
    )
