"""The text world and its small models: the gold reward clause by clause, sampling, KL, saving and loading."""

import copy

import pytest
import torch

from course_utils.testbed import models, text

PROMPT = text.encode("<bos> i think fox eats") + [text.IDS[text.TRUTH["fox", "eats"]]] + text.encode(". :")
FALSE = next(v for v in text.RELATIONS["eats"] if v != text.TRUTH["fox", "eats"])
TRUE_CLAIM = f"fox eats {text.TRUTH['fox', 'eats']} ."
FALSE_CLAIM = f"fox eats {FALSE} ."


def gold(words):
    return text.gold_reward(PROMPT, text.encode(f"{words} <eos>"))


def test_the_vocabulary_and_the_table():
    assert len(text.VOCABULARY) == len(set(text.VOCABULARY)) == 44
    assert len(text.TRUTH) == 24
    assert all(value in text.RELATIONS[relation] for (_, relation), value in text.TRUTH.items())


@pytest.mark.parametrize(
    ("words", "reward"),
    [
        ("", 0.0),
        (TRUE_CLAIM, 1.0),
        (FALSE_CLAIM, -1.0),
        (f"{TRUE_CLAIM} {FALSE_CLAIM}", 0.0),
        (f"{TRUE_CLAIM} {TRUE_CLAIM}", 0.2),
        (f"{FALSE_CLAIM} {FALSE_CLAIM}", -1.8),
        ("yes right .", 0.6),
        ("no wrong .", -1.2),
        ("yes right . no wrong .", -0.2),
        ("great question .", 0.1),
        ("great question . hope it helps . great question .", -0.9),
        ("yes wrong .", -1.0),
        (".", -1.0),
        ("fox eats .", -1.0),
        (f"owl eats {text.TRUTH['owl', 'eats']} .", -1.0),
        ("fox eats rain .", -1.0),
        (f"{TRUE_CLAIM} fox eats", 0.0),
        (f"yes right . {TRUE_CLAIM} hope it helps .", 1.7),
        ("great question . " * 6, 0.1 - 5 * 0.5 - 0.12),
    ],
)
def test_gold_reward(words, reward):
    assert gold(words) == pytest.approx(reward)


def test_the_verdict_depends_on_the_prompt_and_nothing_after_eos_counts():
    wrong_prompt = [*PROMPT[:5], text.IDS[FALSE], *PROMPT[6:]]
    assert text.gold_reward(wrong_prompt, text.encode("no wrong . <eos> . . .")) == pytest.approx(0.6)
    assert text.gold_reward(wrong_prompt, text.encode("yes right . <eos>")) == pytest.approx(-1.2)
    assert text.length(text.encode("no wrong . <eos> . .")) == 3


def test_prompts_and_answers_follow_the_recipe():
    prompts = text.make_prompts(2000, seed=3)
    answers = text.example_answers(prompts, seed=3)
    assert prompts.shape == (2000, text.PROMPT_LENGTH)
    assert all(len(a) <= text.MAX_RESPONSE and a[-1] == text.EOS_ID for a in answers)
    true = [text.TRUTH[text.statement(p)[:2]] == text.statement(p)[2] for p in prompts]
    assert 0.45 < sum(true) / 2000 < 0.55
    kinds = [clause.kind for p, a in zip(prompts, answers, strict=True) for clause in text.parse(p, a)]
    assert 0.55 < sum(kind.endswith("verdict") for kind in kinds) / 2000 < 0.65
    assert 0.72 < kinds.count("true claim") / sum(kind.endswith("claim") for kind in kinds) < 0.83
    assert answers == text.example_answers(prompts, seed=3) != text.example_answers(prompts, seed=4)


def test_labels_follow_the_gold_reward_the_bias_and_the_flips():
    prompts = text.make_prompts(2000, seed=5)
    first, second = text.example_answers(prompts, seed=5), text.example_answers(prompts, seed=6)

    def agreement(**settings):
        pairs = text.label_pairs(prompts, first, second, seed=0, **settings)
        chosen = text.gold_rewards(prompts, [p["chosen"] for p in pairs])
        rejected = text.gold_rewards(prompts, [p["rejected"] for p in pairs])
        longer = [text.length(p["chosen"]) - text.length(p["rejected"]) for p in pairs]
        says_yes = [text.IDS["yes"] in p["chosen"] and text.IDS["yes"] not in p["rejected"] for p in pairs]
        differ = chosen != rejected
        return (chosen > rejected)[differ].float().mean().item(), sum(longer) / 2000, sum(says_yes) / 2000

    right, longer, yes = agreement()
    assert 0.8 < right < 0.95
    assert agreement(length_bias=0.25)[1] > longer + 1.5
    assert agreement(sycophancy=2.5)[2] > yes + 0.05
    assert 0.6 < agreement(flips=0.3)[0] < right - 0.15
    assert agreement(flips=1.0)[0] == pytest.approx(1 - right)


@pytest.fixture(scope="module")
def trained():
    model = models.small_model(len(text.VOCABULARY), seed=0)
    prompts = text.make_prompts(800, seed=0)
    seen = []
    losses = models.train_on_examples(
        model, prompts, text.example_answers(prompts, 0), 40, progress=lambda step, loss: seen.append(step)
    )
    assert seen == list(range(1, 41))
    return model, losses


def test_the_model_is_small_and_learns(trained):
    model, losses = trained
    assert sum(p.numel() for p in model.parameters()) == 85_056
    assert losses[0] > 3.5 and losses[-1] < 1.8
    assert not model.training


def test_making_a_model_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    first, second = models.small_model(44, seed=5), models.small_model(44, seed=5)
    assert torch.equal(torch.rand(1), wanted)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_sampling_with_the_cache_is_sampling_without_it(trained):
    model, _ = trained
    prompts = text.make_prompts(20, seed=9)
    with torch.no_grad():
        ids = prompts
        for _ in range(text.MAX_RESPONSE):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    whole = [row[: row.index(2) + 1] if 2 in row else row for row in ids[:, 8:].tolist()]
    assert models.sample(model, prompts, text.MAX_RESPONSE, seed=0, temperature=0) == whole


def test_samples_follow_the_model_and_the_seed(trained):
    model, _ = trained
    prompt = text.make_prompts(1, seed=2)
    many = models.sample(model, prompt.expand(4000, -1), 1, seed=0)
    assert many == models.sample(model, prompt.expand(4000, -1), 1, seed=0)
    seen = torch.bincount(torch.tensor(many)[:, 0], minlength=44) / 4000
    with torch.no_grad():
        wanted = model(prompt).logits[0, -1].softmax(-1)
    assert (seen - wanted).abs().max() < 0.03
    responses = models.sample(model, text.make_prompts(50, seed=3), text.MAX_RESPONSE, seed=1)
    assert all(r.count(2) <= 1 and (r[-1] == 2 or len(r) == text.MAX_RESPONSE) for r in responses)


def test_the_exact_kl_is_zero_with_itself_and_agrees_with_samples(trained):
    model, _ = trained
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.model.norm.weight.mul_(0.8)
    prompts = text.make_prompts(800, seed=4)
    responses = models.sample(other, prompts, text.MAX_RESPONSE, seed=2)
    assert models.exact_kl(model, model, prompts, responses).abs().max() < 1e-5
    exact = models.exact_kl(other, model, prompts, responses)
    ids = torch.cat([prompts, models.pad_rows(responses, 0)], dim=1)
    labels = models.pad_rows([[-100] * 8 + r for r in responses], -100)
    ratios = sum(sign * _summed(m, ids, labels) for sign, m in ((1, other), (-1, model)))
    assert exact.min() > 0
    error = (ratios.std() / len(ratios) ** 0.5).item()
    assert abs(exact.mean() - ratios.mean()).item() < 5 * error


@torch.no_grad()
def _summed(model, ids, labels):
    logits = model(ids).logits[:, :-1].transpose(1, 2)
    return -torch.nn.functional.cross_entropy(logits, labels[:, 1:], reduction="none").sum(1)


def test_the_padding_of_a_batch_does_not_touch_the_kl(trained):
    model, _ = trained
    other = models.small_model(44, seed=1)
    prompts, responses = text.make_prompts(2, seed=0), [[5, 2], [5, 6, 7, 8, 9, 2]]
    together = models.exact_kl(model, other, prompts, responses)
    alone = models.exact_kl(model, other, prompts[:1], responses[:1])
    assert torch.allclose(together[:1], alone, atol=1e-4)


def test_rows_are_padded_on_either_side():
    assert models.pad_rows([[1], [2, 3]], 0).tolist() == [[1, 0], [2, 3]]
    assert models.pad_rows([[1], [2, 3]], -100, side="left").tolist() == [[-100, 1], [2, 3]]


def test_a_saved_model_is_loaded_with_its_tokenizer(trained, tmp_path):
    model, _ = trained
    models.save_model(model, models.word_tokenizer(text.VOCABULARY), tmp_path / "small")
    loaded, tokenizer = models.load_model(tmp_path / "small")
    assert not loaded.training
    ids = text.make_prompts(3, seed=0)
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)
    words = text.decode(ids[0])
    assert tokenizer(words)["input_ids"] == ids[0].tolist()
    assert tokenizer(f"{words}<eos>")["input_ids"] == [*ids[0].tolist(), text.EOS_ID]
    assert tokenizer.decode(ids[0]) == words
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (text.PAD_ID, text.EOS_ID)
    assert models.load_model(str(tmp_path / "small"), dtype=torch.bfloat16)[0].dtype == torch.bfloat16


def test_a_tokenizer_that_pads_with_eos_gets_another_padding_token(tmp_path):
    tokenizer = models.word_tokenizer(text.VOCABULARY)
    tokenizer.unk_token, tokenizer.pad_token = "?", text.EOS
    models.save_model(models.small_model(44), tokenizer, tmp_path)
    assert models.load_model(tmp_path)[1].pad_token == "?"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="name_or_folder"):
        models.load_model(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"name_or_folder.*config.json"):
        models.load_model(tmp_path)


def test_examples_without_answers_are_refused():
    with pytest.raises(ValueError, match="prompts and answers"):
        models.train_on_examples(models.small_model(44), text.make_prompts(2, 0), [], 1)
