"""Two replicas of the service over one PostgreSQL: one is killed under load, the other goes on.

The database is a fresh cluster in a temporary folder, on a free port of this machine. Skipped, with the reason,
where PostgreSQL's programs are missing or cannot be run by somebody who is not root, as they demand; in CI
that is a failure, since CI installs them.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from voters import ADMIN_TOKEN, TOKENS, USERS, Voters, ask, client, row

from course_utils.serving.routing import assign_variant
from course_utils.serving.running import ServerProcess, write_tokens
from course_utils.serving.store import open_store


def programs():
    """The folder of initdb and pg_ctl, or None; Debian keeps it out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    if found:
        return found[-1].parent
    return Path(shutil.which("initdb")).parent if shutil.which("initdb") else None


def not_root():
    """(words before a command, owner of its files) that make it run as somebody else than root, or None."""
    if os.geteuid() != 0:
        return [], None
    # in a user namespace a normal user looks like root and may not become "postgres"; a nested one hides that
    for words, owner in (
        (["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"], "postgres"),
        (["unshare", "--user"], None),
    ):
        tried = [*words, "sh", "-c", 'test "$(id -u)" != 0']
        if shutil.which(words[0]) and subprocess.run(tried, capture_output=True).returncode == 0:
            return words, owner
    return None


def impossible(reason):
    """Skip, but in CI fail: there nobody would see that the test no longer runs."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="module")
def postgres():
    """The URL of an empty database."""
    where = programs()
    if where is None:
        impossible("PostgreSQL is not installed (on Debian or Ubuntu: apt-get install postgresql)")
    user = not_root()
    if user is None:
        impossible("PostgreSQL refuses to run as root, and nobody else can be had here")
    words, owner = user
    # not pytest's own folder: only its owner may enter that
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    if owner:
        shutil.chown(folder, owner)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def run(program, *options):
        command = [*words, str(where / program), "-D", f"{folder}/data", *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, done.stderr[-2000:]

    run("initdb", "-A", "trust", "-U", "tests", "--no-sync", "--encoding=UTF8", "--locale=C")
    # -F: nothing waits for the disk; it is a replica that is killed here, not the database
    options = f"-F -p {port} -k {folder} -c listen_addresses=127.0.0.1"
    run("pg_ctl", "-w", "-o", options, "-l", f"{folder}/log", "start")
    yield f"postgresql+psycopg://tests@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def test_one_of_two_replicas_is_killed_and_nothing_acknowledged_is_lost(postgres, tmp_path):
    tokens = write_tokens(tmp_path / "tokens.json", TOKENS)
    options = [
        "--stub",
        "--database",
        postgres,
        "--tokens",
        tokens,
        "--rate",
        1e6,
        "--share",
        0.3,
        "--salt",
        "trial",
    ]
    with ServerProcess(*options) as first, ServerProcess(*options) as second:
        dying, living = Voters(first.url, threads=4), Voters(second.url, threads=4)
        try:
            dying.wait_for(votes=100)
            first.kill()
            before = len(living.acknowledged)
            living.wait_for(votes=before + 100)
        finally:
            dying.stop()
            living.stop()
        assert dying.broken == 4 and living.broken == 0
        assert not dying.refused and not living.refused

        # every vote that either acknowledged is there, and its answer too
        store = open_store(postgres)
        frame = store.feedback_frame()
        stored = dict(zip(frame["conversation_id"], frame["feedback"], strict=True))
        acknowledged = dying.acknowledged | living.acknowledged
        assert acknowledged.items() <= stored.items()
        assert len(store.requests_frame()) >= len(dying.handed_out) + len(living.handed_out)
        # the replicas agreed about every user
        assert store.votes_by_user("trial").groupby("user_id")["variant"].nunique().max() == 1

        # the survivor knows what the dead one handed out
        with client(second.url) as http:
            key, value = next(iter(dying.acknowledged.items()))
            other = {"thumbs_up": "thumbs_down", "thumbs_down": "thumbs_up"}[value]
            answers = [
                http.post("/feedback", json={"request_id": key, "vote": vote}) for vote in (value, other)
            ]
            assert [a.status_code for a in answers] == [200, 409]
            assert http.post("/feedback", json={"request_id": "0" * 32, "vote": value}).status_code == 404

        # one replica comes back with the old share, is ramped, and the other follows
        with (
            ServerProcess(*options) as third,
            client(third.url, ADMIN_TOKEN) as admin,
            client(second.url) as http,
        ):
            assert admin.post("/rollout", json={"share": 0.7}).status_code == 200
            time.sleep(2.5)
            keys = {user: ask(http, user) for user in USERS}
            for key in keys.values():
                http.post("/feedback", json={"request_id": key, "vote": "thumbs_up"})
            variants = store.feedback_frame().set_index("conversation_id")["variant"]
            assert {u: variants[k] for u, k in keys.items()} == {
                u: assign_variant(u, 0.7, "trial") for u in USERS
            }
    store.close()


def test_texts_of_all_kinds_come_back_as_they_went(postgres):
    store = open_store(postgres)
    text = "ünïcode \N{GRINNING FACE} \x01 '; DROP TABLE requests; -- %s :name \n\t"
    store.record_request(**row("e" * 32, prompt=text, response=text))
    assert store.record_vote("e" * 32, "thumbs_up") == "stored"
    found = store.feedback_frame().set_index("conversation_id").loc["e" * 32]
    assert found["prompt"] == found["response"] == text
    assert str(store.feedback_frame()["timestamp"].dtype).startswith("datetime64")
    store.close()
