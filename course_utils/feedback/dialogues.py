"""Reading dialogues: Anthropic's hh-rlhf pairs, and the messages format with a verdict per turn."""

import pandas as pd

from course_utils.feedback.loaders import Verdicts, read_lines

ASSISTANT = "\n\nAssistant:"
ROLES = ("system", "user", "assistant")


def load_hh_rlhf(path, skip=False):
    """Preference pairs of Anthropic's hh-rlhf (Bai et al. 2022, arXiv 2204.05862): JSON lines, also .gz.

    A line holds "chosen" and "rejected": two dialogues that are alike up to the last answer. The prompt is
    everything up to and with the last "\\n\\nAssistant:" of the chosen one.

    Args:
        path: of the file.
        skip: leave out lines that are not such a pair, and list them, instead of stopping at the first.

    Returns:
        A frame "prompt", "chosen", "rejected" (texts, the answers stripped of blanks at both ends).
        `attrs["skipped"]`: a list of (row, reason).

    Raises:
        ValueError: naming file, row and column: a key is missing or no text, there is no answer, the prompts
            differ, an answer is empty, or the two answers are the same; with `skip`, only a line that
            is no record, or a file without a pair.
    """
    rows, skipped = [], []
    for row, record in read_lines(path):
        try:
            rows.append(_pair(record))
        except ValueError as error:
            if not skip:
                raise ValueError(f"{path}, row {row}, {error}") from None
            skipped.append((row, str(error)))
    if not rows:
        raise ValueError(f"{path}: there is no pair")
    pairs = pd.DataFrame(rows, columns=["prompt", "chosen", "rejected"])
    pairs.attrs["skipped"] = skipped
    return pairs


def _pair(record):
    for key in ("chosen", "rejected"):
        if not isinstance(record.get(key), str):
            raise ValueError(f"column {key!r}: there is no text")
        if ASSISTANT not in record[key]:
            raise ValueError(f"column {key!r}: there is no answer (no {ASSISTANT!r})")
    end = record["chosen"].rfind(ASSISTANT) + len(ASSISTANT)
    prompt = record["chosen"][:end]
    if not record["rejected"].startswith(prompt) or ASSISTANT in record["rejected"][end:]:
        raise ValueError("column 'rejected': it differs from 'chosen' before the last answer")
    answers = [record[key][end:].strip() for key in ("chosen", "rejected")]
    for key, answer in zip(("chosen", "rejected"), answers, strict=True):
        if not answer:
            raise ValueError(f"column {key!r}: the last answer is empty")
    if answers[0] == answers[1]:
        raise ValueError("column 'rejected': it is the same as 'chosen'")
    return prompt, *answers


def load_messages(path):
    """A feedback log from dialogues in the messages format: JSON lines, also .gz.

    A line: {"conversation_id": ..., "user_id": ..., "timestamp": ..., "messages": [{"role": "user", "content": ...},
    {"role": "assistant", "content": ..., "feedback": "thumbs_up"}, ...]}. A turn may have a "user_id" or a "timestamp" of
    its own; "label" (true or false) in place of "feedback" is fine; so are the other words of `load_feedback`.

    Args:
        path: of the file.

    Returns:
        A log with a row for each assistant turn that has a verdict. "prompt" is the user's message where it is the
        only one before the turn, else all before it as lines "role: content"; "messages" holds them as a list
        of dicts, for a chat template; "turn" is the position among the messages. `attrs["unrated"]` counts
        the assistant turns without a verdict, which are not in the log.

    Raises:
        ValueError: naming file, row and column: a key is missing, a role is unknown, a content is no text or
            empty, an assistant speaks first, a verdict is unknown or from another pair of words, a
            timestamp cannot be read; or there is no verdict at all.
    """
    rows, numbers, unrated = [], [], 0
    for row, record in read_lines(path):
        turns = _turns(record, f"{path}, row {row}, column")
        unrated += sum(turn["feedback"] is None for turn in turns)
        rows += [turn for turn in turns if turn["feedback"] is not None]
        numbers += [row] * (len(rows) - len(numbers))
    if not rows:
        raise ValueError(f"{path}: no assistant turn has a verdict")
    log = pd.DataFrame(rows)
    log["feedback"] = Verdicts(path).translate(log["feedback"].astype(object), numbers)
    times = pd.to_datetime(log["timestamp"].astype(object), errors="coerce", utc=True, format="ISO8601")
    if times.isna().any():
        at = int(times.isna().to_numpy().argmax())
        shown = rows[at]["timestamp"]
        raise ValueError(
            f"{path}, row {numbers[at]}, column 'timestamp': {shown!r} is no date and time (ISO 8601)"
        )
    log["timestamp"] = times.dt.tz_localize(None)
    log.attrs["unrated"] = unrated
    return log


def _turns(record, where):
    """The assistant turns of one dialogue as rows, rated or not."""
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"{where} 'messages': there is no list of messages")
    rows, before = [], []
    for place, message in enumerate(messages):
        here = f"{where} 'messages', message {place + 1}"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            raise ValueError(f"{here}: the role is {role!r}, not one of {', '.join(ROLES)}")
        content = message.get("content")
        if not isinstance(content, str) or not content.strip():
            raise ValueError(f"{here}: the content is empty or no text")
        if role == "assistant":
            if not any(said["role"] == "user" for said in before):
                raise ValueError(f"{here}: the assistant speaks before any user")
            rows.append(_row(record, message, place, before, where))
        before.append({"role": role, "content": content})
    return rows


def _row(record, message, place, before, where):
    own = {"conversation_id": record.get("conversation_id")}
    for key in ("user_id", "timestamp"):
        own[key] = message.get(key, record.get(key))
    verdict = message.get("feedback", message.get("label"))
    if verdict is not None:
        for key, value in own.items():
            if value is None or str(value).strip() == "":
                raise ValueError(f"{where} {key!r}: it is missing")
    alone = len(before) == 1
    return {
        "conversation_id": str(own["conversation_id"]),
        "prompt": before[0]["content"]
        if alone
        else "\n".join(f"{m['role']}: {m['content']}" for m in before),
        "response": message["content"],
        "user_id": str(own["user_id"]),
        "feedback": verdict,
        "timestamp": own["timestamp"] if isinstance(own["timestamp"], str) else None,
        "messages": list(before),
        "turn": place,
    }
