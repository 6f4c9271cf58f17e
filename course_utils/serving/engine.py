"""What answers: one small interface, with a stub for tests and a model for students.

An engine is called from one worker thread at a time, never from the event loop.
"""

import hashlib
import math
import time
from pathlib import Path
from typing import Protocol


class BadPrompt(ValueError):
    """A prompt that this engine cannot answer, such as one longer than its context; the client is told so."""


class Engine(Protocol):
    """What the service needs of a model.

    Attributes:
        version: a short name of the weights and settings; it is stored with every answer.
    """

    version: str

    def generate(self, prompts: list[str]) -> list[str]:
        """One response a prompt, in order.

        Raises:
            BadPrompt: where a prompt cannot be answered, whatever the others are.
        """
        ...


class StubEngine:
    """Fixed answers after a fixed delay, so that the service can be tested and timed without a model.

    Args:
        answer: the response to every prompt; "{prompt}" in it is replaced by the prompt.
        delay: seconds that one call takes, however many prompts it has.
        version: what is stored as the model's version.
    """

    def __init__(self, answer="You said: {prompt}", delay=0.0, version="stub"):
        if not (delay >= 0 and math.isfinite(delay)):
            raise ValueError(f"delay must be finite and not negative, not {delay}")
        self.answer, self.delay, self.version = answer, delay, version

    def generate(self, prompts):
        """The fixed answer to each prompt, after the delay."""
        if self.delay:
            time.sleep(self.delay)
        return [self.answer.replace("{prompt}", prompt) for prompt in prompts]


class ModelEngine:
    """A causal language model of `transformers`, sampled in batches.

    A prompt becomes one user turn of the tokenizer's chat template; one that holds the special tokens
    with which turns are parted, and so could speak as the system, is refused. Without a template it is taken as it
    stands, after <bos> if the tokenizer has a <bos> that is not its <eos>. Prompts of different lengths are
    padded on the left and masked, so that every response begins right after its prompt. Draws come from
    torch's global generator: what a prompt draws depends on the batch that it shares.

    Args:
        folder: a model folder, or a hub name (see `testbed.models.load_model`).
        max_new: the most tokens a response may have.
        temperature: of the sampling; 0 takes the likeliest token.
        top_p: keeps the likeliest tokens that hold this much probability together.
        version: stored with every answer; by default the folder's name and a digest of its weights.

    Raises:
        ValueError: `max_new` is below 1 or leaves no room for a prompt, `temperature` or `top_p` is out of range,
            or (from `load_model`) there is no model in the folder.
    """

    def __init__(self, folder, max_new=128, temperature=0.7, top_p=0.95, version=None):
        from course_utils.testbed.models import load_model  # transformers takes seconds

        if max_new < 1:
            raise ValueError(f"max_new must be at least 1, not {max_new}")
        if not (temperature >= 0 and math.isfinite(temperature) and 0 < top_p <= 1):
            raise ValueError(
                f"temperature must be from 0 and top_p above 0, at most 1, not {temperature} and {top_p}"
            )
        self.model, self.tokenizer = load_model(folder)
        self.tokenizer.padding_side = "left"
        self.version = version or weights_version(folder)
        self.room = self.model.config.max_position_embeddings - max_new
        if self.room < 1:
            raise ValueError(f"max_new is {max_new}: the model takes {self.room + max_new} tokens in all")
        # all that matters is given here: the folder's own generation settings would mix in theirs
        self.settings = {"max_new_tokens": max_new, "do_sample": temperature > 0}
        if temperature > 0:
            self.settings |= {"temperature": temperature, "top_p": top_p, "top_k": 0}

    def generate(self, prompts):
        """One sampled response a prompt, without special tokens, without white space at its ends."""
        import torch

        batch = self.tokenizer.pad({"input_ids": [self._encode(prompt) for prompt in prompts]})
        ids = torch.tensor(batch["input_ids"], device=self.model.device)
        mask = torch.tensor(batch["attention_mask"], device=self.model.device)
        with torch.inference_mode():
            output = self.model.generate(
                ids, attention_mask=mask, pad_token_id=self.tokenizer.pad_token_id, **self.settings
            )
        rows = output[:, ids.shape[1] :]
        return [text.strip() for text in self.tokenizer.batch_decode(rows, skip_special_tokens=True)]

    def _encode(self, prompt):
        """Token ids of one prompt, template and <bos> included."""
        tokenizer = self.tokenizer
        if tokenizer.chat_template:
            if found := [sign for sign in _signs(tokenizer) if sign in prompt]:
                raise BadPrompt(f"the prompt holds {found[0]!r}, with which this model parts turns")
            turns = [{"role": "user", "content": prompt}]
            ids = list(
                tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)[
                    "input_ids"
                ]
            )
        else:
            ids, bos = tokenizer(prompt)["input_ids"], tokenizer.bos_token_id
            if bos not in (None, tokenizer.eos_token_id) and ids[:1] != [bos]:
                ids = [bos, *ids]
        if not 0 < len(ids) <= self.room:
            raise BadPrompt(f"the prompt has {len(ids)} tokens; this model takes 1 to {self.room}")
        return ids


def _signs(tokenizer):
    """The special tokens that part turns: those of the chat template, and the ends of a text."""
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    ends = (tokenizer.bos_token, tokenizer.eos_token)
    return [token for token in special if token in ends or token in tokenizer.chat_template]


def weights_version(folder):
    """A folder's name and eight hexadecimal digits of the SHA-256 of its weights; a hub name stays as it is.

    Two runs that wrote different weights into folders of one name get two versions, and a vote stays
    joined to the weights that earned it.
    """
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        return str(folder)
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{Path(folder).resolve().name}-{digest.hexdigest()[:8]}"
