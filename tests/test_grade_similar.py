"""Answers that are too alike: a renamed and reformatted copy is found, two people's own work is not."""

import pytest
from grading_class import answered, hand_in, released

from course_utils.commands import similar as command
from course_utils.grading.assignment import load_assignment
from course_utils.grading.similar import answers_of_class, similar_pairs

NAME = "02-dpo-from-scratch"
OWN = """def sequence_logprob(logits, labels, average=False):
    logp = token_logprobs(logits, labels)
    counted = labels[:, 1:] != -100
    total = (logp * counted).sum(dim=-1)
    if not average:
        return total
    return total / counted.sum(dim=-1).clamp(min=1)"""
COPY = """# all my own work
def sequence_logprob(logits, labels, average = False):
    values = token_logprobs(logits, labels)   # log-probabilities
    keep = labels[:, 1:] != -100
    summed = (values * keep).sum(dim = -1)
    if not average:
        return summed

    return summed / keep.sum(dim = -1).clamp(min = 1)"""
OTHER = """def sequence_logprob(logits, labels, average=False):
    rows = []
    for i in range(len(labels)):
        kept = [float(labels[i, t]) for t in range(1, labels.shape[1]) if labels[i, t] >= 0]
        row = token_logprobs(logits[i : i + 1], labels[i : i + 1])[0]
        rows.append(row.sum() / len(kept) if average else row.sum())
    return torch.stack(rows)"""


@pytest.fixture
def submitted(tmp_path):
    for student, source in (("anna", OWN), ("ben", COPY), ("carl", OTHER)):
        answers = {id: cell.source for id, cell in load_assignment(NAME).cells.items()}
        hand_in(tmp_path, student, answered(NAME, answers | {"sequence-logprob": source}), NAME)
    hand_in(tmp_path, "dora", released(NAME), NAME)
    hand_in(tmp_path, "emil", "{", NAME)
    return tmp_path


def test_a_disguised_copy_is_found_and_nothing_else(submitted, capsys):
    assignment = load_assignment(NAME)
    answers = answers_of_class(submitted, assignment)
    assert {id: sorted(who) for id, who in answers.items()} == {"sequence-logprob": ["anna", "ben", "carl"]}
    (pair,) = similar_pairs(answers, assignment)
    assert (pair.exercise, pair.one, pair.other) == ("sequence-logprob", "anna", "ben") and pair.share > 0.9
    assert len(similar_pairs(answers, assignment, threshold=0.0)) == 3
    asked = type("", (), {"assignment": NAME, "submitted": str(submitted), "threshold": 0.8})
    assert command.run_similar(asked) == 0
    assert "anna" in (said := capsys.readouterr().out) and "carl" not in said
