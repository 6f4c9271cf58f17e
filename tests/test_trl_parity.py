"""Our batches, losses and gradients against an independent implementation: `trl`'s trainers, fed the same."""

import copy
import random

import numpy as np
import pytest
import torch

from course_utils.logprobs import chunked_token_logprobs, sequence_logprob, token_logprobs
from course_utils.losses import dpo_loss, dpo_metrics
from course_utils.methods import train_step
from course_utils.preferences import collate_preferences
from course_utils.testbed import models, text
from course_utils.trl_parity import PARITY, offline, online

pytest.importorskip("trl")
BETA = 0.3


@pytest.fixture(scope="module")
def pairs():
    prompts = text.make_prompts(12, seed=0)
    first, second = (text.example_answers(prompts, seed) for seed in (1, 2))
    return text.label_pairs(prompts, first, second, seed=0)


@pytest.fixture(scope="module")
def policy():
    return models.small_model(len(text.VOCABULARY), seed=0)


@pytest.fixture(scope="module")
def reference():
    return models.small_model(len(text.VOCABULARY), seed=1)


@pytest.fixture(scope="module")
def theirs(pairs, policy, reference, tmp_path_factory):
    """(trainer, its own collated batch, its loss, {name: gradient}, its logged metrics), from the pairs as text."""
    import datasets
    from trl import DPOConfig, DPOTrainer

    datasets.disable_progress_bars()
    columns = {
        "prompt": [text.decode(p["prompt"]) for p in pairs],
        "chosen": [" " + text.decode(p["chosen"]) for p in pairs],
        "rejected": [" " + text.decode(p["rejected"]) for p in pairs],
    }
    settings = DPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        beta=BETA,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        model=copy.deepcopy(policy),
        ref_model=copy.deepcopy(reference),
        args=settings,
        train_dataset=datasets.Dataset.from_dict(columns),
        processing_class=models.word_tokenizer(text.VOCABULARY),
    )
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(pairs))])
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters()}
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return batch, loss.item(), gradients, metrics


def _scores(model, batch):
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return sequence_logprob(logits, batch["labels"]).chunk(2)


def test_the_batch(pairs, theirs):
    batch, ours = theirs[0], collate_preferences(pairs, text.PAD_ID)
    assert torch.equal(ours["input_ids"], batch["input_ids"])
    assert torch.equal(ours["attention_mask"], batch["attention_mask"])
    assert torch.equal(ours["labels"], batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100))


def test_the_loss_and_every_gradient(pairs, policy, reference, theirs):
    _, loss, gradients, _ = theirs
    ours, batch = copy.deepcopy(policy), collate_preferences(pairs, text.PAD_ID)
    with torch.no_grad():
        ref = _scores(reference, batch)
    mean = dpo_loss(*_scores(ours, batch), *ref, BETA).mean()
    mean.backward()
    assert mean.item() == pytest.approx(loss, abs=1e-5)
    for name, parameter in ours.named_parameters():
        assert torch.allclose(parameter.grad, gradients[name], atol=1e-5), name


def test_the_metrics(pairs, policy, reference, theirs):
    metrics, batch = theirs[3], collate_preferences(pairs, text.PAD_ID)
    with torch.no_grad():
        ours = dpo_metrics(*_scores(policy, batch), *_scores(reference, batch), BETA)
    names = {
        "chosen_reward": "chosen",
        "rejected_reward": "rejected",
        "margin": "margins",
        "accuracy": "accuracies",
    }
    for key, theirs_name in names.items():
        assert ours[key] == pytest.approx(metrics[f"rewards/{theirs_name}"], abs=1e-4), key


def test_a_training_step_follows_their_gradient(pairs, policy, reference, theirs):
    _, loss, gradients, _ = theirs
    ours, lr = copy.deepcopy(policy), 0.1
    batch = collate_preferences(pairs, text.PAD_ID)
    seen = train_step(ours, copy.deepcopy(reference), batch, torch.optim.SGD(ours.parameters(), lr=lr), BETA)
    assert seen == pytest.approx(loss, abs=1e-5)
    before = dict(policy.named_parameters())
    for name, parameter in ours.named_parameters():
        assert torch.allclose(parameter, before[name] - lr * gradients[name], atol=1e-5), name


def test_the_chunked_log_probabilities_of_a_model(pairs, policy):
    batch = collate_preferences(pairs, text.PAD_ID)
    with torch.no_grad():
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        hidden = policy.model(**inputs).last_hidden_state[:, :-1].flatten(0, 1)
        chunked = chunked_token_logprobs(hidden, policy.lm_head.weight, batch["labels"][:, 1:].flatten(), 50)
        whole = token_logprobs(policy(**inputs).logits, batch["labels"])
    assert torch.allclose(chunked.view_as(whole), whole, atol=1e-5)


@pytest.mark.parametrize(
    "compare", [function for _, function, _ in PARITY], ids=[name for name, *_ in PARITY]
)
def test_the_loss_and_every_gradient_of_a_trainer(compare):
    ours, theirs, gradient = compare()
    assert ours == pytest.approx(theirs, rel=0, abs=1e-5)
    assert gradient < 1e-5


ALIGNED = [offline.ipo, offline.kto, offline.simpo, offline.orpo, offline.reward]


@pytest.mark.parametrize("compare", ALIGNED, ids=lambda function: function.__name__)
def test_a_convention_that_is_not_aligned_shows(compare):
    ours, theirs, gradient = compare(aligned=False)
    assert abs(ours - theirs) > 5e-3
    assert gradient > 5e-3


def test_ipo_on_sums_is_not_ipo_on_means():
    ours, theirs, _ = offline.ipo(aligned=False)
    assert abs(ours - theirs) > 1e-2


def test_the_kl_weight_of_grpo_changes_the_gradient_and_not_the_loss():
    ours, theirs, gradient = online.grpo(aligned=False)
    assert ours == pytest.approx(theirs, rel=0, abs=1e-5)
    assert gradient > 1e-2


def test_the_comparisons_leave_the_random_state_alone():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    online.rloo()
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_ppo_is_not_in_trl_any_more():
    with pytest.raises(ImportError):
        from trl import PPOTrainer  # noqa: F401
    with pytest.raises(ImportError):
        import trl.experimental.ppo  # noqa: F401
