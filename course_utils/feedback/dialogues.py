"""Reading dialogues: Anthropic's hh-rlhf pairs, and the messages format with a verdict per turn."""

from itertools import islice

import pandas as pd

from course_utils.feedback.loaders import Verdicts, check_rows, read_lines

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
    pieces = list(stream_hh_rlhf(path, 50_000, skip))
    pairs = pd.concat(pieces)
    pairs.attrs["skipped"] = [found for piece in pieces for found in piece.attrs["skipped"]]
    return pairs


def stream_hh_rlhf(path, rows=10_000, skip=False):
    """The pairs in pieces, for files larger than memory: frames from at most `rows` lines, as `load_hh_rlhf` gives them.

    The index goes on from piece to piece; each piece's `attrs["skipped"]` tells of its own lines.

    Args:
        path, skip: as in `load_hh_rlhf`.
        rows: of a piece, at least 1.

    Raises:
        ValueError: as `load_hh_rlhf`; what is wrong further on is found when it is reached.
    """
    check_rows(rows)
    lines, start = read_lines(path), 0
    while records := list(islice(lines, rows)):
        found, skipped = [], []
        for row, record in records:
            try:
                found.append(_pair(record))
            except ValueError as error:
                if not skip:
                    raise ValueError(f"{path}, row {row}, {error}") from None
                skipped.append((row, str(error)))
        index = pd.RangeIndex(start, start + len(found))
        pairs = pd.DataFrame(found, index, columns=["prompt", "chosen", "rejected"], dtype="str")
        pairs.attrs["skipped"], start = skipped, start + len(found)
        yield pairs
    if start == 0:
        raise ValueError(f"{path}: there is no pair")


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
            empty, an assistant speaks first, a verdict is unknown, from another pair of words or on a message that is
            no assistant's, an id is no text, a timestamp cannot be read; or there is no verdict at all.
    """
    pieces = list(stream_messages(path, 50_000))
    log = pd.concat(pieces)
    log.attrs["unrated"] = sum(piece.attrs["unrated"] for piece in pieces)
    return log


def stream_messages(path, rows=10_000):
    """The log in pieces, for files larger than memory: frames from at most `rows` dialogues, as `load_messages` gives them.

    The index goes on from piece to piece; each piece's `attrs["unrated"]` counts its own turns.

    Args:
        path: as in `load_messages`.
        rows: dialogues of a piece, at least 1.

    Raises:
        ValueError: as `load_messages`; what is wrong further on is found when it is reached.
    """
    check_rows(rows)
    lines, verdicts, start, log = read_lines(path), Verdicts(path), 0, None
    unrated = 0  # turns since the last verdict; they are told with the piece before or after them
    while records := list(islice(lines, rows)):
        turns = [(n, t) for n, record in records for t in _turns(record, f"{path}, row {n}, column")]
        rated = [(n, turn) for n, turn in turns if turn["feedback"] is not None]
        unrated += len(turns) - len(rated)
        if rated:
            if log is not None:
                yield log
            log = _log(rated, path, verdicts)
            log.index, start = pd.RangeIndex(start, start + len(log)), start + len(log)
            log.attrs["unrated"], unrated = unrated, 0
    if log is None:
        raise ValueError(f"{path}: no assistant turn has a verdict")
    log.attrs["unrated"] += unrated
    yield log


def _log(rated, path, verdicts):
    """The frame of (row of the file, turn with a verdict)."""
    numbers = [number for number, _ in rated]
    log = pd.DataFrame([turn for _, turn in rated])
    log["feedback"] = verdicts.translate(log["feedback"].astype(object), numbers)
    given = log["timestamp"].astype(object)
    texts = given.map(lambda value: value if isinstance(value, str) else None)
    times = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
    if times.isna().any():
        at = int(times.isna().to_numpy().argmax())
        raise ValueError(
            f"{path}, row {numbers[at]}, column 'timestamp': {given[at]!r} is no date and time (ISO 8601)"
        )
    log["timestamp"] = times.dt.tz_localize(None)
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
        elif _verdict(message) is not None:
            raise ValueError(f"{here}: a verdict on a {role}'s message; it belongs to the assistant's")
        before.append({"role": role, "content": content})
    return rows


def _row(record, message, place, before, where):
    own = {"conversation_id": record.get("conversation_id")}
    for key in ("user_id", "timestamp"):
        own[key] = message.get(key, record.get(key))
    verdict = _verdict(message)
    if verdict is not None:
        for key, value in own.items():
            if value is None or str(value).strip() == "":
                raise ValueError(f"{where} {key!r}: it is missing")
            if key != "timestamp" and (isinstance(value, bool) or not isinstance(value, (str, int))):
                raise ValueError(f"{where} {key!r}: {value!r} is no text")
    alone = len(before) == 1
    return {
        "conversation_id": str(own["conversation_id"]),
        "prompt": before[0]["content"]
        if alone
        else "\n".join(f"{m['role']}: {m['content']}" for m in before),
        "response": message["content"],
        "user_id": str(own["user_id"]),
        "feedback": verdict,
        "timestamp": own["timestamp"],
        "messages": list(before),
        "turn": place,
    }


def _verdict(message):
    """What a message's "feedback" or, where that is missing or null, its "label" says; None where there is no verdict."""
    given = message.get("feedback")
    return message.get("label") if given is None else given
