"""Votes and pairs as the trainers want them: the chat template where the tokenizer has one, checked columns."""

from course_utils.testbed import models, text

VOTES = ("prompt", "completion", "label")
PAIRS = ("prompt", "chosen", "rejected")


def check_votes(name, rows):
    """Raise ValueError unless `rows` has the columns prompt, completion and label, texts and a bool in each row."""
    _check_columns(name, rows, VOTES)
    for i, label in enumerate(rows["label"][:]):
        if not isinstance(label, bool):
            raise ValueError(f"{name}: label must be True or False, not {label!r} (row {i})")


def check_pairs(name, rows):
    """Raise ValueError unless `rows` has the columns prompt, chosen and rejected, with texts in each row."""
    _check_columns(name, rows, PAIRS)


def prepared(rows, tokenizer):
    """The rows with each text in the form in which the model meets it.

    With a chat template, a prompt that is a string becomes a user's turn and each answer an assistant's; a
    prompt that is a list of messages stays as it is. Without one, prompt and answer are joined by one
    space where neither has white space at the seam, since else two words would become one.

    Args:
        rows: a `datasets.Dataset` of votes or pairs, prompt either str or a list of {"role", "content"}.
        tokenizer: of the model.

    Returns:
        A `datasets.Dataset` with the same columns.

    Raises:
        ValueError: a prompt is a list of messages and the tokenizer has no chat template.
    """
    answers = [name for name in ("completion", "chosen", "rejected") if name in rows.column_names]
    form = _as_messages if tokenizer.chat_template else _as_text
    return rows.map(lambda many: form(many, answers), batched=True)


def save_text_model(model, folder):
    """Write a model of the text world with a tokenizer that begins each text with <bos> by itself.

    The texts of a log have no <bos>, as real ones have none ("i think fox eats berries . :"), and the model expects
    one. `models.load_model` and the trainings here read the folder.
    """
    from tokenizers.processors import TemplateProcessing

    tokenizer = models.word_tokenizer(text.VOCABULARY)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{text.BOS} $A", special_tokens=[(text.BOS, text.BOS_ID)]
    )
    models.save_model(model, tokenizer, folder)


def _as_messages(rows, answers):
    turns = {"prompt": "user"} | dict.fromkeys(answers, "assistant")
    return {
        name: [[{"role": role, "content": t}] if isinstance(t, str) else t for t in rows[name]]
        for name, role in turns.items()
    }


def _as_text(rows, answers):
    prompts = rows["prompt"]
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise ValueError(
            "prompt: a list of messages needs a tokenizer with a chat template; this one has none"
        )
    return {name: [_seam(p, a) + a for p, a in zip(prompts, rows[name], strict=True)] for name in answers}


def _seam(prompt, answer):
    joined = not prompt or not answer or prompt[-1].isspace() or answer[0].isspace()
    return "" if joined else " "


def _check_columns(name, rows, columns):
    if missing := [column for column in columns if column not in rows.column_names]:
        raise ValueError(f"{name} has no column {missing[0]!r}; its columns are {rows.column_names}")
    if len(rows) == 0:
        raise ValueError(f"{name} is empty")
    for column in set(columns) - {"label"}:
        for i, value in enumerate(rows[column][:]):
            if not isinstance(value, (str, list)):
                raise ValueError(
                    f"{name}: {column} must be a text or a list of messages, not {value!r} (row {i})"
                )
