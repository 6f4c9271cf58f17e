"""Guardrails: what breaks them, what does not, and that the service rolls back by itself."""

import time

import numpy as np
import pytest
from voters import TOKENS, USERS, ask, client, row

from course_utils.serving.app import create_app
from course_utils.serving.engine import StubEngine
from course_utils.serving.guardrails import Guardrails, Tally, broken
from course_utils.serving.limits import Limits
from course_utils.serving.running import serve_in_thread
from course_utils.serving.store import open_store

RAILS = Guardrails()


def tally(warned=0, n=400, latency=0.1, failed=0, asked=None):
    return Tally(
        [True] * warned + [False] * (n - warned), [latency] * n, failed, n if asked is None else asked
    )


@pytest.mark.parametrize(
    ("treatment", "names"),
    [
        (tally(), set()),
        (tally(warned=60), {"warnings"}),
        (tally(warned=12), set()),  # 3 % of 400: above the margin, but by luck perhaps
        (tally(latency=0.25), {"latency"}),
        (tally(latency=0.19), set()),
        (tally(failed=80), {"failures"}),
        (tally(n=0, failed=100, asked=100), {"failures"}),  # it never answered
        (tally(warned=60, latency=0.3, failed=80), {"warnings", "latency", "failures"}),
        (tally(warned=50, n=50, latency=9, asked=50, failed=50), set()),  # too few to say
    ],
)
def test_a_guardrail_breaks_where_the_treatment_is_clearly_worse(treatment, names):
    found = broken(RAILS, tally(), treatment)
    assert set(found) == names
    assert all("control" in sentence for sentence in found.values())


def test_equal_variants_hardly_ever_break_one():
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(1000):
        arms = [
            Tally((rng.random(500) < 0.05).tolist(), rng.gamma(4, 0.1, 500).tolist(), 0, 500) for _ in "ab"
        ]
        alarms += bool(broken(RAILS, *arms))
    assert alarms == 0


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"warnings": -0.1}, "warnings"),
        ({"slowdown": 0.5}, "slowdown"),
        ({"least": 0}, "least"),
        ({"every": 0}, "every"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, name):
    with pytest.raises(ValueError, match=f"^{name} "):
        Guardrails(**settings)


class Broken:
    version = "broken"

    def generate(self, prompts):
        raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("treatment", "flagged", "name"),
    [
        (StubEngine("something harmful"), lambda prompt, response: "harmful" in response, "warnings"),
        (Broken(), None, "failures"),
    ],
)
def test_the_service_rolls_back_by_itself_and_says_why(tmp_path, treatment, flagged, name):
    app = create_app(
        {"control": StubEngine(), "treatment": treatment}, open_store(f"sqlite:///{tmp_path}/s.db"), 0.5, "trial",
        TOKENS, Limits(rate=1e6, burst=1e6), flagged, guardrails=Guardrails(least=20, every=0.1),
    )  # fmt: skip
    service = app.state.service
    with serve_in_thread(app) as url, client(url) as http:
        for user in USERS * 4:
            http.post("/chat", json={"user_id": user, "prompt": "hello"})
            if service.share == 0:
                break
        end = time.monotonic() + 5
        while service.share > 0 and time.monotonic() < end:
            time.sleep(0.05)
        assert service.share == 0
        assert {service.variant(user) for user in USERS} == {"control"}
        assert ask(http, USERS[0])
        assert f'service_guardrails_broken_total{{guardrail="{name}"}} 1.0' in http.get("/metrics").text
    assert open_store(f"sqlite:///{tmp_path}/s.db").share("trial") == (0.0, True)


def test_only_the_latest_answers_of_this_experiment_count(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/s.db")
    store.record_requests([row(f"{i:032x}", latency=float(i), content_warning=i > 7) for i in range(10)])
    store.record_request(**row("f" * 32, salt="another", latency=99.0))
    assert store.latest_answers("x", "control", 3) == ([True, True, False], [9.0, 8.0, 7.0])
    assert store.latest_answers("x", "treatment", 3) == ([], [])
