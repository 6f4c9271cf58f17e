"""A service's event loop, requests under way on it, and a model that sees whether the loop goes on meanwhile."""

import asyncio
import inspect
import threading
import time
from concurrent.futures import ThreadPoolExecutor


class _Service:
    """A loop with two requests under way, and a generator that sees whether the loop goes on meanwhile."""

    def __init__(self, patience):
        self.patience = patience
        self.entered, self.opened = threading.Event(), threading.Event()
        self.both = threading.Barrier(2)
        self.blocked = self.on_the_loop = self.alone = False

    def generate(self, prompt):
        if threading.get_ident() == self.loop_thread:
            self.blocked = self.on_the_loop = True
            return f"answer to {prompt}"
        self.entered.set()
        self.blocked = self.blocked or not self.opened.wait(self.patience)
        try:
            self.both.wait(0 if self.blocked else self.patience)
        except threading.BrokenBarrierError:
            self.alone = True
        return f"answer to {prompt}"

    async def run(self, function, prompts):
        self.loop_thread = threading.get_ident()
        opening = asyncio.create_task(self._open())
        asked = [function(prompt, self.generate) for prompt in prompts]
        if not all(map(inspect.isawaitable, asked)):
            opening.cancel()
            return None
        answers = await asyncio.gather(*asked)
        opening.cancel()
        for answer in answers:
            if asyncio.iscoroutine(answer):
                answer.close()  # else Python warns that nobody awaited it
        return list(answers)

    async def _open(self):
        while not self.entered.is_set():
            await asyncio.sleep(0.002)
        self.opened.set()


class _StandsStill(Exception):
    """The event loop waits for what only the loop itself could bring."""


def _in_a_thread(coroutine, limit=None):
    """Run a coroutine in a loop of its own, for at most `limit` seconds: a notebook has one running already."""
    found = []

    def work():
        try:
            found.append(asyncio.run(coroutine()))
        except Exception as error:  # handed over to the caller
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit)
    if not found:
        raise _StandsStill("the event loop never came to an end")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def two_requests(function, prompts, patience):
    """The answers to requests that come together (None where they cannot be awaited), and what the loop did.

    A loop that stands still for good, such as at a lock of threads that is held across an `await`, answers nothing.
    """
    service = _Service(patience)
    try:
        answers = _in_a_thread(lambda: service.run(function, prompts), limit=20 * patience)
    except _StandsStill:
        answers, service.blocked = [], True
    return {
        "answers": answers,
        "on the loop": service.on_the_loop,
        "blocked": service.blocked,
        "alone": service.alone,
    }


def together(function, prompts):
    """The answers to requests that come together, of a model that answers none before all are under way and the loop
    has gone on meanwhile: where one of the two never comes, neither does this."""
    entered, gone_on = [], []

    def generate(prompt):
        entered.append(prompt)
        while len(entered) < len(prompts) or not gone_on:
            pass  # nothing here that another could have changed: a clock, a lock, the number of a thread
        return f"answer to {prompt}"

    async def go_on():
        while not entered:
            await asyncio.sleep(0.002)
        gone_on.append(True)

    async def run():
        asked = [function(prompt, generate) for prompt in prompts]
        return (await asyncio.gather(go_on(), *asked))[1:]

    return list(_in_a_thread(run))


def failing(function, prompt, generate):
    """What comes of a model that raises: {"error", "told": what all the errors say}, or {"returned", "coroutine"}."""
    return _in_a_thread(lambda: _failing(function, prompt, generate))


async def _failing(function, prompt, generate):
    try:
        answer = await function(prompt, generate)
    except Exception as error:  # the model's own, or one that tells where it came from
        return {"error": f"{type(error).__name__} ({error})", "told": [str(one) for one in _origins(error)]}
    if asyncio.iscoroutine(answer):
        answer.close()  # else Python warns that nobody awaited it
        return {"returned": None, "coroutine": True}
    return {"returned": answer, "coroutine": False}


def _origins(error):
    """An exception, those that it was raised from or while handling, and those of a group."""
    found, todo = [], [error]
    while todo:
        one = todo.pop()
        if one is not None and one not in found:
            found.append(one)
            context = None if one.__suppress_context__ else one.__context__  # `from None` hides it
            todo += [one.__cause__, context, *getattr(one, "exceptions", ())]
    return found


def many_requests(function, prompts, answer):
    """Answers to requests that come together, and to the last one asked again; None where one was cut off."""
    return _in_a_thread(lambda: _many_requests(function, prompts, answer))


async def _many_requests(function, prompts, answer):
    """The same question twice one after the other, and an answer that takes its time."""

    def generate(prompt):
        if prompt in prompts[:2]:
            time.sleep(0.3)
        return answer(prompt)

    # with two threads only the others have to wait: what they share with the later ones has changed by then
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    first = await asyncio.gather(*(function(prompt, generate) for prompt in prompts), return_exceptions=True)
    again = await asyncio.gather(function(prompts[-1], generate), return_exceptions=True)
    answers = [*first, *again]
    for one in answers:
        if asyncio.iscoroutine(one):
            one.close()
    if errors := [one for one in answers if isinstance(one, Exception)]:
        if isinstance(errors[0], TimeoutError):
            return None
        raise errors[0]
    return answers
