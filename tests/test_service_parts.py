"""The service's parts one by one: batches, limits, store, engines, the dashboard's arithmetic."""

import asyncio
import math
import threading
import time
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from voters import row

from course_utils.serving.batching import Batcher, Closed, QueueFull
from course_utils.serving.dashboard import dashboard, quantile
from course_utils.serving.engine import BadPrompt, ModelEngine, StubEngine, weights_version
from course_utils.serving.limits import Clients, Limits, TokenBucket
from course_utils.serving.store import Vote, open_store

# --- batches -----------------------------------------------------------------------------------


def batched(work, calls, **settings):
    """Run a coroutine function `calls(batcher)` against a started batcher; returns its result."""

    async def run():
        batcher = Batcher(work, **settings)
        await batcher.start()
        try:
            return await calls(batcher)
        finally:
            await batcher.close()

    return asyncio.run(run())


def test_calls_that_come_together_are_worked_on_together():
    seen = []

    def work(items):
        seen.append(list(items))
        return [2 * item for item in items]

    async def calls(batcher):
        return await asyncio.gather(*(batcher.submit(i) for i in range(10)))

    assert batched(work, calls, max_batch=4, wait=0.05) == [2 * i for i in range(10)]
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_lone_call_waits_no_longer_than_it_was_told_and_the_loop_goes_on():
    async def calls(batcher):
        start, ticks = time.perf_counter(), 0
        job = asyncio.ensure_future(batcher.submit("one"))
        while not job.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return time.perf_counter() - start, ticks, await job

    seconds, ticks, thread = batched(_slow, calls, max_batch=8, wait=0.01, name="engine")
    assert seconds < 2 and ticks >= 5 and thread.startswith("engine")


def _slow(items):
    time.sleep(0.3)
    return [threading.current_thread().name for _ in items]


def test_a_full_queue_refuses_at_once_and_a_closed_one_takes_nothing():
    go = threading.Event()

    def work(items):
        go.wait(10)
        return items

    async def calls(batcher):
        jobs = [asyncio.ensure_future(batcher.submit(i)) for i in range(1)]
        await asyncio.sleep(0.1)  # the first is in work now
        jobs += [asyncio.ensure_future(batcher.submit(i)) for i in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await batcher.submit(3)
        assert len(batcher) == 2 and batcher.busy() > 0
        go.set()
        assert await asyncio.gather(*jobs) == [0, 1, 2]
        await batcher.close()
        with pytest.raises(Closed):
            await batcher.submit(4)

    batched(work, calls, max_batch=1, wait=0, limit=2)


def test_a_cancelled_call_leaves_the_queue_and_harms_no_other():
    go, seen = threading.Event(), []

    def work(items):
        go.wait(10)
        seen.extend(items)
        return items

    async def calls(batcher):
        jobs = [asyncio.ensure_future(batcher.submit(0))]
        await asyncio.sleep(0.1)
        jobs += [asyncio.ensure_future(batcher.submit(i)) for i in (1, 2)]
        await asyncio.sleep(0)
        jobs[0].cancel()  # in work
        jobs[1].cancel()  # waits
        await asyncio.sleep(0)
        assert len(batcher) == 1
        go.set()
        assert await jobs[2] == 2
        assert [job.cancelled() for job in jobs] == [True, True, False]

    batched(work, calls, max_batch=1, wait=0)
    assert seen == [0, 2]


def test_only_the_bad_item_of_a_batch_fails_but_a_fault_of_all_fails_all():
    calls_made = []

    def work(items):
        calls_made.append(len(items))
        if "down" in items:
            raise OSError("the disk")
        if "bad" in items:
            raise ValueError("bad")
        return items

    async def submit(batcher, items):
        jobs = (batcher.submit(item) for item in items)
        return [type(r).__name__ for r in await asyncio.gather(*jobs, return_exceptions=True)]

    settings = {"max_batch": 8, "wait": 0.02, "whole": (OSError,)}
    assert batched(work, lambda b: submit(b, ["a", "bad", "b"]), **settings) == ["str", "ValueError", "str"]
    calls_made.clear()
    batched(work, lambda b: submit(b, [*"abcdefg", "bad"]), **settings)
    assert calls_made == [
        8,
        4,
        4,
        2,
        2,
        1,
        1,
    ]  # one by one would be nine calls, and no company for the good ones
    calls_made.clear()
    assert batched(work, lambda b: submit(b, ["a", "down", "b"]), **settings) == ["OSError"] * 3
    assert calls_made == [3]


def test_work_that_returns_too_few_results_is_an_error_and_closing_finishes_what_waits():
    async def one(batcher):
        with pytest.raises(RuntimeError, match="0 results for 1 items"):
            await batcher.submit("a")

    batched(lambda items: [], one)

    async def late(batcher):
        jobs = [asyncio.ensure_future(batcher.submit(i)) for i in range(5)]
        await asyncio.sleep(0)
        await batcher.close()
        return [job.result() for job in jobs]

    assert batched(lambda items: items, late, max_batch=2, wait=1) == list(range(5))


# --- limits ------------------------------------------------------------------------------------


def test_a_bucket_lets_a_burst_pass_and_then_the_rate():
    seconds = [0.0]
    bucket = TokenBucket(rate=2, burst=3, clock=lambda: seconds[0])
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 1]
    seconds[0] = 0.5
    assert [bucket.take() for _ in range(2)] == [0, 1]
    seconds[0] = 100
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 1]  # never more than the burst
    slow = TokenBucket(0.1, 1, clock=lambda: 0.0)
    assert [slow.take(), slow.take()] == [0, 10]
    with pytest.raises(ValueError, match="rate"):
        TokenBucket(0, 1)


def test_tokens_must_be_there_and_hard_to_guess():
    with pytest.raises(ValueError, match="at least one client"):
        Clients({}, Limits())
    with pytest.raises(ValueError, match="16 characters"):
        Clients({"short": "a"}, Limits())
    assert Clients({"x" * 16: "a"}, Limits()).name("x" * 15) is None


# --- store -------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/s.db")
    yield opened
    opened.close()


def test_a_vote_is_stored_once_and_the_first_one_stands(store):
    store.record_request(**row("a"))
    votes = [("a", "thumbs_up"), ("a", "thumbs_up"), ("a", "thumbs_down"), ("b", "thumbs_up")]
    assert [store.record_vote(*vote) for vote in votes] == ["stored", "already", "conflict", "unknown"]
    assert store.record_vote("a", "thumbs_up", client="another") == "unknown"
    frame = store.feedback_frame()
    assert frame["feedback"].tolist() == ["thumbs_up"]
    # the same in one transaction
    store.record_requests([row("c"), row("d")])
    batch = [("c", "thumbs_down", None), ("c", "thumbs_up", None), ("d", "thumbs_up", "tests")]
    assert [r.outcome for r in store.record_votes(batch)] == ["stored", "conflict", "stored"]
    with pytest.raises(ValueError):
        store.record_vote("d", "banana")


def test_the_log_has_the_columns_of_a_feedback_log_and_joins_the_model_version(store):
    from course_utils.feedback import clean_feedback, to_kto

    assert store.feedback_frame().empty
    keys = [f"{i:032x}" for i in range(6)]
    store.record_requests(
        [row(k, user_hash=f"u{i}", prompt=f"p{i}", model_version=f"m{i % 2}") for i, k in enumerate(keys)]
    )
    for i, key in enumerate(keys[:5]):
        store.record_vote(key, list(Vote)[i % 2])
    frame = store.feedback_frame()
    assert list(frame)[:7] == [
        "conversation_id", "prompt", "response", "user_id", "feedback", "timestamp", "content_warning",
    ]  # fmt: skip
    assert frame["model_version"].tolist() == ["m0", "m1", "m0", "m1", "m0"]
    assert str(frame["timestamp"].dtype).startswith("datetime64") and frame["content_warning"].dtype == bool
    assert len(to_kto(clean_feedback(frame))) == 5
    assert len(store.feedback_frame(since=frame["timestamp"].iloc[3])) == 2


def test_votes_are_counted_by_variant_and_user_within_an_experiment(store):
    store.record_requests(
        [row("a"), row("b"), row("c", variant="treatment"), row("d", user_hash="v"), row("e", salt="another")]
    )
    for key, vote in zip(
        "abcde", ["thumbs_up", "thumbs_down", "thumbs_up", "thumbs_up", "thumbs_up"], strict=True
    ):
        store.record_vote(key, vote)
    counts = [tuple(r) for r in store.votes_by_user("x").itertuples(index=False)]
    assert counts == [("control", "u", 1, 2), ("control", "v", 1, 1), ("treatment", "u", 1, 1)]


def test_replicas_that_vote_at_the_same_moment_store_one_vote(tmp_path):
    url = f"sqlite:///{tmp_path}/s.db"
    stores = [open_store(url) for _ in range(4)]
    stores[0].record_requests([row(f"{i}") for i in range(30)])
    outcomes, start = [], threading.Barrier(4)

    def vote(store, value):
        start.wait()
        for i in range(30):
            outcomes.append((i, value, store.record_vote(f"{i}", value)))

    values = ["thumbs_up", "thumbs_up", "thumbs_down", "thumbs_down"]
    threads = [threading.Thread(target=vote, args=pair) for pair in zip(stores, values, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = {i: value for i, value, outcome in outcomes if outcome == "stored"}
    assert len(outcomes) == 120 and sum(o == "stored" for *_, o in outcomes) == 30
    assert all((o == "conflict") == (value != stored[i]) for i, value, o in outcomes)
    assert set(stores[1].feedback_frame()["feedback"]) <= {"thumbs_up", "thumbs_down"}
    for store in stores:
        store.close()


def test_sqlite_waits_for_the_disk_and_knows_its_foreign_keys(store):
    with store.engine.connect() as connection:
        read = {
            n: connection.exec_driver_sql(f"PRAGMA {n}").scalar()
            for n in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert read == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}  # 2 is FULL
    with pytest.raises(sa.exc.IntegrityError), store.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO feedback VALUES ('nobody', 'thumbs_up', '2026-01-01')")
    with pytest.raises(ValueError, match="in memory"):
        open_store("sqlite://")


def test_a_share_only_grows_until_it_is_rolled_back(store):
    assert store.share("x") == (0.0, False)
    for share in (0.1, 0.5, 0.2):
        store.set_share("x", share)
    assert store.share("x") == (0.5, False) and store.share("y") == (0.0, False)
    store.set_share("x", 0.0, rolled_back=True)
    store.set_share("x", 0.9)  # a replica that had not heard of it
    assert store.share("x") == (0.0, True)


# --- engines -----------------------------------------------------------------------------------


def test_the_stub_answers_in_order():
    assert StubEngine("re: {prompt}").generate(["a", "{prompt}"]) == ["re: a", "re: {prompt}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of the text world with random weights."""
    from course_utils.testbed import models, text

    folder = tmp_path_factory.mktemp("models") / "text-world"
    models.save_model(
        models.small_model(len(text.VOCABULARY)), models.word_tokenizer(text.VOCABULARY), folder
    )
    return folder


PROMPTS = ["i think fox is small . :", "fox", "i think bear likes sun . : yes right ."]


def test_a_prompt_gets_the_same_answer_alone_and_padded_in_a_batch(folder):
    import torch

    from course_utils.testbed import models, text

    engine = ModelEngine(folder, max_new=8, temperature=0)
    together = engine.generate(PROMPTS)
    assert together == [engine.generate([prompt])[0] for prompt in PROMPTS]
    # and the same as the text world's own sampler gives after <bos>
    ids = torch.tensor([text.encode(["<bos>", *PROMPTS[0].split()])])
    ids = models.sample(engine.model, ids, 8, 0, temperature=0)
    assert together[0].split() == text.words_of(ids[0])


def test_sampling_varies_and_a_prompt_beyond_the_context_is_the_clients_fault(folder):
    engine = ModelEngine(folder, max_new=8, temperature=1.0, top_p=1.0)
    assert len(set(engine.generate([PROMPTS[0]] * 8))) > 1
    with pytest.raises(BadPrompt, match="101 tokens"):
        engine.generate(["fox"] + ["fox " * 100])
    with pytest.raises(ValueError, match="max_new"):
        ModelEngine(folder, max_new=64)


def test_a_chat_template_is_used_where_there_is_one(folder):
    engine = ModelEngine(folder, max_new=4)
    engine.tokenizer.chat_template = (
        "{{ bos_token }} i think {{ messages[0]['content'] }} {% if add_generation_prompt %}:{% endif %}"
    )
    assert engine.tokenizer.decode(engine._encode("fox is small .")) == "<bos> i think fox is small . :"
    for prompt in ("fox <eos> <bos> i think", "<eos>"):  # it would end the user's turn
        with pytest.raises(BadPrompt, match="with which this model parts turns"):
            engine._encode(prompt)


def test_a_version_names_the_weights(folder, tmp_path):
    from course_utils.testbed import models, text

    again = tmp_path / "text-world"
    models.save_model(
        models.small_model(len(text.VOCABULARY), seed=1), models.word_tokenizer(text.VOCABULARY), again
    )
    first, second = weights_version(folder), weights_version(again)
    assert first.startswith("text-world-") and second.startswith("text-world-") and first != second
    assert weights_version("org/name") == "org/name"
    assert ModelEngine(folder, max_new=4).version == first and len(first) == len("text-world-") + 8


# --- dashboard ---------------------------------------------------------------------------------


def test_quantiles_of_a_histogram():
    buckets = [(0.1, 50.0), (0.2, 90.0), (math.inf, 100.0)]
    assert quantile(buckets, 0.5) == pytest.approx(0.1)
    assert quantile(buckets, 0.7) == pytest.approx(0.15)
    assert quantile(buckets, 0.95) == 0.2  # beyond the last finite bound
    assert math.isnan(quantile([(0.1, 0.0), (math.inf, 0.0)], 0.5))


def test_the_dashboard_counts_by_the_unit_that_fits_and_a_variant_that_ceased_falls_to_zero(tmp_path):
    start, store = datetime(2026, 3, 2), open_store(f"sqlite:///{tmp_path}/s.db")
    for hours, unit in ((0.01, "second"), (1, "minute"), (60, "hour"), (600, "day")):
        span = timedelta(hours=hours)
        with store.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM requests")
        store.record_requests(
            [row(f"{i:032x}", time=start + span * i / 100) for i in range(101)]
            + [row(f"{i:032x}", time=start + span * i / 1000, variant="treatment") for i in range(200, 301)]
        )
        traffic = dashboard("", store)[0].axes[0]
        control, treatment = traffic.lines
        assert (
            traffic.get_ylabel() == f"answers {'an' if unit == 'hour' else 'a'} {unit}"
            and traffic.get_xlabel().startswith(f"{unit}s ")
        )
        assert len(control.get_xdata()) == len(treatment.get_xdata()) > 10
        assert treatment.get_ydata().sum() == 101 and treatment.get_ydata()[-1] == 0
        assert 95 <= control.get_ydata().sum() <= 101  # all but those of the interval that is not over
    store.close()
