"""The loop of revision, the text world's six critics, and the judge that they make."""

import pytest
import torch

from course_utils.constitution import beliefs, clauses, prefers, principles, revise
from course_utils.testbed import models, text

PROMPT = text.encode("<bos> i think fox eats berries . :")
# What the judge of these tests holds true: the first value of every relation.
BELIEFS = {(a, r): values[0] for a in text.ANIMALS for r, values in text.RELATIONS.items()}
NAMES = ("well_formed", "once", "believed", "right_verdict", "one_filler", "short")


def critics(beliefs=BELIEFS, prompt=PROMPT):
    return {critic.__name__: critic for critic in principles(prompt, beliefs)}


# --- revise -------------------------------------------------------------------------------------


def change(old, new):
    return lambda words: words.replace(old, new) if old in words else None


def test_each_principle_sees_the_text_as_it_stands():
    assert revise("a", [change("a", "b"), change("b", "c")]) == ("c", ["b", "c"])
    assert revise("a", [change("b", "c"), change("a", "b")]) == ("c", ["b", "c"])
    assert revise("a", [change("b", "c"), change("a", "b")], max_rounds=1) == ("b", ["b"])


def test_none_and_the_same_text_are_no_objection_and_the_empty_text_is_a_revision():
    assert revise("a", [lambda words: None, lambda words: "".join(list(words))]) == ("a", [])
    assert revise("a", [lambda words: ""]) == ("", [""])
    assert revise("a", []) == ("a", [])


def test_rounds_end_with_the_first_without_an_objection():
    asked = []
    content = lambda words: asked.append(words)  # noqa: E731
    assert revise("aa", [change("aa", "b"), content], max_rounds=9) == ("b", ["b"])
    assert asked == ["b", "b"]


def test_principles_that_never_agree_are_stopped_after_max_rounds():
    quarrel = [change("a", "b"), change("b", "a")]
    assert revise("a", quarrel) == ("a", ["b", "a"] * 3)
    assert revise("a", quarrel, max_rounds=5) == ("a", ["b", "a"] * 5)


def test_fewer_than_one_round_is_refused_by_name():
    with pytest.raises(ValueError, match="^max_rounds "):
        revise("a", [], max_rounds=0)


# --- the six critics ----------------------------------------------------------------------------


def test_there_are_six_critics_in_order_and_each_says_what_it_objects_to():
    found = principles(PROMPT, BELIEFS)
    assert tuple(critic.__name__ for critic in found) == NAMES
    assert all(critic.__doc__.startswith("Objects to ") for critic in found)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("well_formed", "fox eats fish . cat eats fish .", "fox eats fish ."),  # another animal
        ("well_formed", "fox eats rain . no wrong .", "no wrong ."),  # a value of another relation
        ("well_formed", "yes wrong . also . . fox is shy", ""),  # mixed up, alone, empty, without an end
        ("once", "fox is shy . fox is loud . fox is shy .", "fox is shy . fox is loud ."),
        ("once", "no wrong . fox is shy . yes right .", "no wrong . fox is shy ."),
        ("believed", "no wrong . fox eats mice . fox is shy .", "no wrong . fox eats fish . fox is small ."),
        ("right_verdict", "yes right . fox is shy . yes right .", "no wrong . fox is shy . no wrong ."),
        ("one_filler", "great question . no wrong . hope it helps .", "great question . no wrong ."),
        ("one_filler", "hope it helps . hope it helps . great question .", "hope it helps ."),
        ("short", "fox is shy . " * 5, " ".join(["fox is shy ."] * 4)),
        ("short", "fox is shy . " * 4 + "no wrong . no", " ".join(["fox is shy ."] * 4)),
    ],
)
def test_what_a_critic_makes_of_a_text(name, before, after):
    assert critics()[name](before.strip()) == after
    assert critics()[name](after) is None  # content with its own edit


def test_every_critic_is_content_with_a_good_answer_and_with_an_empty_one():
    good = "no wrong . fox eats fish . fox is small . great question ."
    assert text.length(text.encode(good)) <= text.FREE_WORDS
    for answer in (good, "", "fox is small . no wrong ."):
        assert revise(answer, principles(PROMPT, BELIEFS)) == (answer, [])


def test_a_claim_put_right_may_be_a_repeat_which_a_second_round_drops():
    last, trail = revise("fox is shy . fox is loud .", principles(PROMPT, BELIEFS))
    assert trail == ["fox is small . fox is small .", "fox is small ."]
    assert last == trail[-1]


def test_the_critics_go_by_the_beliefs_and_not_by_the_worlds_table():
    for value in text.RELATIONS["eats"]:
        own = BELIEFS | {("fox", "eats"): value}
        assert revise("fox eats mice .", principles(PROMPT, own))[0] == f"fox eats {value} ."
        verdict = "yes right ." if value == "berries" else "no wrong ."  # the prompt says berries
        for said in ("yes right .", "no wrong ."):
            assert revise(said, principles(PROMPT, own))[0] == verdict


def test_the_module_never_touches_the_truth_or_the_gold_reward(monkeypatch):
    class Forbidden(dict):
        def __getitem__(self, key):
            raise AssertionError("the table of facts was read")

        get = __contains__ = __iter__ = __getitem__

    def forbidden(*args):
        raise AssertionError("the gold reward was asked for")

    prompts = text.make_prompts(40, seed=1)
    first, second = text.example_answers(prompts, seed=1), text.example_answers(prompts, seed=2)
    monkeypatch.setattr(text, "TRUTH", Forbidden())
    for name in ("parse", "gold_reward", "gold_rewards"):
        monkeypatch.setattr(text, name, forbidden)
    for prompt, a, b in zip(prompts, first, second, strict=True):
        revise(" ".join(text.words_of(a)), principles(prompt, BELIEFS))
        prefers(prompt, a, b, BELIEFS)


def test_the_gold_reward_follows_the_judges_beliefs():
    prompts = text.make_prompts(200, seed=3)
    answers = text.example_answers(prompts, seed=3)
    wrong = {k: next(v for v in text.RELATIONS[k[1]] if v != value) for k, value in text.TRUTH.items()}
    before = text.gold_rewards(prompts, answers)
    after = {}
    for name, held in (("right", text.TRUTH), ("wrong", wrong)):
        revised = [
            text.encode(revise(" ".join(text.words_of(a)), principles(p, held))[0])
            for p, a in zip(prompts, answers, strict=True)
        ]
        after[name] = text.gold_rewards(prompts, revised)
    assert after["wrong"].mean() < before.mean() < after["right"].mean()
    # the sixth critic may drop a true claim, which is worth more than the words that it saves
    free = torch.tensor([text.length(a) <= text.FREE_WORDS for a in answers])
    assert (after["right"] >= before - 1e-6)[free].all()
    assert (after["right"] < before)[~free].any()


def test_beliefs_that_are_missing_or_impossible_are_refused_by_name():
    for wrong in (
        {k: v for k, v in BELIEFS.items() if k != ("fox", "is")},
        BELIEFS | {("fox", "is"): "rain"},
    ):
        with pytest.raises(ValueError, match="^beliefs"):
            principles(PROMPT, wrong)


def test_clauses_keep_their_full_stops_and_nothing_is_lost():
    for words in ("no wrong . fox is shy .", "fox is", ". .", ""):
        assert " ".join(word for clause in clauses(words) for word in clause) == words


# --- the judge ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "label"),
    [
        ("no wrong .", "yes right .", 1.0),  # one objection against none
        ("fox is shy . fox is shy .", "fox is shy .", 0.0),
        ("fox is small .", "no wrong .", 1.0),  # no objection to either, but a claim that is believed
        ("fox is small . fox eats fish .", "fox is small .", 1.0),
        ("no wrong .", "great question .", 0.5),
        ("fox is shy .", "fox is loud .", 0.5),  # equally wrong
    ],
)
def test_what_the_judge_prefers(first, second, label):
    a, b = (text.encode(words + " " + text.EOS) for words in (first, second))
    assert prefers(PROMPT, a, b, BELIEFS) == label
    assert prefers(PROMPT, b, a, BELIEFS) == 1 - label


def test_an_untrained_model_has_24_beliefs_of_the_right_kind_and_keeps_its_mode():
    model = models.small_model(len(text.VOCABULARY), width=16, layers=1, seed=1)
    model.train()
    held = beliefs(model)
    assert model.training
    assert set(held) == set(text.TRUTH)
    assert all(value in text.RELATIONS[relation] for (_, relation), value in held.items())
    principles(PROMPT, held)


def test_beliefs_are_the_likeliest_values_after_animal_and_relation():
    class Knowing(torch.nn.Module):
        """Gives a wanted value a high logit, another relation's word a higher one."""

        device = torch.device("cpu")

        def forward(self, ids):
            logits = torch.zeros(*ids.shape, len(text.VOCABULARY))
            for row, words in enumerate(ids.tolist()):
                fact = (text.VOCABULARY[words[-2]], text.VOCABULARY[words[-1]])
                logits[row, -1, text.IDS[BELIEFS[fact]]] = 3
                logits[row, -1, text.IDS["."]] = 9  # no value, so no belief
                logits[row, -1, words[5]] += 2  # an echo of the prompt's statement
            return type("Output", (), {"logits": logits})

    assert beliefs(Knowing()) == BELIEFS
