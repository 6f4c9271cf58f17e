"""The service over HTTP: its answers, its refusals, its roll-out; and as a process that is killed."""

import asyncio
import concurrent.futures
import json
import logging
import statistics
import time

import httpx
import pytest
from voters import ADMIN_TOKEN, OTHER_TOKEN, TOKENS, USERS, Voters, ask, client

from course_utils.serving.app import create_app
from course_utils.serving.dashboard import dashboard, read_metrics
from course_utils.serving.engine import BadPrompt, StubEngine
from course_utils.serving.limits import Clients, Limits
from course_utils.serving.routing import assign_variant
from course_utils.serving.running import ServerProcess, serve_in_thread, write_tokens
from course_utils.serving.store import open_store

FREE = {"rate": 1e6, "burst": 1e6}


def stubs(delay=0.0):
    """Two engines that answer alike."""
    return {name: StubEngine(delay=delay, version=f"stub-{name}") for name in ("control", "treatment")}


def served(tmp_path, engines=None, limits=Limits(**FREE), **settings):  # noqa: B008
    """The app on a new SQLite file, served from a thread; its store is app.state.service.store."""
    app = create_app(
        engines or stubs(), open_store(f"sqlite:///{tmp_path}/s.db"), tokens=TOKENS, limits=limits, **settings
    )
    return app, serve_in_thread(app)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """(app, address) of a service that several tests share."""
    app, server = served(tmp_path_factory.mktemp("service"), share=0.3, salt="trial")
    with server as url:
        yield app, url


@pytest.fixture
def http(running):
    """A client of the shared service."""
    with client(running[1]) as http:
        yield http


def vote(http, key, value="thumbs_up"):
    """The answer to a vote."""
    return http.post("/feedback", json={"request_id": key, "vote": value})


# --- what it answers ---------------------------------------------------------------------------


def test_an_answer_is_stored_with_its_model_and_a_vote_joins_it(running, http):
    key = ask(http, "ann", "what eats a fox?")
    assert vote(http, key, "thumbs_down").json() == {"result": "stored"}
    frame = running[0].state.service.store.feedback_frame().set_index("conversation_id")
    row = frame.loc[key]
    assert (row["prompt"], row["response"], row["feedback"]) == (
        "what eats a fox?", "You said: what eats a fox?", "thumbs_down",
    )  # fmt: skip
    assert (
        row["variant"] == assign_variant("ann", 0.3, "trial")
        and row["model_version"] == f"stub-{row['variant']}"
    )
    assert "ann" not in row["user_id"] and len(row["user_id"]) == 64


def test_a_second_vote_does_no_harm_and_a_changed_one_is_refused(http):
    key = ask(http)
    assert [vote(http, key).status_code for _ in range(2)] == [200, 200]
    assert vote(http, key).json() == {"result": "already"}
    assert vote(http, key, "thumbs_down").status_code == 409


def test_the_same_vote_from_many_at_once_counts_once(running, http):
    key = ask(http)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = [r.json()["result"] for r in pool.map(lambda _: vote(http, key), range(16))]
    assert sorted(results) == ["already"] * 15 + ["stored"]


def test_votes_on_nothing_or_on_anothers_answer_find_nothing(running, http):
    assert vote(http, "0" * 32).status_code == 404
    with client(running[1], OTHER_TOKEN) as other:
        assert vote(other, ask(http)).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/chat", b"{", 422),
        ("/chat", b"\xc3\x28", 400),
        ("/chat", b"", 422),
        ("/chat", b"[]", 422),
        ("/chat", b'{"a":' * 10_000, 400),
        ("/chat", b'{"user_id": "u"}', 422),
        ("/chat", b'{"user_id": "u", "prompt": ""}', 422),
        ("/chat", b'{"user_id": 5, "prompt": "p"}', 422),
        ("/chat", b'{"user_id": "u", "prompt": "p", "more": 1}', 422),
        ("/chat", b'{"user_id": "u", "prompt": "a\\u0000b"}', 422),
        ("/chat", b'{"user_id": "u", "prompt": "\\ud800"}', 422),
        ("/chat", b'{"user_id": "u", "prompt": "p", "\\ud800": 1}', 422),
        ("/chat", json.dumps({"user_id": "u", "prompt": "x" * 4001}).encode(), 422),
        ("/chat", json.dumps({"user_id": "u" * 129, "prompt": "x"}).encode(), 422),
        ("/chat", b" " * 65_537, 413),
        ("/feedback", b'{"request_id": "never-issued", "vote": "thumbs_up"}', 422),
        ("/feedback", b'{"request_id": "%s", "vote": "banana"}' % (b"0" * 32), 422),
        ("/feedback", b'{"request_id": "%s", "vote": 1}' % (b"0" * 32), 422),
        ("/feedback?request_id=never-issued&feedback=banana", b"", 422),
        ("/nowhere", b"", 404),
        ("/metrics", b"", 405),
    ],
)
def test_bad_input_is_the_clients_fault(http, path, body, status):
    answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert status == 413 or answer.json()["detail"]


@pytest.mark.parametrize("share", [True, "0.5", None, 1.5])
def test_a_share_is_a_number(running, share):
    """JSON's true is no 1: it would give everybody the treatment."""
    with client(running[1], ADMIN_TOKEN) as admin:
        assert admin.post("/rollout", json={"share": share}).status_code == 422
    assert running[0].state.service.share == 0.3


def test_a_body_without_a_declared_size_is_cut_off_too(http):
    before = read_metrics(http.get("/metrics").text)["refused"].get("too large", 0)
    assert http.post("/chat", content=(b"x" * 1000 for _ in range(100))).status_code == 413
    assert read_metrics(http.get("/metrics").text)["refused"]["too large"] == before + 1


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", "Basic dG9rZW4=", f"Bearer {list(TOKENS)[0]}x"]
)
def test_without_a_known_token_nothing_is_answered(running, header):
    headers = {"Authorization": header} if header else {}
    answer = httpx.post(running[1] + "/chat", json={"user_id": "u", "prompt": "p"}, headers=headers)
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_openapi_page_declares_every_refusal_and_loads_nothing_from_elsewhere(http):
    document = http.get("/openapi.json").json()
    declared = {path: set(op["responses"]) for path, ops in document["paths"].items() for op in ops.values()}
    assert {"200", "400", "401", "413", "422", "429", "503"} <= declared["/chat"] & (declared["/feedback"])
    assert {"404", "409"} <= declared["/feedback"] and {"403", "409"} <= declared["/rollout"]
    page = http.get("/docs").text
    assert all(path in page for path in declared) and "thumbs_up" in page
    assert "<script" not in page and "http://" not in page and "https://" not in page


def test_what_happened_stands_in_the_metrics_and_the_dashboard(running, http):
    before = read_metrics(http.get("/metrics").text)
    vote(http, ask(http))
    vote(http, "nothing")
    http.get("/a/path/made/up")
    text = http.get("/metrics").text
    after = read_metrics(text)

    def more(*path):
        first, second = before, after
        for step in path[:-1]:
            first, second = (
                first.get(step, {}),
                second[step],
            )  # a variant that nobody asked before has no line
        return second.get(path[-1], 0) - first.get(path[-1], 0)

    assert more("requests", ("/chat", "200")) == 1 and more("requests", ("/feedback", "422")) == 1
    assert more("requests", ("other", "404")) == 1 and more("refused", "invalid") == 1
    variant = assign_variant("someone", 0.3, "trial")
    assert more("votes", (variant, "thumbs_up")) == 1 and more("latency", variant, "count") == 1
    assert after["share"] == 0.3 and after["queues"] == {"control": 0, "treatment": 0, "votes": 0}
    figure, said = dashboard(text, running[0].state.service.store)
    assert len(figure.axes) == 3 and "answers, p95" in said


# --- under pressure ----------------------------------------------------------------------------


def test_other_requests_are_answered_while_a_second_of_generation_runs(tmp_path):
    _, server = served(tmp_path, stubs(delay=1.0))
    with server as url, client(url) as http, concurrent.futures.ThreadPoolExecutor(1) as pool:
        http.get("/health")
        job = pool.submit(ask, http)
        time.sleep(0.1)
        seconds = []
        while not job.done() and len(seconds) < 10:
            start = time.perf_counter()
            assert http.get("/health").status_code == 200
            seconds.append(time.perf_counter() - start)
        assert not job.done() or len(seconds) > 3
        assert statistics.median(seconds) < 0.1
        job.result()


def test_prompts_that_come_together_share_a_call(tmp_path):
    app, server = served(tmp_path, stubs(delay=0.3))
    with server as url, client(url) as http, concurrent.futures.ThreadPoolExecutor(16) as pool:
        start = time.perf_counter()
        assert len(set(pool.map(lambda i: ask(http, f"u{i}"), range(16)))) == 16
        assert time.perf_counter() - start < 16 * 0.3 / 2  # one after the other: 4.8 s


def test_a_full_queue_says_when_to_come_back(tmp_path):
    limits = Limits(queue=2, max_batch=1, **FREE)
    _, server = served(tmp_path, stubs(delay=0.5), limits)
    body = {"user_id": "u", "prompt": "p"}
    with server as url, client(url) as http, concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.post("/chat", json=body), range(8)))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503} and statuses.count(200) >= 2
        assert all(int(a.headers["Retry-After"]) >= 1 for a in answers if a.status_code == 503)
        assert http.post("/chat", json=body).status_code == 200  # and it goes on


def test_a_client_beyond_its_rate_waits_and_others_do_not(tmp_path):
    _, server = served(tmp_path, limits=Limits(rate=0.5, burst=3))
    body = {"user_id": "u", "prompt": "p"}
    with server as url, client(url) as http, client(url, OTHER_TOKEN) as other:
        answers = [http.post("/chat", json=body) for _ in range(5)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
        assert int(answers[-1].headers["Retry-After"]) in (1, 2)
        assert other.post("/chat", json=body).status_code == 200


class Moody:
    """An engine that fails on some prompts, and takes its time on others."""

    version = "moody"

    def generate(self, prompts):
        """Fails as the prompt says."""
        if "fail" in prompts:
            raise RuntimeError("a fault of the model")
        if "long" in prompts:
            raise BadPrompt("the prompt has 99 tokens")
        if "slow" in prompts:
            time.sleep(1.0)
        return ["a\0b" for _ in prompts]


def test_a_failing_engine_harms_only_what_failed(tmp_path, caplog):
    app, server = served(tmp_path, {"control": Moody()}, Limits(timeout=0.3, **FREE))
    caplog.set_level(logging.CRITICAL, "course_utils.serving.app")
    with server as url, client(url) as http:

        def status(prompt):
            return http.post("/chat", json={"user_id": "u", "prompt": prompt}).status_code

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(status, ["fine", "fail", "long", "fine"])) == [200, 503, 422, 200]
        assert status("slow") == 503
        time.sleep(0.2)
        assert http.get("/health").json()["parts"]["control"] == "stuck"
        time.sleep(0.9)
        assert status("fine") == 200 and http.get("/health").status_code == 200
        assert (
            len(app.state.service.store.requests_frame()) == 4
        )  # the slow answer was stored, though nobody got it


def test_without_its_store_it_hands_out_nothing_and_says_so(tmp_path, caplog):
    app, server = served(tmp_path)
    with server as url, client(url) as http:
        key = ask(http)
        with app.state.service.store.engine.begin() as connection:
            for table in ("feedback", "requests"):
                connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_away")
        answers = [http.post("/chat", json={"user_id": "u", "prompt": "secret words"}), vote(http, key)]
        assert "secret words" not in caplog.text and "no such table" in caplog.text
        assert [a.status_code for a in answers] == [503, 503] and all(
            "Retry-After" in a.headers for a in answers
        )
        app.state.service.store.ping = lambda: (_ for _ in ()).throw(ConnectionError())
        health = http.get("/health")
        assert health.status_code == 503 and health.json()["parts"]["store"] == "not reached: ConnectionError"


# --- the roll-out ------------------------------------------------------------------------------


def variants(service, share):
    """The users' variants, as the service says; they must be those of the share."""
    assert service.share == share
    found = {user: service.variant(user) for user in USERS}
    assert found == {user: assign_variant(user, share, service.salt) for user in USERS}
    return {user for user, variant in found.items() if variant == "treatment"}


def test_a_ramp_only_adds_users_and_a_roll_back_is_for_good(tmp_path):
    app, server = served(tmp_path, share=0.1, salt="ramp")
    service, store_url = app.state.service, f"sqlite:///{tmp_path}/s.db"
    with server as url, client(url) as http, client(url, ADMIN_TOKEN) as admin:
        first = variants(service, 0.1)
        assert http.post("/rollout", json={"share": 0.5}).status_code == 403
        assert admin.post("/rollout", json={"share": 0.5}).json() == {"share": 0.5}
        assert first < variants(service, 0.5)
        assert admin.post("/rollout", json={"share": 0.2}).status_code == 409
        variants(service, 0.5)
    # a restart with the old share, and a replica: both go on at the share that was reached
    again = create_app(stubs(), open_store(store_url), 0.1, "ramp", TOKENS, Limits(refresh=0.1, **FREE))
    replica = create_app(stubs(), open_store(store_url), 0.1, "ramp", TOKENS, Limits(refresh=0.1, **FREE))
    with serve_in_thread(again) as url, serve_in_thread(replica), client(url, ADMIN_TOKEN) as admin:
        variants(again.state.service, 0.5)
        assert admin.post("/rollback").json() == {"share": 0.0}
        assert admin.post("/rollout", json={"share": 0.9}).status_code == 409
        time.sleep(0.5)
        assert variants(again.state.service, 0.0) == variants(replica.state.service, 0.0) == set()


def test_a_ramp_moves_nobody_back_who_goes_from_one_replica_to_another(tmp_path):
    store_url, limits = f"sqlite:///{tmp_path}/s.db", Limits(refresh=0.5, **FREE)
    apps = [create_app(stubs(), open_store(store_url), 0.1, "ramp", TOKENS, limits) for _ in "ab"]
    a, b = (app.state.service for app in apps)
    with serve_in_thread(apps[0]) as url, serve_in_thread(apps[1]), client(url, ADMIN_TOKEN) as admin:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            ramped, seen = pool.submit(admin.post, "/rollout", json={"share": 0.5}), []
            while not ramped.done():
                seen += [a.share, b.share]
                time.sleep(0.002)
        assert ramped.result().json() == {"share": 0.5} and a.share == b.share == 0.5
    assert sorted(seen) == seen and set(seen) <= {0.1, 0.5} and len(seen) > 100
    # a new replica that wants more than the others have announces it as well
    more = create_app(stubs(), open_store(store_url), 0.9, "ramp", TOKENS, limits)
    began = time.monotonic()
    with serve_in_thread(more):
        assert more.state.service.share == 0.9 and time.monotonic() - began > 1.0


def test_a_roll_back_that_the_store_could_not_take_holds_and_is_told_later(tmp_path, caplog):
    app, server = served(tmp_path, limits=Limits(refresh=0.05, **FREE), share=0.5, salt="trial")
    caplog.set_level(logging.CRITICAL, "course_utils.serving")
    service, set_share = app.state.service, app.state.service.store.set_share
    with server as url, client(url, ADMIN_TOKEN) as admin:
        service.store.set_share = lambda *_, **__: (_ for _ in ()).throw(ConnectionError())
        assert admin.post("/rollback").status_code == 503
        for _ in range(10):  # the store still says one half, and is read again and again
            assert service.share == 0
            time.sleep(0.02)
        assert admin.post("/rollout", json={"share": 0.9}).status_code == 409
        service.store.set_share = set_share
        end = time.monotonic() + 5
        while not service.store.share("trial")[1] and time.monotonic() < end:
            time.sleep(0.02)
        assert service.store.share("trial") == (0.0, True)


def test_tokens_are_looked_at_on_the_event_loop(tmp_path, monkeypatch):
    wait = Clients.wait
    # in a thread of a pool, where a bucket could be taken from twice at once, there is no loop
    monkeypatch.setattr(Clients, "wait", lambda *given: asyncio.get_running_loop() and wait(*given))
    _, server = served(tmp_path)
    with server as url, client(url) as http:
        assert ask(http)


def test_arguments_that_make_no_sense_are_refused(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/s.db")
    for settings, words in (
        ({"engines": {"treatment": StubEngine()}}, "engines"),
        ({"share": 1.5}, "share"),
        ({"engines": {"control": StubEngine()}, "share": 0.5}, "no treatment"),
        ({"tokens": {}}, "tokens"),
        ({"salt": "x" * 65}, "salt"),
        ({"tokens": ["x" * 20]}, "tokens must be a dict"),
        ({"tokens": {"x" * 20: 5}}, "tokens: a client's name"),
        ({"tokens": {"x" * 20: "n" * 65}}, "tokens: a client's name"),
    ):
        with pytest.raises(ValueError, match=words):
            create_app(**{"engines": stubs(), "store": store, "tokens": TOKENS} | settings)


# --- as a process ------------------------------------------------------------------------------


def test_kill_9_under_load_loses_no_acknowledged_vote_and_moves_no_user(tmp_path):
    tokens = write_tokens(tmp_path / "tokens.json", TOKENS)
    options = ["--stub", "--database", f"sqlite:///{tmp_path}/s.db", "--tokens", tokens, "--rate", "100000"]
    options += ["--share", "0.4", "--salt", "trial"]
    server = ServerProcess(*options, PYTHONHASHSEED="1")
    voters = Voters(server.url)
    try:
        voters.wait_for(votes=150)
    finally:
        server.kill()
        voters.stop()
    assert voters.broken and not voters.refused  # it was killed while they were at it

    with ServerProcess(*options, PYTHONHASHSEED="2") as server, client(server.url) as http:
        key, value = next(iter(voters.acknowledged.items()))
        assert vote(http, key, value).json() == {"result": "already"}
        for user in USERS:
            vote(http, ask(http, user))
    store = open_store(f"sqlite:///{tmp_path}/s.db")
    frame = store.feedback_frame()
    stored = dict(zip(frame["conversation_id"], frame["feedback"], strict=True))
    assert voters.acknowledged.items() <= stored.items()
    assert len(store.requests_frame()) >= len(voters.handed_out)
    # before and after, in two processes with different seeds of hash(): each user in one variant
    by_user = store.votes_by_user("trial").groupby("user_id")["variant"].nunique()
    assert len(by_user) == len(USERS) and by_user.max() == 1
    store.close()


def test_a_process_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="not a database in memory"):
        ServerProcess("--stub", "--database", "sqlite://")
