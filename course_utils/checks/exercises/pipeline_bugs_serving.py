"""04-kto-pipeline: find the bug, those of the service: an answer cut, a blocked loop."""

import asyncio
import copy
import functools
import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

from course_utils.checks.beside import beside, ours
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug
from course_utils.checks.exercises.pipeline_logs import Fault
from course_utils.checks.observe import describe_error, quietly
from course_utils.checks.scripts.service import failing, many_requests, together, two_requests
from course_utils.checks.scripts.tokens import Tokens, cut, vocabulary
from course_utils.words import type_of, with_article

# --- bug-03: the answer cut out of the text by characters -------------------------------------------


def _observe_cut(function, case):
    """The answer that is cut out."""
    try:
        return {"result": quietly(beside, function, cut, *copy.deepcopy(case.args))}
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}


def new_text(tokenizer, prompt, output_ids):
    """The text that the model wrote after the prompt. output_ids: the prompt's ids and the new ones."""
    start = len(tokenizer.encode(prompt))
    return tokenizer.decode(output_ids[start:], skip_special_tokens=True)


def _cut_shown(tokenizer, prompt, output_ids):
    text = tokenizer.decode(output_ids, skip_special_tokens=True)
    return text[len(prompt) :].strip()


def _cut_replaced(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids, skip_special_tokens=True).replace(prompt, "").strip()


def _cut_with_specials(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids)[len(prompt) :].strip()


def _cut_keeps_end(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(tokenizer.encode(prompt)) :])


def _cut_by_words(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(prompt.split()) :], skip_special_tokens=True)


def _cut_by_characters_of_ids(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(prompt) :], skip_special_tokens=True)


def _cut_one_late(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(tokenizer.encode(prompt)) + 1 :], skip_special_tokens=True)


def _cut_nothing(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids, skip_special_tokens=True)


def _cut_at_mark(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids, skip_special_tokens=True).split("[/INST]")[-1].strip()


def _cut_decoded_prompt(tokenizer, prompt, output_ids):
    """By characters, but those of the prompt as it comes back from the tokenizer."""
    shown = tokenizer.decode(tokenizer.encode(prompt), skip_special_tokens=True)
    return tokenizer.decode(output_ids, skip_special_tokens=True)[len(shown) :].strip()


def _cut_decoded_everywhere(tokenizer, prompt, output_ids):
    shown = tokenizer.decode(tokenizer.encode(prompt), skip_special_tokens=True)
    return tokenizer.decode(output_ids, skip_special_tokens=True).replace(shown, "").strip()


def _cut_by_token(tokenizer, prompt, output_ids):
    ids = list(output_ids)
    for _ in tokenizer.encode(prompt):
        ids.pop(0)
    return tokenizer.decode(ids, True)


def _cut_prefix(tokenizer, prompt, output_ids):
    whole = tokenizer.decode(list(output_ids), skip_special_tokens=True)
    return whole.removeprefix(tokenizer.decode(tokenizer.encode(prompt), skip_special_tokens=True)).lstrip()


def _cut_end_too(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(tokenizer.encode(prompt)) : -1])


def _cut_marks(tokenizer, prompt, output_ids):
    return re.sub("<[^>]*>", "", tokenizer.decode(output_ids[len(tokenizer.encode(prompt)) :])).strip()


def _answer_case(prompt, answer, ended=True):
    words = vocabulary([prompt, answer])
    ids = Tokens(words).encode(prompt) + [words.index(w) for w in answer.split()] + [1] * ended
    return Case((words, prompt, ids), label=f"{prompt!r}")


def _answer_cases(draw):
    words = [f"w{i}" for i in draw.permutation(30)]
    a, b, c = " ".join(words[:5]), " ".join(words[5:9]), " ".join(words[9:16])
    return [
        _answer_case("<s> [INST] What is the capital of France? [/INST]", "Paris is the capital."),
        _answer_case(f"<s> [INST] {a} [/INST]", c),
        _answer_case(f"[INST] {a}   {b} [/INST]", c),
        _answer_case(f"{b}\n\n{a}\n", f"{c} [/INST] {b}"),  # the mark is part of the answer
        _answer_case(f"<s> [INST] {b} [/INST]", f"{a} {b} {a}"),  # the prompt's words come again
        _answer_case("hm  ?", "hm ? hm ?"),
        _answer_case(b, a),
        _answer_case(f"<s> {b} \n {a}", c, ended=False),  # cut off at the longest length
        _answer_case(f"<s> [INST] {b} [/INST]", f"{a} <b> x<y </b> {c}"),
    ]


BUG_03 = find_the_bug(
    3,
    "new_text",
    new_text,
    (Part("the answer whole, and nothing else", 3, _answer_cases),),
    (
        ("replaced", _cut_replaced, "the prompt is sought in the text, but decoding has changed it"),
        (
            "replaced-everywhere",
            _cut_decoded_everywhere,
            "the decoded prompt is taken out, or split at, wherever it stands; an answer may say it again. Cut at the beginning only",
        ),
        (
            "specials-kept",
            _cut_with_specials,
            "special tokens are kept now; so the answer's own end token is kept too, and spaces still differ",
        ),
        (
            "last-token-cut",
            _cut_end_too,
            "the last token is always cut; an answer that was broken off has no end token",
        ),
        (
            "all-in-angle-brackets",
            _cut_marks,
            "all that stands in angle brackets was taken out; an answer may hold some. `skip_special_tokens` knows the special ones",
        ),
        ("end-token-kept", _cut_keeps_end, "the end token </s> is part of the answer now"),
        (
            "words-counted",
            _cut_by_words,
            "the prompt's words are counted, but the tokenizer may put a token in front of them",
        ),
        (
            "characters-of-ids",
            _cut_by_characters_of_ids,
            "ids are cut now, but as many as the prompt has characters",
        ),
        ("one-too-late", _cut_one_late, "the answer loses its first token"),
        ("nothing-cut", _cut_nothing, "the prompt is part of the answer now"),
        (
            "at-the-mark",
            _cut_at_mark,
            "the answer begins after [/INST] now; not every prompt has it, and an answer may hold it",
        ),
        (
            "as-shown",
            _cut_shown,
            "as many characters as the prompt has are cut off a text in which the prompt has become shorter: "
            "its special tokens and double spaces are gone, so the answer loses its beginning",
        ),
    ),
    {
        "characters of the decoded prompt": _cut_decoded_prompt,
        "token by token": _cut_by_token,
        "prefix": _cut_prefix,
    },
    (
        'Call it with a prompt that begins with "<s>" and look at the first letters of the answer.',
        "encode and decode do not give back the same text: compare the lengths of `prompt` and of the decoded prompt.",
        "Cut the ids, not the text: how many ids does the prompt have?",
    ),
    _observe_cut,
)


# --- bug-06: a blocking call on the event loop ------------------------------------------------------

_PATIENCE = 0.7  # seconds; only wrong answers are waited for


async def chat(prompt, generate):
    """Answer a request; while the model generates, the service goes on with other requests."""
    return await asyncio.to_thread(generate, prompt)


async def _chat_shown(prompt, generate):
    return generate(prompt)


async def _chat_yielding(prompt, generate):
    await asyncio.sleep(0)
    return generate(prompt)


async def _chat_joining(prompt, generate):
    found = []
    thread = threading.Thread(target=lambda: found.append(generate(prompt)))
    thread.start()
    thread.join()
    return found[0]


async def _chat_in_a_task(prompt, generate):
    async def work():
        return generate(prompt)

    return await asyncio.create_task(work())


async def _chat_not_awaited(prompt, generate):
    return asyncio.to_thread(generate, prompt)


_LOCKS = {}


async def _chat_locked(prompt, generate):
    lock = _LOCKS.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with lock:
        return await asyncio.to_thread(generate, prompt)


async def _chat_swallowing(prompt, generate):
    try:
        return await asyncio.to_thread(generate, prompt)
    except Exception:
        return ""


async def _chat_executor(prompt, generate):
    return await asyncio.get_running_loop().run_in_executor(None, generate, prompt)


async def _chat_own_executor(prompt, generate):
    pool = ThreadPoolExecutor(max_workers=4)
    try:
        return await asyncio.wrap_future(pool.submit(functools.partial(generate, prompt)))
    finally:
        pool.shutdown(wait=False)


async def _chat_thread(prompt, generate):
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def set_(kind, value):
        loop.call_soon_threadsafe(getattr(future, kind), value)

    def work():
        try:
            set_("set_result", generate(prompt))
        except Exception as error:
            set_("set_exception", error)

    threading.Thread(target=work, daemon=True).start()
    return await future


async def _chat_wrapping(prompt, generate):
    try:
        return await asyncio.to_thread(generate, prompt)
    except Exception as error:
        raise ConnectionError("model failed") from error


async def _chat_task_group(prompt, generate):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.to_thread(generate, prompt))
    return task.result()


async def _chat_error_replaced(prompt, generate):
    failed = False
    try:
        return await asyncio.to_thread(generate, prompt)
    except Exception:
        failed = True
    if failed:
        raise RuntimeError("internal error")


_SHARED = [None]


async def _chat_shared(prompt, generate):
    """The prompt lies where the next request puts its own."""
    _SHARED[0] = prompt
    return await asyncio.to_thread(lambda: generate(_SHARED[0]))


async def _chat_cut_off(prompt, generate):
    return await asyncio.wait_for(asyncio.to_thread(generate, prompt), timeout=0.05)


_ANSWERS = {}


async def _chat_remembering(prompt, generate):
    if prompt not in _ANSWERS:
        _ANSWERS[prompt] = await asyncio.to_thread(generate, prompt)
    return _ANSWERS[prompt]


def _observe_service(function, case):
    """What becomes of the loop, of the answers, of an error, as the case's `extra` says."""
    try:
        return quietly(case.extra, function, list(case.args))
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}


def _two(function, prompts):
    seen = beside(function, two_requests, prompts, _PATIENCE)
    answers = seen["answers"]
    if answers is None:
        words = Missing("chat is no async function any more: what it returns cannot be awaited")
        return {"loop": words, "answers": words}
    odd = [a for a in answers if not isinstance(a, str)]
    words = "other requests go on"
    if seen["on the loop"]:
        words = "the model runs on the event loop itself, and other requests wait"
    elif seen["blocked"]:
        words = "the event loop waits for the model's thread, and other requests wait"
    elif seen["alone"]:
        words = "one answer is generated after the other"
    elif not ours(function) and not _come_together(function, prompts):
        words = "the model holds up the event loop, or the other request"
    return {
        "loop": words
        if not odd
        else f"{'None' if odd[0] is None else type_of(odd[0])} came back, not an answer",
        "answers": answers if not odd else "not texts",
    }


def _come_together(function, prompts):
    """Whether a function that is elsewhere gets answers that only come where nothing waits for anything; for what
    beside it was noticed can be forged there."""
    try:
        with function.apart() as (inside, _):
            return beside(inside, together, prompts) == [f"answer to {prompt}" for prompt in prompts]
    except Exception:  # no answer, and the end of that process
        return False


def _failing(function, prompts):
    trouble = f"out of memory ({secrets.token_hex(8)})"  # known to no one who is not told

    def generate(prompt):
        raise RuntimeError(trouble)

    seen = beside(function, failing, prompts[0], generate)
    if "error" in seen:
        words = Missing(f"{with_article(seen['error'])} comes, which does not tell the model's error")
        return {"error of the model": "comes through" if trouble in seen["told"] else words}
    if seen["coroutine"]:
        return {"error of the model": Missing("a coroutine came back")}
    return {"error of the model": Missing(f"{seen['returned']!r} came back, as if nothing had happened")}


def _asking(function, prompts):
    """Many requests at a time, the same question twice one after the other, and an answer that takes its time."""
    given = {}

    def answer(prompt):
        given.setdefault(prompt, []).append(f"answer {secrets.token_hex(8)} to {prompt}")
        return given[prompt][-1]

    answers = beside(function, many_requests, prompts, answer)
    if answers is None:
        return {"asked": Fault("an answer that takes 0.3 seconds was cut off; models take longer", "cut off")}
    if not all(isinstance(answer, str) for answer in answers):
        return {"asked": Fault("not texts", "not texts")}
    first, again = answers[:-1], answers[-1]
    own = [given.get(prompt, [None])[0] for prompt in prompts]
    if again == first[-1] and again in given.get(prompts[-1], [again]):
        words = "asked the same again, it gave the old answer without asking the model"
        return {"asked": Fault(words, "remembered")}
    if first != own:
        wrong = next(i for i, (a, b) in enumerate(zip(first, own, strict=True)) if a != b)
        return {"asked": _astray(prompts[wrong], first[wrong], given)}
    return {"asked": "each its own"}


def _astray(prompt, answer, given):
    """What is wrong with the answer that a request got, of all that the model has given to each prompt."""
    if answer in given.get(prompt, ()):
        return Fault("for one request the model was asked more than once", "asked twice")
    if any(answer in answers for answers in given.values()):
        return Fault(f"the request {prompt!r} got {answer!r}", "another's answer")
    return Fault(f"the request {prompt!r} got {answer!r}, which the model never gave", "not the model's")


def _service_cases(draw):
    return [
        Case(
            (f"question {draw.integer(1, 99)}", "another question"),
            label="two requests at a time",
            extra=_two,
        )
    ]


def _asking_cases(draw):
    number = draw.integer(1, 99)
    prompts = tuple(f"question {number + i}" for i in range(4))
    return [Case(prompts, label="four requests at a time, two of which take 0.3 seconds", extra=_asking)]


def _error_cases(draw):
    return [Case(("hello",), label="a model that raises", extra=_failing)]


def _answer_parts(draw):
    return _service_cases(draw) + _asking_cases(draw)


BUG_06 = find_the_bug(
    6,
    "chat",
    chat,
    (
        Part("other requests go on meanwhile", 2, _service_cases, ("loop",)),
        Part("each request gets its answer", 0.5, _answer_parts, ("answers", "asked")),
        Part("an error of the model comes through", 0.5, _error_cases, ("error of the model",)),
    ),
    (
        (
            "thread-joined",
            _chat_joining,
            "the model runs in a thread now, but the event loop waits for it all the same",
        ),
        (
            "not-async",
            lambda prompt, generate: generate(prompt),
            "it is no async function any more, so that the service cannot await it",
        ),
        (
            "not-awaited",
            _chat_not_awaited,
            "what comes back is not the answer but something to be awaited",
        ),
        ("locked", _chat_locked, "a lock lets only one request at a time through to the model"),
        (
            "error-swallowed",
            _chat_swallowing,
            "an error of the model is swallowed: the client gets an empty answer",
        ),
        (
            "error-replaced",
            _chat_error_replaced,
            "another error takes the place of the model's, and nothing tells what went wrong: let it through, or `raise ... from` it",
        ),
        (
            "shared-prompt",
            _chat_shared,
            "the prompt lies in a variable that all requests share: before the model reads it, another request may have put its own there",
        ),
        (
            "cut-off",
            _chat_cut_off,
            "an answer that takes longer than a moment is cut off; a model takes seconds",
        ),
        (
            "remembered",
            _chat_remembering,
            "an answer is remembered by its prompt, so that who asks again gets the old one; `generate` is to be asked each time",
        ),
        (
            "as-shown",
            _chat_shown,
            "the call of the model blocks the event loop: until the answer is there no other request is served, "
            "not even a vote or a health check",
        ),
    ),
    {
        "executor": _chat_executor,
        "own pool": _chat_own_executor,
        "a thread and a future": _chat_thread,
        "the error wrapped": _chat_wrapping,
        "a task group": _chat_task_group,
    },
    (
        "`async` alone makes nothing run beside anything: who could do something else while generate(prompt) runs?",
        "A function that is not async and takes long belongs into a thread.",
        "asyncio has a function that runs another one in a thread and can be awaited; look at its documentation for to_…",
    ),
    _observe_service,
)
