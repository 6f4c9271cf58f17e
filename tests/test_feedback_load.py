"""Loading logs: every format gives the same frame, and every fault is named with file, row and column."""

import gzip
import json

import pandas as pd
import pytest

from course_utils.feedback import (
    load_feedback,
    load_hh_rlhf,
    load_messages,
    stream_feedback,
    stream_hh_rlhf,
    stream_messages,
)

ROWS = [
    {"conversation_id": "c1", "prompt": "what, exactly ?", "response": 'it is "42"', "user_id": "007",
     "feedback": "thumbs_up", "timestamp": "2026-01-05T10:00:00", "content_warning": False},
    {"conversation_id": "c2", "prompt": "line\nbreak", "response": "NA", "user_id": "u2",
     "feedback": "thumbs_down", "timestamp": "2026-01-05T11:30:00", "content_warning": True},
    {"conversation_id": "c3", "prompt": "ça va ?", "response": " yes ", "user_id": "u3",
     "feedback": "thumbs_up", "timestamp": "2026-01-06T09:00:00", "content_warning": False},
]  # fmt: skip
FORMATS = ("csv", "csv.gz", "parquet", "jsonl", "jsonl.gz")


def write(tmp_path, rows, kind, name="log"):
    path = tmp_path / f"{name}.{kind}"
    frame = pd.DataFrame(rows)
    if kind.startswith("csv"):
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        opened = gzip.open if kind.endswith("gz") else open
        with opened(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def changed(row, **values):
    rows = [dict(r) for r in ROWS]
    rows[row - 1] |= values
    return rows


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_frame(tmp_path, kind):
    log = load_feedback(write(tmp_path, ROWS, kind))
    wanted = pd.DataFrame(ROWS).assign(timestamp=lambda f: pd.to_datetime(f["timestamp"]))
    assert list(log.columns) == list(wanted.columns)
    for column in log.columns:
        assert log[column].tolist() == wanted[column].tolist(), column
    assert log["content_warning"].dtype == bool
    assert str(log["timestamp"].dtype).startswith("datetime64")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("row", "fault", "column"),
    [
        (2, {"prompt": "  "}, "prompt"),
        (3, {"response": ""}, "response"),
        (1, {"user_id": ""}, "user_id"),
        (2, {"feedback": "banana"}, "feedback"),
        (3, {"feedback": "1"}, "feedback"),
        (2, {"feedback": ""}, "feedback"),
        (3, {"timestamp": "yesterday"}, "timestamp"),
        (2, {"timestamp": ""}, "timestamp"),
    ],
)
def test_a_fault_is_named_with_file_row_and_column(tmp_path, kind, row, fault, column):
    path = write(tmp_path, changed(row, **fault), kind)
    with pytest.raises(ValueError) as error:
        load_feedback(path)
    assert str(path) in str(error.value)
    assert f"row {row}" in str(error.value) and repr(column) in str(error.value), error.value


def test_mixed_verdicts_say_what_stood_before(tmp_path):
    path = write(tmp_path, changed(3, feedback="1"), "csv")
    with pytest.raises(ValueError, match="'1' among verdicts that are 'thumbs_up' and 'thumbs_down'"):
        load_feedback(path)


@pytest.mark.parametrize(
    ("ups", "downs"),
    [(1, 0), (True, False), ("1", "-1"), ("up", "down"), ("Thumbs_Up", "THUMBS_DOWN"), (1.0, 0.0)],
)
def test_other_words_for_the_verdicts_are_translated(tmp_path, ups, downs):
    rows = [row | {"feedback": ups if row["feedback"] == "thumbs_up" else downs} for row in ROWS]
    for kind in FORMATS:
        log = load_feedback(write(tmp_path, rows, kind))
        assert log["feedback"].tolist() == ["thumbs_up", "thumbs_down", "thumbs_up"], kind


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_column_is_named(tmp_path, kind):
    rows = [{k: v for k, v in row.items() if k != "user_id"} for row in ROWS]
    with pytest.raises(ValueError, match="'user_id' is missing; there are conversation_id"):
        load_feedback(write(tmp_path, rows, kind))


def test_a_key_that_one_record_lacks(tmp_path):
    rows = [dict(row) for row in ROWS]
    del rows[1]["response"]
    with pytest.raises(ValueError, match="row 2, column 'response'"):
        load_feedback(write(tmp_path, rows, "jsonl"))


def test_empty_responses_pass_where_they_are_wanted(tmp_path):
    for kind in FORMATS:
        log = load_feedback(write(tmp_path, changed(2, response=""), kind), keep_empty=True)
        assert log["response"].iloc[1] == ""
    log = load_feedback(write(tmp_path, changed(2, response=None), "jsonl"), keep_empty=True)
    assert log["response"].isna().tolist() == [False, True, False]


def test_further_columns_are_kept_and_the_warning_may_be_missing(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "content_warning"} | {"model": "m1"} for row in ROWS]
    log = load_feedback(write(tmp_path, rows, "csv"))
    assert log["model"].tolist() == ["m1"] * 3
    assert "content_warning" not in log


def test_a_bad_warning_is_named(tmp_path):
    with pytest.raises(ValueError, match="row 2, column 'content_warning': 'perhaps'"):
        load_feedback(write(tmp_path, changed(2, content_warning="perhaps"), "jsonl"))


def test_time_zones_become_utc(tmp_path):
    log = load_feedback(write(tmp_path, changed(1, timestamp="2026-01-05T10:00:00+02:00"), "jsonl"))
    assert log["timestamp"].iloc[0] == pd.Timestamp("2026-01-05T08:00:00")


def test_whole_numbers_as_ids_become_texts_and_numbers_as_texts_do_not_pass(tmp_path):
    rows = [row | {"user_id": 7} for row in ROWS]
    assert load_feedback(write(tmp_path, rows, "jsonl"))["user_id"].tolist() == ["7"] * 3
    with pytest.raises(ValueError, match="row 2, column 'response': '42' is no text"):
        load_feedback(write(tmp_path, changed(2, response=42), "jsonl"))


def test_broken_files(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n\n{broken\n")
    with pytest.raises(ValueError, match="a.jsonl, row 2"):
        load_feedback(path)
    path = tmp_path / "b.csv"
    path.write_text(
        "conversation_id,prompt,response,user_id,feedback,timestamp\na,b,c,d,thumbs_up,2026-01-05,x,y\n"
    )
    with pytest.raises(ValueError, match="b.csv"):
        load_feedback(path)
    path.write_text("conversation_id,prompt,response,user_id,feedback,timestamp\na,b,c\n")
    with pytest.raises(ValueError, match="b.csv, row 1, column 'user_id'"):
        load_feedback(path)
    path.write_text("prompt,conversation_id,prompt,response,user_id,feedback,timestamp\n" + "a," * 6 + "a\n")
    with pytest.raises(ValueError, match="'prompt' is there 2 times"):
        load_feedback(path)
    for name, content in (
        ("c.csv", ""),
        ("d.jsonl", ""),
        ("e.csv", ",".join(ROWS[0]) + "\n"),
        ("f.parquet", "no"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=name):
            load_feedback(tmp_path / name)
    (tmp_path / "g.xlsx").write_text("")
    for name in ("g.xlsx", "not-there.csv"):
        with pytest.raises(ValueError, match=name):
            load_feedback(tmp_path / name)


HEADER = "conversation_id,prompt,response,user_id,feedback,timestamp\n"
LINE = "a,b,c,d,thumbs_up,2026-01-05\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", (HEADER + LINE + "a,\xe9,c,d,thumbs_up,2026-01-05\n").encode("latin-1"), ", line 3"),
        ("a.csv", (HEADER + LINE).encode("utf-16"), ", line 1"),
        ("a.csv", (HEADER + LINE[:-1] + ",more\n").encode(), ", row 1: there are more fields"),
        ("a.csv.gz", (HEADER + LINE).encode(), ": Not a gzipped file"),
        ("a.csv.gz", gzip.compress((HEADER + LINE).encode(), mtime=0)[:-9], ": Compressed file ended"),
        (
            "a.jsonl.gz",
            gzip.compress(json.dumps(ROWS[0]).encode() + b"\n", mtime=0)[:-9],
            ", after row 1: Compressed",
        ),
        ("a.jsonl", json.dumps(ROWS[0]).encode() + b"\n{\xe9", ", row 2: 'utf-8' codec"),
        ("a.jsonl", b"{" * 3 + b"[" * 100_000, ", row 1: "),
        ("a.jsonl", json.dumps(ROWS[0] | {"prompt": "\ud83d"}).encode(), ", row 1, column 'prompt': a lone"),
    ],
)
def test_what_no_text_editor_shows_is_named(tmp_path, name, content, words):
    """Other encodings, files cut short or not compressed at all, half characters."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        load_feedback(tmp_path / name)
    assert f"{tmp_path / name}{words}" in str(error.value)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.jsonl.gz"])
def test_a_byte_order_mark_does_no_harm(tmp_path, name):
    whole = (HEADER + LINE).encode() if "csv" in name else json.dumps(ROWS[0]).encode()
    marked = b"\xef\xbb\xbf" + whole
    (tmp_path / name).write_bytes(gzip.compress(marked) if name.endswith("gz") else marked)
    assert load_feedback(tmp_path / name).columns[0] == "conversation_id"


def test_dates_of_a_parquet_file_are_times(tmp_path):
    rows = [row | {"timestamp": pd.Timestamp("2026-01-05").date()} for row in ROWS]
    assert load_feedback(write(tmp_path, rows, "parquet"))["timestamp"][0] == pd.Timestamp("2026-01-05")


@pytest.mark.parametrize("kind", FORMATS)
def test_streaming_gives_the_same_rows_and_counts_on(tmp_path, kind):
    rows = [row | {"conversation_id": f"c{i}"} for i in range(9) for row in ROWS]
    path = write(tmp_path, rows, kind)
    pieces = list(stream_feedback(path, rows=10))
    assert [len(piece) for piece in pieces] == [10, 10, 7]
    assert pieces[2].index.tolist() == list(range(20, 27))
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), load_feedback(path))
    rows[24]["feedback"] = "0"  # another pair of words, in a later piece
    stream = stream_feedback(write(tmp_path, rows, kind), rows=10)
    assert len(next(stream)) == 10
    with pytest.raises(ValueError, match="row 25, column 'feedback'"):
        list(stream)
    with pytest.raises(ValueError, match="rows must be at least 1"):
        next(stream_feedback(path, rows=0))


# --- dialogues -----------------------------------------------------------------------------------

TALK = "\n\nHuman: hello\n\nAssistant: hi\n\nHuman: and now ?\n\nAssistant:"


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_hh_rlhf(tmp_path):
    path = write_lines(tmp_path / "hh.jsonl", [{"chosen": TALK + " this", "rejected": TALK + " that\n"}])
    pairs = load_hh_rlhf(path)
    assert pairs.to_dict("records") == [{"prompt": TALK, "chosen": "this", "rejected": "that"}]
    assert pairs.attrs["skipped"] == []


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"chosen": TALK + " a"}, "column 'rejected': there is no text"),
        ({"chosen": "hello", "rejected": "hello"}, "column 'chosen': there is no answer"),
        (
            {"chosen": TALK + " a", "rejected": "\n\nHuman: no\n\nAssistant: b"},
            "differs from 'chosen' before",
        ),
        (
            {"chosen": TALK + " a", "rejected": TALK + " b\n\nHuman: x\n\nAssistant: c"},
            "differs from 'chosen' before",
        ),
        ({"chosen": TALK + " a", "rejected": TALK + "  "}, "column 'rejected': the last answer is empty"),
        ({"chosen": TALK + " a", "rejected": TALK + " a"}, "the same as 'chosen'"),
    ],
)
def test_hh_rlhf_faults(tmp_path, record, words):
    good = {"chosen": TALK + " this", "rejected": TALK + " that"}
    path = write_lines(tmp_path / "hh.jsonl", [good, record])
    with pytest.raises(ValueError, match="hh.jsonl, row 2") as error:
        load_hh_rlhf(path)
    assert words in str(error.value)
    pairs = load_hh_rlhf(path, skip=True)
    assert len(pairs) == 1
    assert pairs.attrs["skipped"][0][0] == 2 and words in pairs.attrs["skipped"][0][1]


def talk(**values):
    return {
        "conversation_id": "c1", "user_id": "u1", "timestamp": "2026-01-05T10:00:00",
        "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "hi", "feedback": "thumbs_up"},
            {"role": "user", "content": "and now ?"},
            {"role": "assistant", "content": "nothing", "feedback": "thumbs_down"},
            {"role": "user", "content": "well"},
            {"role": "assistant", "content": "well"},
        ],
    } | values  # fmt: skip


def test_messages(tmp_path):
    log = load_messages(write_lines(tmp_path / "m.jsonl", [talk()]))
    assert log["prompt"].tolist() == ["hello", "user: hello\nassistant: hi\nuser: and now ?"]
    assert log["response"].tolist() == ["hi", "nothing"]
    assert log["feedback"].tolist() == ["thumbs_up", "thumbs_down"]
    assert log["turn"].tolist() == [1, 3]
    assert log["messages"].iloc[0] == [{"role": "user", "content": "hello"}]
    assert log.attrs["unrated"] == 1
    assert log["timestamp"].iloc[0] == pd.Timestamp("2026-01-05T10:00:00")


def test_messages_with_labels(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "label": False}]
    log = load_messages(write_lines(tmp_path / "m.jsonl", [talk(messages=turns)]))
    assert log["feedback"].tolist() == ["thumbs_down"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (talk(messages=[]), "column 'messages': there is no list"),
        (talk(messages=[{"role": "robot", "content": "a"}]), "message 1: the role is 'robot'"),
        (talk(messages=[{"role": "user", "content": " "}]), "message 1: the content is empty"),
        (talk(messages=[{"role": "assistant", "content": "a"}]), "speaks before any user"),
        (talk(user_id=None), "column 'user_id': it is missing"),
        (talk(timestamp="soon"), "column 'timestamp': 'soon'"),
        (talk(timestamp=17), "column 'timestamp': 17"),
        (talk(user_id=["u"]), "column 'user_id': ['u'] is no text"),
        (talk(messages=[{"role": "user", "content": "a", "label": True}]), "message 1: a verdict on a user's"),
        (talk(messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "feedback": 1}]),
         "column 'feedback': '1' among verdicts"),
    ],
)  # fmt: skip
def test_messages_faults(tmp_path, record, words):
    path = write_lines(tmp_path / "m.jsonl", [talk(), record])
    with pytest.raises(ValueError, match="m.jsonl, row 2") as error:
        load_messages(path)
    assert words in str(error.value)


def test_dialogues_in_pieces_are_those_of_the_whole(tmp_path):
    bare = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    told = [bare[0], bare[1] | {"feedback": None, "label": False}]
    talks = [talk(messages=bare), talk(), talk(messages=bare), talk(), talk(messages=bare)]
    path = write_lines(tmp_path / "m.jsonl", talks)
    whole, pieces = load_messages(path), list(stream_messages(path, 1))
    pd.testing.assert_frame_equal(pd.concat(pieces), whole)
    assert whole.attrs["unrated"] == sum(piece.attrs["unrated"] for piece in pieces) == 5
    path = write_lines(tmp_path / "n.jsonl", [talk(messages=told)])
    assert load_messages(path)["feedback"].tolist() == ["thumbs_down"]
    good = {"chosen": TALK + " this", "rejected": TALK + " that"}
    path = write_lines(tmp_path / "hh.jsonl", [{"chosen": "x"}, good, good])
    whole, pieces = load_hh_rlhf(path, skip=True), list(stream_hh_rlhf(path, 1, skip=True))
    pd.testing.assert_frame_equal(pd.concat(pieces), whole)
    assert whole.index.tolist() == [0, 1] and [len(piece.attrs["skipped"]) for piece in pieces] == [1, 0, 0]
    for stream in (stream_messages, stream_hh_rlhf):
        with pytest.raises(ValueError, match="rows must be"):
            next(stream(path, 0))


def test_messages_without_a_verdict(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(ValueError, match="no assistant turn has a verdict"):
        load_messages(write_lines(tmp_path / "m.jsonl", [talk(messages=turns)]))
