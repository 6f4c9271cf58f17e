"""The service under load: an open-loop generator in this process, the server in another (`make bench`).

Requests are sent when their time has come, whether or not earlier ones were answered, and a latency counts
from that time: a server that stalls cannot hide it by slowing the generator. Four of five requests ask,
one votes on an earlier answer. Exit status 1 where any request failed.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import psutil

from course_utils.serving.running import ServerProcess, write_tokens
from course_utils.serving.store import open_store
from course_utils.testbed import text

TOKEN = "a token of the benchmark"


async def load(url, rate, seconds, seed=0):
    """Send `rate` requests a second for `seconds`, at random times (Poisson).

    Returns:
        (latencies, errors, late): seconds by kind of request, {what went wrong: how often}, and the
        99th percentile of how late this generator itself was, in seconds.
    """
    rng = random.Random(seed)
    latencies, errors, late, answered, running = {"chat": [], "feedback": []}, {}, [], [], set()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=4)
    settings = {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {TOKEN}"},
        "limits": limits,
        "timeout": 30,
    }
    async with contextlib.AsyncExitStack() as stack:
        # many clients with few connections each: a pool's work grows with the square of its connections
        clients = [await stack.enter_async_context(httpx.AsyncClient(**settings)) for _ in range(32)]
        turn = itertools.cycle(clients)

        async def send(kind, due):
            if kind == "chat":
                body = {"user_id": f"user {rng.randrange(1000)}", "prompt": prompt(rng)}
            else:
                body = {"request_id": answered.pop(), "vote": rng.choice(["thumbs_up", "thumbs_down"])}
            try:
                answer = await next(turn).post(f"/{kind}", json=body)
                problem = None if answer.status_code == 200 else str(answer.status_code)
            except httpx.HTTPError as error:
                problem = type(error).__name__
            latencies[kind].append(time.perf_counter() - due)
            if problem:
                errors[problem] = errors.get(problem, 0) + 1
            elif kind == "chat":
                answered.append(answer.json()["request_id"])

        start = time.perf_counter()
        due = start
        while (due := due + rng.expovariate(rate)) < start + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            late.append(time.perf_counter() - due)
            kind = "feedback" if answered and rng.random() < 0.2 else "chat"
            running.add(task := asyncio.create_task(send(kind, due)))
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    return latencies, errors, float(np.percentile(late, 99))


def prompt(rng):
    """A prompt of the text world."""
    animal, relation = rng.choice(text.ANIMALS), rng.choice(list(text.RELATIONS))
    return f"i think {animal} {relation} {rng.choice(text.RELATIONS[relation])} . :"


def small_model(folder):
    """A text-world model, trained for a few seconds so that its answers end, in a folder."""
    from course_utils.testbed import models

    prompts = text.make_prompts(3000, seed=0)
    model = models.small_model(len(text.VOCABULARY))
    models.train_on_examples(model, prompts, text.example_answers(prompts, 0), steps=150)
    models.save_model(model, models.word_tokenizer(text.VOCABULARY), folder)


def run(name, rate, seconds, options, folder):
    """One benchmark with its table; returns the number of errors."""
    database = f"sqlite:///{folder}/{name}.db"
    tokens = write_tokens(f"{folder}/tokens.json", {TOKEN: "benchmark"})
    shared = ["--database", database, "--tokens", tokens, "--rate", 10 * rate]
    with ServerProcess(*shared, *options, OMP_WAIT_POLICY="PASSIVE") as server:
        processes = {"server": psutil.Process(server.process.pid), "generator": psutil.Process()}
        before = {who: sum(process.cpu_times()[:2]) for who, process in processes.items()}
        latencies, errors, late = asyncio.run(load(server.url, rate, seconds))
        cpu = {who: sum(process.cpu_times()[:2]) - before[who] for who, process in processes.items()}
    total = sum(map(len, latencies.values()))
    print(f"{name}: {total} requests in {seconds:g} s ({total / seconds:.0f}/s), errors: {errors or 0}")
    for kind, values in {**latencies, "all": sum(latencies.values(), [])}.items():
        p50, p95, p99 = (1000 * np.percentile(values, level) for level in (50, 95, 99))
        print(f"  {kind:8} {len(values):6}   p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   p99 {p99:6.1f} ms")
    spent = ", ".join(f"{who} {1000 * seconds / total:.2f} ms" for who, seconds in cpu.items())
    print(f"  CPU a request: {spent}")
    store = open_store(database)
    print(f"  stored: {len(store.requests_frame())} answers, {len(store.feedback_frame())} votes")
    print(f"  the generator itself was late by {1000 * late:.1f} ms (p99); load {os.getloadavg()[0]:.1f}")
    return sum(errors.values())


def main():
    """Run what is asked for; the exit status says whether there were errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second to the stub")
    parser.add_argument(
        "--model", metavar="FOLDER", help="a model folder; by default a text-world model is made"
    )
    parser.add_argument(
        "--model-rate", type=float, default=10.0, help="requests a second to the model; 0: none"
    )
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # generator and server together on two cores
    with tempfile.TemporaryDirectory() as folder:
        errors = run("stub", asked.rate, asked.seconds, ["--stub", "--share", "0.5"], folder)
        if asked.model_rate:
            model = asked.model or Path(folder) / "text-world"
            if not asked.model:
                small_model(model)
            options = ["--model", model, "--max-new", text.MAX_RESPONSE]
            errors += run("model", asked.model_rate, asked.seconds, options, folder)
    return int(errors > 0)


if __name__ == "__main__":
    sys.exit(main())
