"""The worlds of notebook 05: programs that are read right, curves that count right, optima that agree with their formulas."""

import math

import pytest
import torch

from course_utils.experiments import bias, frontier, labels, mitigations, noise, overoptimisation
from course_utils.experiments import programs as experiments_programs
from course_utils.methods import Start
from course_utils.testbed import models, programs, text


def ids(words):
    return [programs.IDS[word] for word in words.split()]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("+ 3 <eos>", [3, 8, 2]),
        ("* 2 <eos>", [0, 10, 18]),
        ("case 5 8 case 1 4 end <eos>", [0, 8, 0]),
        ("case 5 8 end <eos>", [0, 8, 0]),
        ("case 5 8 case 5 4 end <eos>", [0, 8, 0]),
        ("case 5 8", [None] * 3),
        ("+ 3 + <eos>", [None] * 3),
        ("case 1 4 case 2 5 case 3 6 end <eos>", [None] * 3),
    ],
)
def test_programs_are_read(words, wanted):
    program = programs.program_of(ids(words))
    assert [program(x) for x in (0, 5, 19)] == wanted


def test_a_table_passes_what_it_was_shown_and_no_test_beside_it():
    for task in programs.make_tasks(40, seed=0):
        (table,), (honest,) = (
            programs.example_programs([task], share, seed=1, right=1.0) for share in (1.0, 0.0)
        )
        assert len(table) <= programs.MAX_RESPONSE and len(task.prompt) == programs.PROMPT_LENGTH
        assert programs.visible_tests(task, table, 0) == 1
        for verifier in programs.VERIFIERS.values():
            assert verifier(task, honest, 0) == 1
        assert programs.no_cases(task, table, 0) == 0
        assert programs.share_passed(task, honest, task.hidden()) == 1
        assert programs.share_passed(task, table, task.hidden(18)) <= 2 / 18  # times 2 has two zeros


def test_the_parts_of_the_gold_reward_add_up():
    prompts = text.make_prompts(50, seed=1)
    for prompt, response in zip(prompts, text.example_answers(prompts, 1), strict=True):
        total = mitigations.correctness(prompt, response) + mitigations.form(prompt, response)
        assert total == pytest.approx(text.gold_reward(prompt, response))


def test_raters_follow_the_utility_they_are_given():
    prompts = text.make_prompts(400, seed=2)
    first, second = text.example_answers(prompts, 3), text.example_answers(prompts, 4)
    pairs = overoptimisation.label_by(lambda p, r: 10.0 * text.length(r), prompts, first, second, seed=0)
    gaps = [text.length(p["chosen"]) - text.length(p["rejected"]) for p in pairs]
    assert min(gaps) >= 0


def test_the_curve_of_a_perfect_proxy_never_falls():
    generator = torch.Generator().manual_seed(0)
    gold = torch.randn(5, 64, generator=generator, dtype=torch.float64)
    rows = overoptimisation.best_of_n_curve(gold, gold)
    assert [row["n"] for row in rows] == [1, 2, 4, 8, 16, 32, 64]
    golds = [row["gold"] for row in rows]
    assert golds == sorted(golds) and golds[0] == pytest.approx(gold.mean().item())
    assert golds[-1] == pytest.approx(gold.amax(1).mean().item())


def test_the_law_and_its_r_squared():
    kl = [0.0, 0.5, 2.0, 5.0]
    for kind in ("bon", "rl"):
        gold = overoptimisation.law(torch.tensor(kl, dtype=torch.float64).sqrt(), 0.7, 0.3, kind).tolist()
        assert gold[0] == 0 and overoptimisation.r_squared(kl, gold, 0.7, 0.3, kind) == pytest.approx(1)
    assert overoptimisation.smooth([0, 3, 6, 0]) == [1.5, 3, 3, 3]


@pytest.mark.parametrize("name", noise.LOSSES)
@pytest.mark.parametrize("p", [0.7, 0.85])
@pytest.mark.parametrize("flips", [0.0, 0.1])
def test_the_optimum_of_a_repeated_pair_is_that_of_the_formula(name, p, flips):
    found, wanted = noise.optimum(name, p, flips), noise.closed_form(name, p, flips)
    assert found == pytest.approx(wanted, abs=1e-3)


def test_certain_labels_have_no_finite_optimum_under_dpo():
    assert noise.optimum("DPO", 1.0) == noise.closed_form("DPO", 1.0) == math.inf
    assert noise.optimum("IPO", 1.0) == pytest.approx(5)


def test_the_more_alike_a_pair_the_more_goes_to_a_third_response():
    *_, alike = noise.displace(0.9, (0, 100))
    first, *_, apart = noise.displace(-0.5, (0, 300))
    assert first["chosen"] == first["third"] == pytest.approx(1 / 3) and first["margin"] == 0
    # as a script written apart from this one found them
    assert [alike[k] for k in ("chosen", "rejected", "third")] == pytest.approx(
        [0.045, 0.017, 0.938], abs=1e-3
    )
    assert apart["chosen"] == pytest.approx(0.952, abs=1e-3) and alike["margin"] > 0


@pytest.mark.parametrize("flips", [0.0, 0.25])
def test_certain_labels_choose_the_better_answer_but_for_the_flips(flips):
    prompts = text.make_prompts(400, seed=2)
    first, second = text.example_answers(prompts, 3), text.example_answers(prompts, 4)
    pairs = [
        {"prompt": p.tolist(), "chosen": a, "rejected": b}
        for p, a, b in zip(prompts, first, second, strict=True)
    ]
    judged = labels.judge(Start(None, pairs, prompts), flips, seed=0).pairs
    gaps = [
        text.gold_reward(p["prompt"], p["chosen"]) - text.gold_reward(p["prompt"], p["rejected"])
        for p in judged
    ]
    differ = [gap for gap in gaps if gap]
    assert sum(gap < 0 for gap in differ) / len(differ) == pytest.approx(flips, abs=0.06)
    assert all(
        {tuple(p["chosen"]), tuple(p["rejected"])} == {tuple(a), tuple(b)}
        for p, a, b in zip(judged, first, second, strict=True)
    )


def test_a_look_at_the_start_sees_no_kl_and_gold_against_its_base():
    start = untrained()
    looked = [
        frontier.look(start.model, start, Lengths(), start.prompts, torch.full((4,), base), seed=0, each=8)
        for base in (-2.0, -3.0)
    ]
    assert looked[0]["kl"] == pytest.approx(0, abs=1e-6) and looked[0]["proxy"] > 0
    assert looked[0]["samples"] == 32 and looked[0]["gain_se"] > 0
    assert looked[1]["gain"] == pytest.approx(looked[0]["gain"] + 1, abs=1e-5)


class Lengths:
    """A reward model that likes long answers."""

    def score(self, prompts, responses):
        return torch.tensor([float(len(r)) for r in responses])


def test_biases_are_read_off_the_words():
    (prompt,) = text.make_prompts(1, seed=5)
    assert bias.agrees(prompt, text.encode("great question . yes right ."))
    assert bias.opens(prompt, text.encode("great question . yes right ."))
    assert not bias.opens(prompt, text.encode("yes right . great question ."))


def untrained():
    """A start that knows nothing, with two pairs that differ in length."""
    prompts = text.make_prompts(4, seed=0)
    long, short = text.encode("owl eats fish . owl is shy ."), text.encode("owl is shy .")
    pairs = [{"prompt": p.tolist(), "chosen": long, "rejected": short} for p in prompts[:2]]
    return Start(models.small_model(len(text.VOCABULARY), width=16), pairs, prompts)


def test_a_push_leaves_the_start_alone_and_reports_means():
    start = untrained()
    before = [p.clone() for p in start.model.parameters()]

    def reward(prompts, responses):
        return torch.tensor([float(len(r)) for r in responses])

    run = overoptimisation.push(
        start, reward, steps=4, prompts=2, copies_each=4, every=2, watch={"again": reward}
    )
    assert all(torch.equal(a, b) for a, b in zip(before, start.model.parameters(), strict=True))
    assert [row["step"] for row in run.rows] == [0.5, 2.5] and [len(gold) for gold in run.gold] == [16, 16]
    for row, gold in zip(run.rows, run.gold, strict=True):
        assert row["proxy"] == row["again"] and row["kl"] >= 0
        assert row["gold"] == pytest.approx(sum(gold) / 16)
    assert run.rows[0]["kl"] < run.rows[1]["kl"]


def test_a_margin_for_length_explains_what_the_policy_then_need_not():
    start = untrained()
    moved = {}
    for margin in (0.0, 5.0):
        policy = bias.train_on_pairs(start, steps=4, batch_size=2, lr=1e-2, margin=margin)
        change = bias.displacement(*bias.log_ratios(policy, start))
        moved[margin] = abs(change["chosen"] - change["rejected"])
    assert moved[5.0] < moved[0.0]


def test_pairs_judged_anew_keep_their_responses():
    start = untrained()
    again = bias.relabel(start, lambda p, r: -100.0 * text.length(r), seed=0)
    assert [p["chosen"] for p in again.pairs] == [p["rejected"] for p in start.pairs]
    assert again.model is start.model


def test_a_round_of_tests_moves_a_copy():
    model = models.small_model(len(programs.VOCABULARY), width=16)
    before = [p.clone() for p in model.parameters()]
    seen = []

    def odd(task, response, seed):
        return float(len(response) % 2)

    experiments_programs.train_on_tests(
        model, odd, iterations=1, groups=2, group_size=4, progress=seen.append
    )
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert set(seen[0]) == {"iteration", "reward", "visible", "hidden", "tables"}
