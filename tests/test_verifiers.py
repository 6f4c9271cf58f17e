"""The three verifiable rewards: what each sees, and what it lets through."""

import pytest

from course_utils.testbed import text, verifiers

PROMPT = text.encode("<bos> i think fox eats fish . :")
TRUE = text.TRUTH["fox", "eats"]
FALSE = next(v for v in text.RELATIONS["eats"] if v != TRUE)
OTHER = text.TRUTH["fox", "is"]


@pytest.mark.parametrize(
    ("words", "stated", "uncontradicted", "whole"),
    [
        (f"fox eats {TRUE} .", 1, 1, 1),
        (f"fox is {OTHER} . fox eats {TRUE} .", 1, 1, 1),
        (f"fox eats {FALSE} .", 0, 0, 0),
        (f"fox is {OTHER} .", 0, 0, 0),
        ("", 0, 0, 0),
        (f"fox eats {FALSE} . fox eats {TRUE} .", 1, 0, 0),
        (f"fox eats {TRUE} . fox eats {TRUE} .", 1, 1, 0),
        (f"fox eats {TRUE} . also .", 1, 1, 0),
        (f"fox eats {TRUE} . " + "great question . " * 6, 1, 1, 0),
        (f"owl eats {TRUE} .", 0, 0, 0),
    ],
)
def test_what_each_verifier_passes(words, stated, uncontradicted, whole):
    response = text.encode(words) + [text.EOS_ID]
    seen = [
        verifier(PROMPT, response)
        for verifier in (verifiers.states_the_fact, verifiers.contradicts_nothing, verifiers.whole_answer)
    ]
    assert seen == [stated, uncontradicted, whole]


def test_a_wrong_verdict_fails_the_whole_answer_only():
    says = "yes right" if TRUE != "fish" else "no wrong"
    response = text.encode(f"{says} . fox eats {TRUE} .")
    assert verifiers.contradicts_nothing(PROMPT, response) == 1
    assert verifiers.whole_answer(PROMPT, response) == 0


def test_rewards_are_a_float_for_each_response():
    found = verifiers.rewards(
        verifiers.states_the_fact, [PROMPT] * 2, [text.encode(f"fox eats {v} .") for v in (TRUE, FALSE)]
    )
    assert found.tolist() == [1.0, 0.0]
