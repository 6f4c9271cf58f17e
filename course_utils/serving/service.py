"""The service behind the app: a prompt finds its variant, is answered and stored; a vote finds its answer."""

import asyncio
import hashlib
import hmac
import logging
import time
import uuid
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from course_utils.serving.batching import Batcher, Closed, QueueFull
from course_utils.serving.engine import BadPrompt
from course_utils.serving.guardrails import Guardrails, Tally, broken
from course_utils.serving.limits import Limits
from course_utils.serving.metrics import Metrics
from course_utils.serving.routing import assign_variant
from course_utils.serving.store import now

CONTROL, TREATMENT = "control", "treatment"
log = logging.getLogger(__name__)


class NotUpward(ValueError):
    """A share that would move users back, or a ramp after a roll-back."""


class Job(NamedTuple):
    """One prompt on its way to an engine; `arrived` by `time.perf_counter`."""

    client: str
    user: str
    prompt: str
    arrived: float


class Service:
    """Engines, store and roll-out of one process.

    An experiment is known by its salt. Its share lies in the store, where replicas read it every
    `limits.refresh` seconds: it only grows, whatever a restarted process was started with, until a
    roll-back sets it to 0 for good. A new attempt takes a new salt, which draws its users anew.

    A larger share is announced: it holds from two refreshes later, in all replicas at the same moment, so that
    nobody gets the treatment from one and then the control from another. That is as exact as their clocks agree, and
    as the store can be read in between. A roll-back is not announced; other replicas follow within one refresh.

    Args:
        engines: {"control": an Engine} or both "control" and "treatment".
        store: from `open_store`.
        share: the treatment's share of the users at the start, 0 to 1; above 0 there must be a treatment.
        salt: the experiment's name, at most 64 characters.
        limits: of queues, batches and time.
        flagged: a function (prompt, response) that says whether the answer deserves a content warning;
            it is stored with the answer. By default none does.
        user_key: users are stored as an HMAC of their id under this text: whoever has only the store
            cannot try out ids. It must stay the same, or the store takes one user for two.
        guardrails: `Guardrails`: where the treatment breaks one, this process rolls the experiment back by
            itself and writes the reason to the log and the metrics. None: nobody looks.

    Raises:
        ValueError: an argument is not as above.
    """

    def __init__(
        self,
        engines,
        store,
        share=0.0,
        salt="",
        limits=Limits(),  # noqa: B008
        flagged=None,
        user_key="",
        guardrails=Guardrails(),  # noqa: B008
    ):
        if set(engines) not in ({CONTROL}, {CONTROL, TREATMENT}):
            raise ValueError(
                f"engines must be of control, or of control and treatment, not {sorted(engines)}"
            )
        if len(salt) > 64:
            raise ValueError("salt has more than 64 characters")
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, not {share}")
        if share > 0 and TREATMENT not in engines:
            raise ValueError("share is above 0, but engines has no treatment")
        self.engines, self.store, self.salt, self.limits = engines, store, salt, limits
        self._flagged, self._user_key = flagged or (lambda prompt, response: False), user_key.encode()
        self.metrics, self._started_with = Metrics(), share
        self._steps, self._reading = [], asyncio.Lock()  # of the roll-out, as `Store.steps` gives them
        self.metrics.share.set_function(lambda: self.share)
        shape = {"max_batch": limits.max_batch, "wait": limits.batch_wait, "limit": limits.queue}
        self._batchers = {
            variant: Batcher(
                lambda jobs, variant=variant: self._answer_all(variant, jobs),
                whole=(SQLAlchemyError,), name=variant, **shape,
            )
            for variant in engines
        }  # fmt: skip
        # one write to disk takes as long for many votes as for one
        self._votes = Batcher(
            store.record_votes, max_batch=64, wait=0.002, limit=8 * limits.queue,
            whole=(SQLAlchemyError,), name="votes",
        )  # fmt: skip
        for name, batcher in {**self._batchers, "votes": self._votes}.items():
            self.metrics.watch_queue(name, batcher)
        self._guardrails = guardrails
        self._asked, self._failed = dict.fromkeys(engines, 0), dict.fromkeys(engines, 0)
        self._owes_roll_back = False  # one that the store has not been told yet
        self._follower = self._guard = self._ping = None

    async def start(self):
        """Join the roll-out and begin to answer."""
        steps, rolled_back = await asyncio.to_thread(self.store.steps, self.salt)
        if not steps and not rolled_back:  # a share of 0 too: it tells the next replica that one is there
            await asyncio.to_thread(self.store.set_share, self.salt, self._started_with)
        elif steps and self._started_with > max(share for _, share in steps):
            await self._announce(self._started_with)
        await self._refresh()
        for batcher in (*self._batchers.values(), self._votes):
            await batcher.start()
        self._follower = asyncio.create_task(self._follow())
        if self._guardrails and TREATMENT in self.engines:
            self._guard = asyncio.create_task(self._watch())

    async def stop(self):
        """Answer what waits, then end."""
        self._follower.cancel()
        if self._guard:
            self._guard.cancel()
        for batcher in (*self._batchers.values(), self._votes):
            await batcher.close()

    async def answer(self, client, user_id, prompt):
        """(request id, response), once both are stored.

        Raises:
            BadPrompt: the engine cannot answer this prompt.
            QueueFull, TimeoutError, or an error of the engine or the store: nothing was handed out.
        """
        arrived = time.perf_counter()
        variant = self.variant(user_id)
        job = Job(client, self.pseudonym(user_id), prompt, arrived)
        try:
            answer = await asyncio.wait_for(self._batchers[variant].submit(job), self.limits.timeout)
        except (BadPrompt, QueueFull, Closed, SQLAlchemyError):  # not the model's fault
            raise
        except Exception:
            self._asked[variant] += 1
            self._failed[variant] += 1
            raise
        self._asked[variant] += 1
        self.metrics.chat_seconds.labels(variant).observe(time.perf_counter() - arrived)
        return answer

    async def vote(self, client, request_id, vote):
        """Store a vote: "stored", "already", "conflict" or "unknown", once that is on disk; errors as `answer`."""
        job = self._votes.submit((request_id, vote, client))
        recorded = await asyncio.wait_for(job, self.limits.timeout)
        if recorded.outcome == "stored":
            self.metrics.votes.labels(recorded.variant, vote).inc()
        return recorded.outcome

    @property
    def share(self):
        """The treatment's share that is in force."""
        moment = now()
        return max((share for time, share in self._steps if time <= moment), default=0.0)

    def variant(self, user_id):
        """The user's variant at the share in force; without a treatment all get the control."""
        return assign_variant(user_id, self.share, self.salt) if TREATMENT in self.engines else CONTROL

    def pseudonym(self, user_id):
        """What the store knows a user by: 64 hexadecimal digits."""
        return hmac.new(self._user_key, user_id.encode(), hashlib.sha256).hexdigest()

    async def ramp(self, share):
        """Raise the treatment's share, and return when it holds; a share equal to the present one changes nothing.

        Raises:
            NotUpward: the share is below the present one, the experiment was rolled back, or has no treatment.
        """
        stored, rolled_back = await asyncio.to_thread(self.store.share, self.salt)
        if TREATMENT not in self.engines:
            raise NotUpward("there is no treatment")
        if rolled_back or self._owes_roll_back:
            raise NotUpward("this experiment was rolled back; a new attempt needs a new salt")
        if share < stored:
            raise NotUpward(f"the share is {stored:g}; it can only be raised, or rolled back to 0")
        if share > stored:
            await self._announce(share)
        await self._refresh()

    async def _announce(self, share):
        """Write a share down for the moment at which every replica has read it, and wait for that."""
        notice = 2 * self.limits.refresh
        time = now() + timedelta(seconds=notice)
        await asyncio.to_thread(self.store.set_share, self.salt, share, time=time)
        await asyncio.sleep(notice)

    async def roll_back(self):
        """Give everybody the control again, for the rest of this experiment."""
        # before the store knows, and even if it cannot be reached: then it is told as soon as it can
        self._steps, self._owes_roll_back = [], True
        await self._refresh()

    async def health(self):
        """{"store": ..., and each engine: ...}, each "ok" or what is wrong with it."""
        # never two pings at once: one that hangs must not take a thread at every call
        if self._ping is None or self._ping.done():
            self._ping = asyncio.ensure_future(asyncio.to_thread(self.store.ping))
        parts = {"store": "ok"}
        try:
            await asyncio.wait_for(asyncio.shield(self._ping), 1.0)
        except Exception as error:  # a driver may raise its own
            parts["store"] = f"not reached: {type(error).__name__}"
        for variant, batcher in self._batchers.items():
            stuck = batcher.busy() > self.limits.timeout
            parts[variant] = "stuck" if stuck else "ok" if batcher.alive else "not running"
        return parts

    async def check_guardrails(self):
        """Roll back where the treatment breaks a guardrail; {name: sentence} of those that it breaks."""
        if not self.share:
            return {}
        latest = {
            variant: await asyncio.to_thread(
                self.store.latest_answers, self.salt, variant, self._guardrails.recent
            )
            for variant in (CONTROL, TREATMENT)
        }
        tallies = (
            Tally(*answers, self._failed[variant], self._asked[variant])
            for variant, answers in latest.items()
        )
        found = broken(self._guardrails, *tallies)
        if found:
            log.error("experiment %r is rolled back: %s", self.salt, "; ".join(found.values()))
            for name in found:
                self.metrics.guardrails.labels(name).inc()
            await self.roll_back()
        return found

    async def _watch(self):
        while True:
            await asyncio.sleep(self._guardrails.every)
            try:
                await self.check_guardrails()
            except Exception as error:  # whatever it is, the next look must come
                log.warning("the guardrails could not be checked: %s", error)

    async def _refresh(self):
        async with self._reading:  # one at a time, so that what was read first is not believed last
            if self._owes_roll_back:
                await asyncio.to_thread(self.store.set_share, self.salt, 0.0, rolled_back=True)
                self._owes_roll_back = False
            steps, _ = await asyncio.to_thread(self.store.steps, self.salt)
            if not self._owes_roll_back:  # one may have been asked for meanwhile
                self._steps = steps

    async def _follow(self):
        """What other replicas have decided holds here too, a moment later."""
        while True:
            await asyncio.sleep(self.limits.refresh)
            try:
                await self._refresh()
            except Exception as error:  # a driver may raise its own, and the next look must come
                log.warning("the share could not be read, %g stays: %s", self.share, error)

    def _answer_all(self, variant, jobs):
        """Generate and store, in the engine's thread; ids exist only once the rows are committed."""
        engine = self.engines[variant]
        responses = engine.generate([job.prompt for job in jobs])
        rows = []
        for job, response in zip(jobs, responses, strict=True):
            response = response.replace("\0", "\N{REPLACEMENT CHARACTER}")  # which PostgreSQL does not store
            rows.append({
                "id": uuid.uuid4().hex, "time": now(), "client": job.client, "user_hash": job.user,
                "prompt": job.prompt, "response": response, "model_version": engine.version,
                "variant": variant, "salt": self.salt, "latency": time.perf_counter() - job.arrived,
                "content_warning": bool(self._flagged(job.prompt, response)),
            })  # fmt: skip
        self.store.record_requests(rows)
        return [(row["id"], row["response"]) for row in rows]
