"""`python -m course_utils serve`: what it says where it cannot start."""

import socket

import pytest

from course_utils.__main__ import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """The default store is a file of the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "/no/such/model"], "there is no folder /no/such/model"),
        (["--stub", "--tokens", "none.json"], "none.json"),
        (["--stub", "--tokens", "broken.json"], "--tokens: broken.json is no JSON"),
        (["--stub", "--database", "banana"], "url: "),
        (["--stub", "--database", "sqlite:////no/such/folder/s.db"], "unable to open database file"),
        (["--stub", "--share", "2"], "share"),
        (["--stub", "--rate", "-1"], "rate"),
        (["--stub", "--queue", "0"], "queue must be at least 1"),
        (["--stub", "--delay", "nan"], "delay"),
        (["--stub", "--treatment", "model"], "--treatment: the stub brings its own"),
        (["--stub", "--port", "70000"], "--port must be from 0 to 65535"),
        (["--stub", "--tokens", "list.json"], "tokens must be a dict"),
        (["--stub", "--database", "postgresql://u:secret@h:port/x"], "url: "),
    ],
)
def test_a_wrong_option_is_told_in_a_line(options, words, tmp_path, capsys):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text('["a token of twenty letters"]')
    assert main(["serve", "--port", "0", *options]) == 1
    told = capsys.readouterr().err
    assert told.startswith("serve: ") and words in told and told.count("\n") == 1
    assert "secret" not in told and "twenty letters" not in told


def test_a_port_that_is_taken_is_told_in_a_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--stub", "--port", str(taken.getsockname()[1])]) == 1
    told = capsys.readouterr().err
    assert told.startswith("serve: ") and "in use" in told and told.count("\n") == 1
