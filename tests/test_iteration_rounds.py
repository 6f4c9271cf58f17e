"""Rounds of online KTO: which reference each round sees, which votes, and what the voters hold."""

import copy

import numpy as np
import pytest
import torch

from course_utils.iteration.rounds import (
    VARIANTS,
    Ballots,
    Voters,
    compare_rounds,
    online_kto_rounds,
    train_kto_round,
)
from course_utils.testbed import models, text


class Number(torch.nn.Module):
    """A policy that is one number."""

    def __init__(self, value=0.0):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value))


def followed(**settings):
    """[(policy before training, reference, votes)] of three rounds in which training adds 1; and the first policy."""
    seen, policy = [], Number()

    def collect(now, number):
        return Ballots(torch.zeros(1, 8, dtype=torch.long), [[number]], torch.tensor([True]))

    def train(now, reference, votes, number):
        assert now is not reference and not any(p.requires_grad for p in reference.parameters())
        seen.append((now.value.item(), reference.value.item(), [r[0] for r in votes.responses]))
        with torch.no_grad():
            now.value += 1
        return now

    last = online_kto_rounds(policy, collect, train, 3, **settings)
    assert last.value.item() == 3 and policy.value.item() == 0  # what was given is left as it was
    return seen


def test_the_fixed_reference_is_the_first_policy_in_every_round():
    assert followed() == [(0, 0, [0]), (1, 0, [1]), (2, 0, [2])]


def test_the_moving_reference_is_the_policy_before_the_round():
    assert followed(reference="moving") == [(0, 0, [0]), (1, 1, [1]), (2, 2, [2])]


def test_all_votes_so_far_are_trained_on_if_asked():
    assert followed(keep_old=True) == [(0, 0, [0]), (1, 0, [0, 1]), (2, 0, [0, 1, 2])]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        online_kto_rounds(Number(), None, None, 0)
    with pytest.raises(ValueError, match="reference must be one of fixed, moving"):
        online_kto_rounds(Number(), None, None, 1, reference="none")


@pytest.fixture(scope="module")
def policy():
    prompts = text.make_prompts(500, seed=0)
    model = models.small_model(len(text.VOCABULARY), width=32, seed=0)
    models.train_on_examples(model, prompts, text.example_answers(prompts, 0), 60, seed=0)
    return model


def test_voters_like_about_as_much_as_was_said_and_like_better_answers_more(policy):
    voters = Voters(policy, prompts=400, seed=0, up_rate=0.65)
    votes = voters.collect(policy, 0, 600)
    assert votes.up.float().mean().item() == pytest.approx(0.65, abs=0.08)
    gold = text.gold_rewards(votes.prompts, votes.responses)
    assert gold[votes.up].mean() > gold[~votes.up].mean() + 0.3
    again = voters.collect(policy, 0, 600)
    assert torch.equal(votes.up, again.up) and votes.responses == again.responses
    assert voters.collect(policy, 1, 600).responses != votes.responses


def test_a_round_raises_what_was_liked_over_what_was_not(policy):
    from course_utils.methods.start import completions, scores

    votes = Voters(policy, prompts=200, seed=1).collect(policy, 0, 64)
    trained = train_kto_round(copy.deepcopy(policy), policy, votes, steps=12, lr=2e-3, batch_size=32)
    ids, labels = completions(votes.prompts, votes.responses)
    with torch.no_grad():
        ratio = scores(trained, ids, labels) - scores(policy, ids, labels)
    assert ratio[votes.up].mean() > ratio[~votes.up].mean() + 0.1


def test_votes_that_are_all_alike_are_no_reason_to_fail(policy):
    votes = Voters(policy, prompts=200, seed=1).collect(policy, 0, 16)
    all_up = Ballots(votes.prompts, votes.responses, torch.ones(16, dtype=torch.bool))
    train_kto_round(copy.deepcopy(policy), policy, all_up, steps=1, batch_size=8)


def test_the_comparison_gives_every_variant_as_many_votes(policy):
    rows = compare_rounds(policy, rounds=2, votes=16, steps=1, batch_size=8, evaluate=8)
    last = {row["variant"]: row for row in rows if row["round"] == 2}
    assert set(last) == set(VARIANTS) and {row["votes"] for row in last.values()} == {32}
    first = [row for row in rows if row["round"] == 0]
    assert len(first) == len(VARIANTS) and {row["kl"] for row in first} == {0.0}
    assert len({row["gold"] for row in first}) == 1 and all(np.isfinite(row["kl"]) for row in rows)
