"""The training loops on a small untrained model: what they count, what they leave alone, that they learn."""

import math

import pytest
import torch

from course_utils.constitution import beliefs
from course_utils.losses import cdpo_loss
from course_utils.methods import (
    Meter,
    Start,
    train_constitutional,
    train_dpo,
    train_grpo,
    train_ipo,
    train_kto,
    train_online_dpo,
    train_orpo,
    train_ppo,
    train_simpo,
)
from course_utils.methods.compare import BESIDE, BUDGET, GAMED, METHODS, make_bench, run_method
from course_utils.methods.constitutional import judged_pairs, revise_ids
from course_utils.methods.start import batches, completions
from course_utils.policy_gradient import centred_advantages, rloo_advantages
from course_utils.reward_models import RewardModel, ScalarModel
from course_utils.testbed import models, text

FOX = text.IDS["fox"]


def foxes(prompts, responses):
    """A reward that anyone can learn: the share of the word "fox" in the response."""
    return torch.tensor([row.count(FOX) / len(row) for row in responses])


@pytest.fixture(scope="module")
def start():
    prompts = text.make_prompts(40, seed=0)
    model = models.small_model(len(text.VOCABULARY), width=16, seed=0).eval()
    pairs = []
    for prompt in prompts.tolist():
        pairs.append(
            {
                "prompt": prompt,
                "chosen": text.encode("fox fox fox .") + [text.EOS_ID],
                "rejected": text.encode("owl ."),
            }
        )
    return Start(model, pairs, prompts)


def reward_model(seed=0):
    return RewardModel(
        ScalarModel(models.small_model(len(text.VOCABULARY), width=16, seed=seed).model)
    ).eval()


SHORT = {"steps": 2}
# (loop, needs a reward, settings, forward-equivalents an example, models): counted by hand from the papers.
COUNTS = {
    "dpo": (train_dpo, False, SHORT, 2 * (1 + 3), 2),
    "ipo": (train_ipo, False, SHORT, 8, 2),
    "kto": (train_kto, False, SHORT, 3 + 1 + 1 + 1, 2),
    "orpo": (train_orpo, False, SHORT, 2 * 3, 1),
    "simpo": (train_simpo, False, SHORT, 6, 1),
    # sampling, old log-probabilities, reference, critic and reward model, then two epochs of two models
    "ppo": (train_ppo, True, {"iterations": 2}, 1 + 1 + 1 + 1 + 1 + 2 * (3 + 3), 4),
    "online dpo": (train_online_dpo, True, {"iterations": 2}, 2 * (1 + 1 + 1 + 3), 3),
    "grpo": (train_grpo, True, {"iterations": 2}, 1 + 1 + 1 + 3, 3),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_meter_counts_what_the_papers_imply(start, name):
    loop, judged, settings, passes, held = COUNTS[name]
    with Meter() as meter:
        judge = (meter.watch("reward model", reward_model()).score,) if judged else ()
        loop(start, *judge, meter=meter, **settings)
    assert meter.per_example() == pytest.approx(passes)
    assert meter.models == held
    assert (meter.generated > 0) == judged
    assert meter.seconds > 0


def test_the_meter_forgets_its_models_and_counts_no_pass_without_gradient_twice(start):
    model = start.copy()
    ids, _ = completions(start.prompts[:3], [[FOX]] * 3)
    with Meter() as meter:
        meter.watch("policy", model)
        with torch.no_grad():
            model(ids)
        assert meter.passes["policy"] == 3
        model(ids).logits.sum().backward()
        assert meter.passes["policy"] == 3 + 3 * 3
    model(ids)
    assert meter.passes["policy"] == 12


@pytest.mark.parametrize("name", COUNTS)
def test_the_start_stays_as_it_was_and_a_seed_gives_the_same_policy(start, name):
    loop, judged, settings, *_ = COUNTS[name]
    before = {key: value.clone() for key, value in start.model.state_dict().items()}
    judge = (foxes,) if judged else ()
    first, second, third = (loop(start, *judge, seed=seed, **settings) for seed in (0, 0, 1))
    for key, value in start.model.state_dict().items():
        assert torch.equal(value, before[key])
        assert torch.equal(first.state_dict()[key], second.state_dict()[key])
    assert any(not torch.equal(first.state_dict()[k], before[k]) for k in before)
    assert any(not torch.equal(first.state_dict()[k], third.state_dict()[k]) for k in before)
    assert all(p.requires_grad for p in first.parameters())


@pytest.mark.parametrize(
    ("loop", "settings", "loss"),
    [
        (train_dpo, {}, math.log(2)),
        (train_dpo, {"loss": cdpo_loss}, math.log(2)),
        (train_ipo, {"tau": 0.1}, 25.0),
        (train_kto, {}, 0.5),
        (train_kto, {"weights": (2.0, 2.0)}, 1.0),
    ],
)
def test_the_loss_at_step_0(start, loop, settings, loss):
    seen = []
    loop(start, steps=1, progress=lambda step, value: seen.append(value), **settings)
    assert seen == [pytest.approx(loss, abs=1e-5)]


@pytest.mark.parametrize("loop", [train_dpo, train_ipo, train_kto, train_orpo, train_simpo])
def test_the_offline_loops_learn_what_is_preferred(start, loop):
    policy = loop(start, steps=30, lr=3e-3)
    with torch.no_grad():
        moved = [
            _logp(policy, start, side) - _logp(start.model, start, side) for side in ("chosen", "rejected")
        ]
    assert (moved[0] > moved[1] + 1.0).all()


def _logp(model, start, side):
    from course_utils.methods.start import scores

    return scores(model, *completions([p["prompt"] for p in start.pairs], [p[side] for p in start.pairs]))


@pytest.mark.parametrize(
    ("loop", "settings"),
    [
        (train_ppo, {"kl_coef": 0.0, "lr": 1e-2, "iterations": 20}),
        (train_online_dpo, {"lr": 1e-2, "iterations": 30}),
        (train_grpo, {"kl_coef": 0.0, "lr": 1e-2, "iterations": 20}),
        (
            train_grpo,
            {"kl_coef": 0.0, "lr": 1e-2, "iterations": 20, "advantages": rloo_advantages, "average": "token"},
        ),
        (
            train_grpo,
            {
                "kl_coef": 0.0,
                "lr": 1e-2,
                "iterations": 20,
                "advantages": centred_advantages,
                "average": "constant",
            },
        ),
    ],
)
def test_the_online_loops_raise_their_reward(start, loop, settings):
    seen = []
    loop(start, foxes, progress=lambda step, score: seen.append(score), **settings)
    assert sum(seen[-5:]) / 5 > sum(seen[:3]) / 3 + 0.05


def test_a_batch_holds_every_row_once_before_any_comes_again():
    drawn = batches(10, 4, 5, seed=0)
    assert [len(rows) for rows in drawn] == [4] * 5
    rows = sum(drawn, [])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10)) and rows[:10] != rows[10:]


def test_revised_answers_are_ids_again_and_the_judge_labels_without_ties(start):
    held = beliefs(start.model)
    prompt = start.prompts[0]
    animal = text.statement(prompt)[0]
    draft = text.encode(f"great question . {animal} is . great question .") + [text.EOS_ID]
    assert text.decode(revise_ids(prompt, draft, held)) == "great question . <eos>"
    for pair in judged_pairs(start.model, start.prompts, held):
        assert pair["chosen"] != pair["rejected"]


def test_constitutional_ai_uses_no_pair(start):
    blind = Start(start.model, [], start.prompts)
    with Meter() as meter:
        train_constitutional(blind, revision_steps=2, iterations=2, meter=meter)
    # drafts, fine-tuning, two samples for each pair; then what is sampled and learned in the second stage
    assert meter.passes["policy"] == 40 + 2 * 64 * 3 + 2 * 40 + 2 * 64 * (1 + 3)
    assert meter.passes["reference"] == 2 * 64
    # the fit of the reward model, its standardisation on at most 40 pairs, and scoring
    assert 0 <= meter.passes["reward model"] - (200 * 64 * 2 * 3 + 2 * 64) <= 2 * 40


# --- the comparison ---------------------------------------------------------------------------


def test_every_method_has_the_same_budget():
    for name, method in {**METHODS, **GAMED, **BESIDE}.items():
        s = method.settings
        if name == "PPO-RLHF":
            used = s["iterations"] * s["rollouts"] * s["epochs"]
        elif name == "Constitutional AI":
            used = s["revision_steps"] * 64 + s["iterations"] * 64
        elif name == "online DPO":
            used = s["iterations"] * s["pairs"] * 2
        elif "iterations" in s:
            used = s["iterations"] * 8 * 8
        else:
            used = s["steps"] * s["batch_size"] * (1 if name == "KTO" else 2)
        assert used == BUDGET, name


def test_a_row_of_the_table():
    bench = make_bench(0, sft_steps=2, pairs=20, reward_steps=2, evaluate=10)
    assert bench.costs["reward model"].passes.total() == 2 * 2 * 64 * 3 + 2 * 20
    for name, pushed in (("DPO", False), ("GRPO, fact stated", False), ("online DPO", True)):
        row = run_method(name, bench, share=0.02, pushed=pushed)
        assert (row["method"], row["seed"], row["pushed"]) == (name, 0, pushed)
        assert row["kl"] >= 0 and 0 <= row["win_low"] <= row["win"] <= row["win_high"] <= 1
        assert 0 < row["variety"] <= 1 and 0 <= row["whole_answer"] <= row["states_the_fact"]
