"""Constitutional revision: a response is criticised and rewritten by written principles, no label needed.

`revise` is the loop, for any principles. `principles` is the constitution of the text world: six critics
in plain sight. They know the *form* of a good answer, but what is true they take from `beliefs`, the
judge's own, which may be a model's and may be wrong: no critic reads the world's table of facts.

After Bai et al. 2022, Constitutional AI, arXiv 2212.08073 (critiques and revisions, and a model's
preferences as labels). There the critic is a language model; here it is a few lines of Python.
"""

import torch

from course_utils.testbed import text

STOP = "."


def revise(response, principles, max_rounds=3):
    """Apply principles to a response, round after round, until one round passes without an objection.

    Args:
        response: the text.
        principles: functions from a text to a revised text; None, or the same text, where one does not
            object. A round applies all of them in order, each to the text as it stands by then.
        max_rounds: the most rounds that are made, at least 1.

    Returns:
        (text, trail): the last text, and the list of texts after each revision, in order, without the first.

    Raises:
        ValueError: `max_rounds` is below 1.
    """
    if max_rounds < 1:
        raise ValueError(f"max_rounds must be at least 1, not {max_rounds}")
    principles, trail = list(principles), []
    for _ in range(max_rounds):
        revisions = len(trail)
        for principle in principles:
            revised = principle(response)
            if revised is not None and revised != response:
                response = revised
                trail.append(revised)
        if len(trail) == revisions:
            break
    return response, trail


# --- the text world's constitution --------------------------------------------------------------


def principles(prompt, beliefs):
    """The six critics for one prompt, in order: each from a text to a revised text, or None if content.

    A text is words separated by spaces, without <eos>. One critic's edit can give another a reason
    (a claim that is put right may then be said twice), so that a second round may be needed.

    Args:
        prompt: 8 token ids.
        beliefs: {(animal, relation): value}, what the judge holds true; 24 entries.

    Raises:
        ValueError: `beliefs` has no possible value for a relation of the prompt's animal.
    """
    animal, relation, value = text.statement(prompt)
    for r, values in text.RELATIONS.items():
        if beliefs.get((animal, r)) not in values:
            raise ValueError(f"beliefs[{animal!r}, {r!r}] must be one of {', '.join(values)}")
    agrees = beliefs[animal, relation] == value

    def well_formed(response):
        """Objects to what is neither verdict, filler nor claim about the prompt's animal; drops it."""
        kept = [c for c in clauses(response) if _is_verdict(c) or _is_filler(c) or _is_claim(c, animal)]
        return _if_new(kept, response)

    def once(response):
        """Objects to a claim that was made before, word for word, and to a second verdict; drops it."""
        kept, said = [], set()
        for clause in clauses(response):
            name = "verdict" if _is_verdict(clause) else clause if _is_claim(clause, animal) else None
            if name is None or name not in said:
                kept.append(clause)
            said.add(name)
        return _if_new(kept, response)

    def believed(response):
        """Objects to a claim against the judge's beliefs; puts the believed value in its place."""
        kept = clauses(response)
        for i, clause in enumerate(kept):
            if _is_claim(clause, animal):
                kept[i] = (animal, clause[1], beliefs[animal, clause[1]], STOP)
        return _if_new(kept, response)

    def right_verdict(response):
        """Objects to a verdict against the judge's belief about the prompt's statement; turns it round."""
        verdict = next(words for words, true in text.VERDICTS.items() if true == agrees)
        return _if_new([(*verdict, STOP) if _is_verdict(c) else c for c in clauses(response)], response)

    def one_filler(response):
        """Objects to a second filler and to further ones; drops them."""
        found = clauses(response)
        first = next((i for i, clause in enumerate(found) if _is_filler(clause)), None)
        return _if_new([c for i, c in enumerate(found) if i == first or not _is_filler(c)], response)

    def short(response):
        """Objects to more than 17 words; drops clauses from the end, true ones too, until they are no more."""
        kept = clauses(response)
        while sum(map(len, kept)) > text.FREE_WORDS:
            kept.pop()
        return _if_new(kept, response)

    return [well_formed, once, believed, right_verdict, one_filler, short]


def clauses(response):
    """The clauses of a text, each a tuple of words that ends in "."; words after the last one come last, without."""
    found, current = [], ()
    for word in response.split():
        current += (word,)
        if word == STOP:
            found.append(current)
            current = ()
    return [*found, current] if current else found


def _if_new(kept, response):
    """The clauses as a text; None where that is what the response says already."""
    return None if kept == clauses(response) else " ".join(word for clause in kept for word in clause)


def _is_verdict(clause):
    return clause[-1] == STOP and clause[:-1] in text.VERDICTS


def _is_filler(clause):
    return clause[-1] == STOP and clause[:-1] in text.FILLERS


def _is_claim(clause, animal):
    """Whether a clause says of the animal a value that its relation knows, true or not."""
    return (
        len(clause) == 4
        and clause[-1] == STOP
        and clause[0] == animal
        and clause[2] in text.RELATIONS.get(clause[1], ())
    )


# --- the judge ----------------------------------------------------------------------------------


@torch.no_grad()
def beliefs(model):
    """What a model holds true: for each animal and relation the value it finds likeliest, {(animal, relation): value}.

    Read after "<prompt> ANIMAL RELATION", averaged over the 16 prompts about the animal that state every
    value of every relation, so that no prompt's own statement is merely echoed.

    Args:
        model: a causal language model over the text world's words; its mode is put back afterwards.
    """
    facts = [(animal, relation) for animal in text.ANIMALS for relation in text.RELATIONS]
    stated = [(relation, value) for relation, values in text.RELATIONS.items() for value in values]
    rows = [
        text.encode([text.BOS, "i", "think", animal, r, v, STOP, ":", animal, relation])
        for animal, relation in facts
        for r, v in stated
    ]
    was_training = model.training
    model.eval()
    logits = model(torch.tensor(rows, device=model.device)).logits[:, -1].float()
    model.train(was_training)
    mean = logits.softmax(-1).reshape(len(facts), len(stated), -1).mean(1)

    def likeliest(values, probabilities):
        return values[int(probabilities[text.encode(list(values))].argmax())]

    return {fact: likeliest(text.RELATIONS[fact[1]], p) for fact, p in zip(facts, mean, strict=True)}


def prefers(prompt, first, second, beliefs):
    """The judge's label for two responses: 1.0 for the first, 0.0 for the second, 0.5 where it cannot tell.

    Better is what fewer of the six critics would change as it stands; where that is equal, what makes
    more different claims that the judge believes.

    Args:
        prompt: 8 token ids.
        first, second: token ids; what stands after the first <eos> is not read.
        beliefs: {(animal, relation): value}, what the judge holds true.
    """
    ranks = [_rank(prompt, " ".join(text.words_of(r)), beliefs) for r in (first, second)]
    return 0.5 if ranks[0] == ranks[1] else float(ranks[0] > ranks[1])


def _rank(prompt, response, beliefs):
    """(- objections, believed claims): the larger, the better."""
    objections = sum(critic(response) is not None for critic in principles(prompt, beliefs))
    claims = {c for c in clauses(response) if _is_claim(c, text.statement(prompt)[0])}
    return -objections, sum(beliefs[c[:2]] == c[2] for c in claims)
