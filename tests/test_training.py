"""Training with trl and peft in the text world: what is learnt from, what is learnt, what a kill costs."""

import json
import random
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from course_utils.feedback.pool import prompt_ids, response_ids
from course_utils.logprobs import sequence_logprob
from course_utils.methods.start import batches, completions
from course_utils.testbed import models, text
from course_utils.training import kto, lora
from course_utils.training.__main__ import read
from course_utils.training.kto import train_kto_lora
from course_utils.training.merge import merge_adapter
from course_utils.training.quiet import quiet
from course_utils.training.rows import prepared, save_text_model
from course_utils.training.runs import last_checkpoint

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

STEPS, BATCH, EVERY, WEIGHTS, BETA = 30, 16, 12, (1.0, 1.5), 0.5
SETTINGS = {
    "weights": WEIGHTS,
    "beta": BETA,
    "lr": 3e-3,
    "steps": STEPS,
    "batch_size": BATCH,
    "checkpoint_every": EVERY,
    "warmup": 3,
    "r": 8,
}


@pytest.fixture(scope="module")
def pairs():
    """Pairs as a log has them: words, without <bos> and <eos>. The raters like short answers: easily learnt."""
    prompts = text.make_prompts(120, seed=0)
    first, second = (text.example_answers(prompts, seed) for seed in (1, 2))
    labelled = text.label_pairs(prompts, first, second, seed=0, length_bias=-0.5)
    words = {"prompt": lambda ids: text.decode(ids[1:]), "chosen": _said, "rejected": _said}
    return [{key: words[key](ids) for key, ids in pair.items()} for pair in labelled]


def _said(ids):
    return " ".join(text.words_of(ids))


@pytest.fixture(scope="module")
def votes(pairs):
    """Two thirds up, one third down."""
    kept = [(p, side) for i, p in enumerate(pairs) for side in ("chosen", "rejected")[: 1 + i % 2]]
    return _dataset([{"prompt": p["prompt"], "completion": p[s], "label": s == "chosen"} for p, s in kept])


def _dataset(rows):
    from datasets import Dataset

    return Dataset.from_list(rows)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model of the text world that was not trained, in a folder."""
    folder = tmp_path_factory.mktemp("base")
    save_text_model(models.small_model(len(text.VOCABULARY), seed=0), folder)
    return folder


@pytest.fixture(scope="module")
def trained(base, votes, tmp_path_factory):
    """(Training, losses reported): KTO on all votes but sixteen, those as validation."""
    seen = {}
    training = train_kto_lora(
        base,
        votes.select(range(16, len(votes))),
        votes.select(range(16)),
        tmp_path_factory.mktemp("kto"),
        progress=lambda step, loss: seen.update({step: loss}),
        **SETTINGS,
    )
    return training, seen


@pytest.fixture(scope="module")
def merged(trained, tmp_path_factory):
    """(model, tokenizer) of the merged folder."""
    return models.load_model(merge_adapter(trained[0].adapter, tmp_path_factory.mktemp("merged") / "model"))


def _log_ratios(policy, reference, votes):
    """(N,) log pi(y|x) - log ref(y|x) by the course's own functions, <eos> included."""
    ids, labels = completions(
        [prompt_ids(p) for p in votes["prompt"]], [response_ids(r) for r in votes["completion"]]
    )
    with torch.no_grad():
        policy, reference = (sequence_logprob(model(ids).logits, labels) for model in (policy, reference))
    return policy - reference


def _margin(policy, reference, votes):
    ratios, up = _log_ratios(policy, reference, votes), torch.tensor(votes["label"])
    return (ratios[up].mean() - ratios[~up].mean()).item()


# --- what is learnt ----------------------------------------------------------------------------


def test_votes_up_gain_on_votes_down(trained, merged, base, votes):
    reference, _ = models.load_model(base)
    assert _margin(reference, reference, votes) == 0
    assert _margin(merged[0], reference, votes) > 0.5
    margins = trained[0].values("rewards/margins")[1]
    assert sum(margins[-10:]) > sum(margins[:10])


def test_the_logged_margin_is_the_one_that_our_own_functions_find(trained, merged, base, votes):
    # sums over tokens with <eos>, the prompt masked, the reference without the LoRA: all at once
    steps, margins = trained[0].values("eval_rewards/margins")
    assert steps == [EVERY, 2 * EVERY, STEPS]
    assert len(trained[0].values("eval_loss")[1]) == len(steps)
    reference, _ = models.load_model(base)
    ours = BETA * _margin(merged[0], reference, votes.select(range(16)))
    assert ours == pytest.approx(margins[-1], abs=1e-4)
    assert abs(ours) > 0.05


def test_the_first_loss_is_half_the_mean_weight(trained, votes):
    # before the first update every log-ratio and z0 are 0, so each loss is lambda (1 - sigmoid(0))
    rows = batches(len(votes) - 16, BATCH, STEPS, seed=0)[0]
    labels = votes.select(range(16, len(votes))).select(rows)["label"]
    weights = [WEIGHTS[0] if up else WEIGHTS[1] for up in labels]
    assert 0 < sum(labels) < BATCH
    assert trained[0].history[0]["loss"] == pytest.approx(sum(weights) / BATCH / 2, abs=1e-6)


def test_progress_reports_every_update(trained):
    training, seen = trained
    steps, losses = training.values("loss")
    assert list(seen) == steps == list(range(1, STEPS + 1))
    assert list(seen.values()) == pytest.approx(losses)


def test_without_the_lora_it_is_the_reference(trained, base):
    from peft import PeftModel

    reference, _ = models.load_model(base)
    policy = PeftModel.from_pretrained(models.load_model(base)[0], trained[0].adapter).eval()
    prompts = text.make_prompts(8, seed=3)
    with torch.no_grad():
        on = policy(prompts).logits
        with policy.disable_adapter():
            off = policy(prompts).logits
        assert torch.equal(off, reference(prompts).logits)
    assert (on - off).abs().max() > 0.05


def test_the_random_state_is_left_alone(base, votes, tmp_path):
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    train_kto_lora(base, votes, None, tmp_path, steps=1, batch_size=2)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


# --- the batch ---------------------------------------------------------------------------------


def _trainer(base, rows, folder):
    recipe = lora.Recipe(beta=0.1, lr=1e-3, steps=1, batch_size=4)
    with quiet():
        model, tokenizer = models.load_model(base)
        settings = lora._settings(folder, recipe, 1, False, True)
        return kto._trainer(model, tokenizer, prepared(rows, tokenizer), None, settings, lora._lora(recipe))


def test_the_prompt_is_masked_and_the_end_of_sequence_is_not(base, votes, tmp_path):
    rows = votes.select(range(4))
    trainer = _trainer(base, rows, tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    prompts = [prompt_ids(p) for p in rows["prompt"]]
    answers = [response_ids(r) for r in rows["completion"]]
    mismatched = answers[-1:] + answers[:-1]
    for prefix, wanted in (("", answers), ("KL_", mismatched)):
        ids, counted, there = (
            batch[prefix + key] for key in ("input_ids", "completion_mask", "attention_mask")
        )
        for i in range(4):
            assert ids[i][counted[i] == 1].tolist() == wanted[i]
            assert ids[i][(counted[i] == 0) & (there[i] == 1)].tolist() == prompts[i]
    assert batch["label"].tolist() == rows["label"]


CHAT = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<bos> {{ m['content'] }}"
    "{% else %} {{ m['content'] }} <eos>{% endif %}{% endfor %}"
)


def _with_template(base, folder, template):
    model, tokenizer = models.load_model(base)
    tokenizer.chat_template = template
    models.save_model(model, tokenizer, folder)
    return folder


def test_a_chat_template_is_used_where_there_is_one(base, votes, tmp_path):
    rows = votes.select(range(4))
    chat = _with_template(base, tmp_path / "chat", CHAT)
    trainer = _trainer(chat, rows, tmp_path)
    for i, row in enumerate(trainer.train_dataset):
        assert row["prompt_ids"] == prompt_ids(rows[i]["prompt"])
        assert row["completion_ids"] == response_ids(rows[i]["completion"])
    as_messages = [{**row, "prompt": [{"role": "user", "content": row["prompt"]}]} for row in rows]
    assert _trainer(chat, _dataset(as_messages), tmp_path).train_dataset["prompt_ids"] == [
        row["prompt_ids"] for row in trainer.train_dataset
    ]


def test_a_template_that_closes_no_answer_is_refused(base, votes, tmp_path):
    chat = _with_template(base, tmp_path / "chat", CHAT.replace(" <eos>", ""))
    with pytest.raises(ValueError, match="end-of-sequence"):
        train_kto_lora(chat, votes, None, tmp_path / "out", steps=1, batch_size=2)


# --- a run that is killed ----------------------------------------------------------------------

KILLED = """
import json, os, signal, sys
import torch
from datasets import load_from_disk
from course_utils.training.kto import train_kto_lora

base, votes, output, settings, threads = sys.argv[1:]
torch.set_num_threads(int(threads))  # another number rounds otherwise
votes = load_from_disk(votes)

def progress(step, loss):
    if step == 20:
        os.kill(os.getpid(), signal.SIGKILL)

train_kto_lora(base, votes.select(range(16, len(votes))), votes.select(range(16)), output, progress=progress, **json.loads(settings))
"""


@pytest.fixture(scope="module")
def killed(base, votes, tmp_path_factory):
    """Output folder of the same training as `trained`, killed at step 20."""
    folder = tmp_path_factory.mktemp("killed")
    with quiet():
        votes.save_to_disk(folder / "votes")
    arguments = [base, folder / "votes", folder / "out", json.dumps(SETTINGS), torch.get_num_threads()]
    run = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], timeout=300)
    assert run.returncode == -signal.SIGKILL
    return folder / "out"


def _weights(adapter):
    from safetensors.torch import load_file

    return load_file(adapter / "adapter_model.safetensors")


def _assert_same(adapter, other, atol):
    ours, theirs = _weights(adapter), _weights(other)
    assert ours.keys() == theirs.keys()
    assert any(tensor.abs().max() > 0.01 for name, tensor in ours.items() if "lora_B" in name)
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], rtol=0, atol=atol), name


def test_a_killed_run_goes_on_and_ends_at_the_same_weights(killed, trained, base, votes):
    assert not (killed / "adapter").exists()
    train, validation = votes.select(range(16, len(votes))), votes.select(range(16))
    with pytest.raises(FileExistsError, match="resume"):
        train_kto_lora(base, train, validation, killed, **SETTINGS)
    with pytest.raises(ValueError, match="other recipe"):
        train_kto_lora(base, train, validation, killed, resume=True, **SETTINGS | {"lr": 1e-4})
    with pytest.raises(ValueError, match="other rows"):
        train_kto_lora(base, validation, None, killed, resume=True, **SETTINGS)

    training = train_kto_lora(base, train, validation, killed, resume=True, **SETTINGS)
    assert training.went_on_at == EVERY
    _assert_same(training.adapter, trained[0].adapter, atol=1e-6)
    assert training.values("loss") == (
        trained[0].values("loss")[0],
        pytest.approx(trained[0].values("loss")[1]),
    )

    again = train_kto_lora(base, train, validation, killed, resume=True, **SETTINGS)
    assert again.history == training.history and again.went_on_at == STEPS

    # killed between the last checkpoint and the adapter
    for file in training.adapter.iterdir():
        file.unlink()
    training.adapter.rmdir()
    _assert_same(
        train_kto_lora(base, train, validation, killed, resume=True, **SETTINGS).adapter,
        trained[0].adapter,
        atol=1e-6,
    )


def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step, state in ((9, "{}"), (20, "{}"), (100, '{"global_st'), (120, None)):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path).name == "checkpoint-20"


# --- more than one process ---------------------------------------------------------------------

BOTH = """
import sys
from course_utils.training.__main__ import main

base, pairs, votes, output = sys.argv[1:]
common = ["--model", base, "--steps", "4", "--lr", "1e-3", "--warmup", "1", "--batch-size", "4"]
main(["dpo", "--train", pairs, "--output", output + "/dpo", *common])
main(["kto", "--train", votes, "--output", output + "/kto", "--weights", "1", "1.5", *common])
"""


def test_two_processes_make_the_updates_of_one(base, pairs, votes, tmp_path):
    from course_utils.training.dpo import train_dpo_lora

    files = {"pairs": pairs, "votes": list(votes)}
    for name, rows in files.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "both.py").write_text(BOTH)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", str(port), tmp_path / "both.py", base]
    launch += [tmp_path / "pairs.jsonl", tmp_path / "votes.jsonl", tmp_path]
    run = subprocess.run([*map(str, launch)], timeout=300, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("4/4 loss") == 2  # reported by one process, for each of the two trainings

    alone = train_dpo_lora(
        base, _dataset(pairs), None, tmp_path / "alone", lr=1e-3, steps=4, batch_size=8, warmup=1
    )
    ours, theirs = _weights(alone.adapter), _weights(tmp_path / "dpo" / "adapter")
    assert ours.keys() == theirs.keys()
    moved = _norm([tensor for name, tensor in ours.items() if "lora_B" in name])  # these began at 0
    assert moved > 0.01
    # Adam makes much of rounding where a gradient is nearly 0, so not entry by entry
    assert _norm([tensor - theirs[name] for name, tensor in ours.items()]) < 0.01 * moved

    record = json.loads((tmp_path / "kto" / "run.json").read_text())
    labels = votes.select(batches(len(votes), 8, 4, seed=0)[0])["label"]
    half = sum(1.0 if up else 1.5 for up in labels) / 8 / 2
    assert record["processes"] == 2 and len(record["history"]) == 4
    assert record["history"][0]["loss"] == pytest.approx(half, abs=1e-6)


def _norm(tensors):
    return sum(tensor.square().sum() for tensor in tensors) ** 0.5


# --- merging -----------------------------------------------------------------------------------


def test_the_merged_model_has_the_logits_of_the_adapter(trained, merged, base):
    from peft import PeftModel

    policy = PeftModel.from_pretrained(models.load_model(base)[0], trained[0].adapter).eval()
    prompts = text.make_prompts(16, seed=4)
    with torch.no_grad():
        assert torch.allclose(merged[0](prompts).logits, policy(prompts).logits, rtol=0, atol=1e-5)
    assert not any("lora" in name for name, _ in merged[0].named_parameters())


def test_the_merged_folder_has_the_tokenizer(merged, votes):
    model, tokenizer = merged
    prompt = votes[0]["prompt"]
    assert tokenizer(prompt)["input_ids"] == prompt_ids(prompt)
    assert tokenizer.pad_token_id == model.config.pad_token_id == text.PAD_ID != tokenizer.eos_token_id
    assert model.generation_config.eos_token_id == text.EOS_ID


def test_merging_refuses_what_it_cannot_do(trained, base, tmp_path):
    with pytest.raises(ValueError, match="adapter_config.json"):
        merge_adapter(base, tmp_path / "out")
    with pytest.raises(FileExistsError):
        merge_adapter(trained[0].adapter, tmp_path)


# --- errors name what is wrong -----------------------------------------------------------------


@pytest.mark.parametrize(
    "change, named",
    [
        ({"batch_size": 1}, "batch_size"),
        ({"batch_size": 500}, "train has"),
        ({"weights": (0.0, 1.0)}, r"weights\[0\]"),
        ({"beta": 0.0}, "beta"),
        ({"steps": 0}, "steps"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
    ],
)
def test_wrong_settings(base, votes, tmp_path, change, named):
    with pytest.raises(ValueError, match=named):
        train_kto_lora(base, votes, None, tmp_path, **SETTINGS | change)


@pytest.mark.parametrize(
    "row, named",
    [
        ({"label": 1}, r"label must be True or False, not 1 \(row 0\)"),
        ({"completion": None}, r"completion must be a text .*, not None \(row 0\)"),
        ({"prompt": "i think unicorn is small . :"}, "knows not all words"),
        ({"prompt": [{"role": "user", "content": "i think"}]}, "chat template"),
    ],
)
def test_wrong_rows(base, tmp_path, row, named):
    good = {"prompt": "i think fox is small . :", "completion": "fox is loud .", "label": True}
    with pytest.raises(ValueError, match=named):
        train_kto_lora(base, _dataset([good | row] * 4), None, tmp_path, steps=1, batch_size=2)
    with pytest.raises(ValueError, match="no column 'label'"):
        train_kto_lora(base, _dataset([good]).remove_columns("label"), None, tmp_path)
    with pytest.raises(ValueError, match="validation is empty|validation has no column"):
        train_kto_lora(base, _dataset([good] * 4), _dataset([{"prompt": "i"}]), tmp_path)


def test_files_of_rows_keep_their_texts(tmp_path):
    import pandas as pd

    rows = [{"prompt": "2021-01-01", "completion": "42", "label": True}]
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]) + "\n\n")
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.jsonl")) == list(read(tmp_path / "a.parquet")) == rows
    with pytest.raises(ValueError, match="jsonl"):
        read(tmp_path / "a.txt")
    for content, words in (
        ("{}\n{", "b.jsonl, row 2: "),
        ('{"a": "b"}\n{"a": true}', "b.jsonl, row 2, column 'a': "),
    ):
        (tmp_path / "b.jsonl").write_text(content)
        with pytest.raises(ValueError, match=words):
            read(tmp_path / "b.jsonl")
    (tmp_path / "b.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"b\.parquet: "):
        read(tmp_path / "b.parquet")
