"""03-method-comparison: the loop of constitutional revision."""

from dataclasses import replace

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import observe_call
from course_utils.constitution import revise
from course_utils.words import type_of

# After so many questions a principle gives up: rounds that never end must not hang a notebook.
_PATIENCE = 1000
_WORDS = ("stones", "rivers", "clouds", "trees", "birds", "hills", "roads", "boats", "lamps", "bells")


def _observe_revision(function, case):
    """The text and the trail by themselves; the principles are counted, so that no loop is endless."""
    response, principles, *rest = case.args
    asked = 0

    def counted(principle):
        def ask(text):
            nonlocal asked
            asked += 1
            if asked > _PATIENCE:
                raise RecursionError("the rounds do not end")
            return principle(text)

        return ask

    seen = observe_call(function, replace(case, args=(response, [counted(p) for p in principles], *rest)))
    if "error" in seen:
        return seen
    result = seen["result"]
    if isinstance(result, str):
        return {
            "text": result,
            "trail": Missing("the text alone where text and trail are wanted"),
            "inputs": seen["inputs"],
        }
    if not isinstance(result, list) or len(result) != 2:
        kind = "None" if result is None else type_of(result)
        words = Missing(f"{kind} where (text, trail) is wanted")
        return {"text": words, "trail": words, "inputs": seen["inputs"]}
    return {"text": result[0], "trail": result[1], "inputs": seen["inputs"]}


# --- principles ---------------------------------------------------------------------------------


def _change(old, new):
    """Replaces one word by another; objects where it is there."""

    def principle(text):
        return (
            " ".join(new if word == old else word for word in text.split()) if old in text.split() else None
        )

    return principle


def _always(old, new):
    """As `_change`, but gives back an equal text where it does not object: a new string, not the same object."""
    return lambda text: " ".join(new if word == old else word for word in text.split())


def _once(old, new):
    """Replaces the first such word only."""
    return lambda text: text.replace(old, new, 1) if old in text else None


def _without(word):
    """Drops a word; nothing may be left."""

    def principle(text):
        return " ".join(w for w in text.split() if w != word) if word in text.split() else None

    return principle


def _ending(words):
    """Wants a text to end with certain words: makes it longer."""
    return lambda text: None if text.endswith(words) else f"{text} {words}"


def _some(word):
    """Wants a text that says anything at all."""
    return lambda text: text or word


def _content(text):
    """Never objects."""


def _tidy(text):
    """Wants single spaces."""
    return " ".join(text.split())


def _indented(text):
    """Wants a space at either end."""
    return text if text.startswith(" ") else f" {text} "


def _large(text):
    """Wants a capital letter at the beginning."""
    return text[:1].upper() + text[1:]


def _words(draw, count):
    return [_WORDS[i] for i in draw.permutation(len(_WORDS))[:count]]


# --- cases --------------------------------------------------------------------------------------


def _round_cases(draw):
    """One round is all that is needed: a second one finds no objection."""
    a, b, c, d = _words(draw, 4)
    tail = f"{c} {d}"
    return [
        Case(
            ("it is terrible .", [_change("terrible", "poor"), _ending("Thanks .")]), label="two principles"
        ),
        Case((f"{a} {b}", [_change(a, c), _change(b, d)]), label="two principles, each with one objection"),
        Case(
            (f"{a} {b}", [_change(a, b), _change(b, c)], 2),
            label="the second objects to what the first wrote",
        ),
        Case((f"{b} {a}", [_change(a, b), _change(a, c)]), label="the first leaves no reason to the second"),
        Case(
            (f"{b} {a} {a}", [_change(a, c), _ending(tail), _change(a, d)], 5),
            label="the same with one between them",
        ),
        Case((f"{a} {b}", [_change(c, d), _content, _change(b, a)]), label="only the last one objects"),
        Case(
            (f"{a} {b} .", [_always(c, d), _always(a, d), _always(c, b)]),
            label="principles that return the same text where they do not object",
        ),
        Case((f"{a} {b}", [_change(c, d), _content]), label="no objection"),
    ]


def _further_cases(draw):
    a, b, c, d, e = _words(draw, 5)
    back = [_change(b, c), _change(a, b)]
    chain = [_change(d, e), _change(c, d), _change(b, c), _change(a, b)]
    there_and_back = [_change(a, b), _change(b, a)]
    grow = [lambda text: text + " ."]
    return [
        Case((a, [_change(a, b), _without(b)]), label="nothing is left in the end"),
        Case((f"{a} {a}", [_change(b, c), _without(a), _some(d)]), label="all words dropped, then one added"),
        Case((a, [_some(b), _without(a)]), label="nothing is left, then the first principle adds a word"),
        Case(
            (f"{a} {c}", [_some(b), _without(c), _change(a, a), _without(a)]),
            label="the same, from two words",
        ),
        Case((f"{a} {b}", [_change(a, c), _indented]), label="a revision with a space at either end"),
        Case((f"{a}  {b} ", [_change(c, d), _content]), label="no objection, odd spaces"),
        Case((f"{a}  {b}", [_tidy], 2), label="only spaces to change"),
        Case((f"{a}  {b}", [_large], 2), label="only a capital to change"),
        Case((f"{a} {d}", back), label="the second gives the first a new reason"),
        Case((f"{a} {b}", back, 1), label="the same, max_rounds 1"),
        Case((a, chain, 10), label="four principles in an order that needs four rounds, max_rounds 10"),
        Case((a, chain), label="the same, max_rounds not given"),
        Case((a, chain, 2), label="the same, max_rounds 2"),
        Case((a, [*chain, _content], 4), label="four rounds needed, max_rounds 4"),
        Case(
            (f"{a} {a}", [_once(a, b), _ending(c), _always(b, d), _ending(e)], 2),
            label="four objections a round",
        ),
        Case((" ".join([a] * 5), [_once(a, b), _once(b, c)], 3), label="one word a round, max_rounds 3"),
        Case((a, [*there_and_back, _once(a, c)], 5), label="the third ends what the first two do and undo"),
        Case(
            (a, [_change(a, b), _content, _change(c, a), _change(b, c)], 4), label="in a circle, max_rounds 4"
        ),
        Case((a, grow), label="one that always objects, max_rounds not given"),
        Case((a, grow, 7), label="one that always objects, max_rounds 7"),
    ]


def _trail_cases(draw):
    a, b, c, d = _words(draw, 4)
    for_ever = [_change(d, a), _change(a, b), _always(c, d), _change(b, a)]
    return [
        Case((f"{a} {b}", [_change(a, c), _change(b, d)]), label="two revisions in one round"),
        Case(
            (f"{a} {d}", [_change(b, c), _always(d, d), _change(a, b)]), label="two revisions, in two rounds"
        ),
        Case((f"{a} {b}", [_content, _always(c, d)]), label="no objection"),
        Case(
            (a, [_change(a, b), _change(b, a)], 3), label="each round ends with the first text, max_rounds 3"
        ),
        Case((d, for_ever, 4), label="the last one undoes what the second does, max_rounds 4"),
        Case((f"{a} {a} {c}", [_once(a, b), _ending(d)]), label="three revisions, in two rounds"),
        Case((f"{a} {a} {a}", [_once(a, b), _content], 2), label="three words to change, max_rounds 2"),
    ]


# --- answers ------------------------------------------------------------------------------------


def _loop(
    rounds=lambda limit: limit,
    order=list,
    objects=lambda new, text: new is not None and new != text,
    ended=lambda objections, principles, before, text: objections == 0,
    entry=lambda before, new: new,
):
    """An answer like the right one, but for one step."""

    def answer(response, principles, max_rounds=3):
        text, trail = response, []
        for _ in range(rounds(max_rounds)):
            before, objections = text, 0
            for principle in order(principles):
                new = principle(text)
                if objects(new, text):
                    trail.append(entry(text, new))
                    text, objections = new, objections + 1
            if ended(objections, principles, before, text):
                break
        return text, trail

    return answer


def _then(change):
    """The right answer's (text, trail), changed: change(first text, text, trail)."""
    return lambda response, principles, max_rounds=3: change(
        response, *revise(response, principles, max_rounds)
    )


def _stopping(stop, inside):
    """Ends the rounds where stop(first text, text), after a revision (`inside`) or at the end of a round."""

    def answer(response, principles, max_rounds=3):
        text, trail = response, []
        for _ in range(max_rounds):
            before = len(trail)
            for principle in principles:
                new = principle(text)
                if new is not None and new != text:
                    text = new
                    trail.append(text)
                    if inside and stop(response, text):
                        return text, trail
            if len(trail) == before or stop(response, text):
                break
        return text, trail

    return answer


def _all_at_once(response, principles, max_rounds=3):
    """Each principle sees the text as it was at the start of the round; the last objection wins."""
    text, trail = response, []
    for _ in range(max_rounds):
        found = [new for p in principles if (new := p(text)) not in (None, text)]
        if not found:
            break
        trail += found
        text = found[-1]
    return text, trail


def _from_the_first(response, principles, max_rounds=3):
    text, trail = response, []
    for _ in range(max_rounds):
        found = [new for p in principles if (new := p(response)) not in (None, response)]
        trail += found
        text = found[-1] if found else text
    return text, trail


def _one_a_round(response, principles, max_rounds=3):
    """Back to the first principle after every revision."""
    text, trail = response, []
    for _ in range(max_rounds):
        new = next((new for p in principles if (new := p(text)) not in (None, text)), None)
        if new is None:
            break
        text = new
        trail.append(text)
    return text, trail


def _each_until_content(response, principles, max_rounds=3):
    text, trail = response, []
    for principle in principles:
        for _ in range(max_rounds):
            new = principle(text)
            if new is None or new == text:
                break
            text = new
            trail.append(text)
    return text, trail


def _content_forgotten(response, principles, max_rounds=3):
    text, trail, left = response, [], list(principles)
    for _ in range(max_rounds):
        for principle in list(left):
            new = principle(text)
            if new is None or new == text:
                left.remove(principle)
            else:
                text = new
                trail.append(text)
    return text, trail


def _back_to_the_first(response, principles, max_rounds=3):
    text, trail = response, []
    for _ in range(max_rounds * len(principles)):
        new = next((new for p in principles if (new := p(text)) not in (None, text)), None)
        if new is None:
            break
        text = new
        trail.append(text)
    return text, trail


def _until_first_content(response, principles, max_rounds=3):
    """A round ends at the first principle that does not object."""
    text, trail = response, []
    for _ in range(max_rounds):
        for principle in principles:
            new = principle(text)
            if new is None or new == text:
                break
            text = new
            trail.append(text)
        else:
            continue
        break
    return text, trail


def _no_limit(response, principles, max_rounds=3):
    return revise(response, principles, 10**6)


def _counting_revisions(response, principles, max_rounds=3):
    text, trail = revise(response, principles, max_rounds)
    trail = trail[:max_rounds]
    return (trail[-1] if trail else response), trail


def _seen_before(response, principles, max_rounds=3):
    text, trail, seen = response, [], {response}
    for _ in range(max_rounds):
        before = len(trail)
        for principle in principles:
            new = principle(text)
            if new is not None and new not in seen:
                text = new
                trail.append(text)
                seen.add(text)
        if len(trail) == before:
            break
    return text, trail


def _trail_of_rounds(response, principles, max_rounds=3):
    text, trail = response, []
    for _ in range(max_rounds):
        new = revise(text, principles, 1)[0]
        if not revise(text, principles, 1)[1]:
            break
        text = new
        trail.append(text)
    return text, trail


def _trail_of_last_round(response, principles, max_rounds=3):
    text, last = response, []
    for _ in range(max_rounds):
        text, trail = revise(text, principles, 1)
        if not trail:
            break
        last = trail
    return text, last


def _trail_of_all(response, principles, max_rounds=3):
    """An entry for each principle that was asked, whether it objected or not."""
    text, trail = response, []
    for _ in range(max_rounds):
        before = text
        for principle in principles:
            text = text if (new := principle(text)) is None else new
            trail.append(text)
        if text == before:
            break
    return text, trail


def _trail_of_answers(response, principles, max_rounds=3):
    text, trail = response, []
    for _ in range(max_rounds):
        answers = []
        for principle in principles:
            answers.append(principle(text))
            text = text if answers[-1] is None else answers[-1]
        trail += answers
        if not any(answers):
            break
    return text, trail


def _none_taken(response, principles, max_rounds=3):
    text, trail = response, []
    for principle in principles:
        text = principle(text)
        trail.append(text)
    return text, trail


def _turning_in_place(response, principles, max_rounds=3):
    right = revise(response, principles, max_rounds)
    principles.reverse()
    return right


def _with_texts_beside(response, principles, max_rounds=3):
    return principles[0](response, max_rounds), []


def _recursive(response, principles, max_rounds=3):
    if max_rounds == 0:
        return response, []
    text, trail = response, []
    for principle in principles:
        revised = principle(text) or ("" if principle(text) == "" else text)
        trail += [revised] * (revised != text)
        text = revised
    if not trail:
        return text, []
    last, rest = _recursive(text, principles, max_rounds - 1)
    return last, trail + rest


def _by_generator(response, principles, max_rounds=3):
    def texts():
        text, left, quiet = response, max_rounds * len(principles), 0
        while left and not (quiet >= len(principles) and left % len(principles) == 0):
            if left % len(principles) == 0:
                quiet = 0
            new = principles[-left % len(principles)](text)
            left -= 1
            quiet += new in (None, text)
            if new not in (None, text):
                yield (text := new)

    trail = list(texts())
    return [*trail[-1:], response][0], trail


def _by_reduce(response, principles, max_rounds=3):
    from functools import reduce

    def step(texts, principle):
        new = principle(texts[-1])
        return texts if new is None or new == texts[-1] else [*texts, new]

    texts = [response]
    for _ in range(max_rounds):
        grown = reduce(step, principles, texts)
        if len(grown) == len(texts):
            break
        texts = grown
    return texts[-1], texts[1:]


def _by_while(response, principles, max_rounds=3):
    texts, objected = [response], True
    while objected and max_rounds:
        max_rounds -= 1
        objected = False
        for i in range(len(principles)):
            new = principles[i](texts[-1])
            if isinstance(new, str) and new != texts[-1]:
                objected = True
                texts.append(new)
    return texts.pop() if len(texts) == 1 else texts[-1], texts[1:]


def _with_class(response, principles, max_rounds=3):
    class Draft(str):
        pass

    text, trail = _loop()(response, principles, max_rounds)
    return Draft(text), trail


_EMPTY = "it stopped at the empty text, which is a text like any other: the principles go on with it"
_FIRST_AGAIN = (
    "it stopped because the first text was back; the rounds end when nobody objects, or by `max_rounds`"
)

CONSTITUTIONAL_REVISION = Exercise(
    id="constitutional-revision",
    function="revise",
    reference=revise,
    observe=_observe_revision,
    parts=(
        Part("a round", 2, _round_cases, ("text",)),
        Part("what an objection is, further rounds, when they end", 1.5, _further_cases, ("text",)),
        Part("the trail, principles unchanged", 1.5, _trail_cases, ("trail", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "ends-when-empty",
            _stopping(lambda first, text: not text, inside=False),
            _EMPTY,
        ),
        Misconception(
            "ends-at-once-when-empty",
            _stopping(lambda first, text: not text, inside=True),
            _EMPTY,
        ),
        Misconception(
            "ends-at-the-first-text",
            _stopping(lambda first, text: text == first, inside=False),
            _FIRST_AGAIN,
        ),
        Misconception(
            "ends-at-once-at-the-first-text",
            _stopping(lambda first, text: text == first, inside=True),
            _FIRST_AGAIN,
        ),
        Misconception(
            "stripped",
            lambda response, principles, max_rounds=3: revise(
                response, [lambda text, p=p: (new := p(text)) and new.strip() for p in principles], max_rounds
            ),
            "spaces at the ends of a revision were removed; only the principles change the text",
        ),
        *(
            Misconception(
                f"default-max-rounds-{rounds}",
                lambda response, principles, max_rounds=rounds: revise(response, principles, max_rounds),
                "max_rounds has another default where none is passed; it is 3",
            )
            for rounds in (1, 5, 10, 100)
        ),
        Misconception(
            "turned-order",
            _loop(order=lambda principles: principles[::-1]),
            "the principles were applied from the last to the first",
        ),
        Misconception(
            "all-at-once",
            _all_at_once,
            "the principles of a round all saw the text from its start; each is to see it as it stands by then",
        ),
        Misconception(
            "from-the-first",
            _from_the_first,
            "the principles were always given the first text; each is to see it as it stands by then",
        ),
        Misconception(
            "one-a-round",
            _one_a_round,
            "a round ended with its first objection; it applies all principles",
        ),
        Misconception(
            "no-copies",
            _then(lambda first, text, trail: (text, list(dict.fromkeys(trail)))),
            "a text that came twice is in the trail once; each revision has its entry",
        ),
        Misconception(
            "until-first-content",
            _until_first_content,
            "a round ended at a principle that did not object; the others come after it",
        ),
        Misconception(
            "none-taken",
            _none_taken,
            "None was taken for a text; it says that the principle does not object",
        ),
        Misconception(
            "empty-ignored",
            _loop(objects=lambda new, text: bool(new) and new != text),
            "a revision to the empty text was not taken; only None (or the same text) means no objection",
        ),
        Misconception(
            "loosely-compared",
            _loop(objects=lambda new, text: new is not None and new.lower().split() != text.lower().split()),
            "a revision of spaces or capitals only was not taken; every difference counts",
        ),
        Misconception(
            "first-text",
            _then(lambda first, text, trail: (first, trail)),
            "the text is the first one, not the last",
        ),
        Misconception(
            "only-shorter",
            _loop(objects=lambda new, text: new is not None and len(new) < len(text)),
            "a revision was taken only where it is shorter; every one is to be taken",
        ),
        Misconception(
            "tidied",
            _then(lambda first, text, trail: (" ".join(text.split()), trail)),
            "the text's spaces were tidied; only the principles change it",
        ),
        Misconception(
            "content-forgotten",
            _content_forgotten,
            "a principle that did not object once was not asked again; a later change may give it a reason",
        ),
        Misconception(
            "back-to-the-first",
            _back_to_the_first,
            "after each revision it went back to the first principle; a round goes on with the next",
        ),
        Misconception(
            "each-until-content",
            _each_until_content,
            "each principle was repeated until it was content, then the next; a round applies each of them once",
        ),
        Misconception(
            "net-change",
            _loop(ended=lambda objections, principles, before, text: text == before),
            "a round whose text ends as it began was taken for one without an objection",
        ),
        Misconception(
            "one-content-ends",
            _loop(ended=lambda objections, principles, before, text: objections < len(principles)),
            "the rounds ended because one principle did not object; all must be content",
        ),
        Misconception(
            "seen-before",
            _seen_before,
            "a revision to a text that was there before was not taken; every one is to be taken",
        ),
        Misconception(
            "single-round",
            _loop(rounds=lambda limit: 1),
            "only one round was made; an objection may give another principle a new reason",
        ),
        Misconception(
            "always-three",
            _loop(rounds=lambda limit: 3),
            "three rounds were made whatever `max_rounds` says",
        ),
        Misconception(
            "one-round-more",
            _loop(rounds=lambda limit: limit + 1),
            "one round too many was made",
        ),
        Misconception(
            "one-round-less",
            _loop(rounds=lambda limit: max(1, limit - 1)),
            "one round too few was made",
        ),
        Misconception(
            "no-limit",
            _no_limit,
            "the rounds go on for ever where a principle always objects; `max_rounds` ends them",
        ),
        Misconception(
            "revisions-counted",
            _counting_revisions,
            "`max_rounds` limited the revisions; a round may have several of them",
        ),
        Misconception(
            "first-in-trail",
            _then(lambda first, text, trail: (text, [first, *trail])),
            "the trail begins with the first text; it holds the texts after each revision only",
        ),
        Misconception(
            "texts-before",
            _loop(entry=lambda before, new: before),
            "the trail holds the texts before each revision; those after it are wanted",
        ),
        Misconception(
            "last-missing",
            _then(lambda first, text, trail: (text, trail[:-1])),
            "the last text is missing from the trail",
        ),
        Misconception(
            "trail-turned",
            _then(lambda first, text, trail: (text, trail[::-1])),
            "the trail runs from the last revision to the first",
        ),
        Misconception(
            "trail-of-rounds",
            _trail_of_rounds,
            "the trail has one text a round; one after each revision is wanted",
        ),
        Misconception(
            "trail-of-last-round",
            _trail_of_last_round,
            "the trail begins anew with every round; it is to hold all revisions",
        ),
        Misconception(
            "trail-of-all",
            _trail_of_all,
            "the trail has an entry for principles that did not object too",
        ),
        Misconception(
            "trail-of-answers",
            _trail_of_answers,
            "the trail holds what each principle returned, None too; only revisions belong there",
        ),
        Misconception(
            "same-object",
            _loop(objects=lambda new, text: new is not None and new is not text),
            "an equal text was taken for a revision because it is another object; compare with ==",
        ),
        Misconception(
            "steps",
            _loop(entry=lambda before, new: (before, new)),
            "the trail holds pairs of texts; the text after each revision is wanted",
        ),
        Misconception(
            "joined",
            _then(lambda first, text, trail: (text, "\n".join(trail))),
            "the trail is one string; a list of texts is wanted",
        ),
        Misconception(
            "counted",
            _then(lambda first, text, trail: (text, len(trail))),
            "the number of revisions came back in the place of the trail",
        ),
        Misconception(
            "text-alone", _then(lambda first, text, trail: text), "the trail is missing: return (text, trail)"
        ),
        Misconception(
            "trail-alone",
            _then(lambda first, text, trail: trail),
            "the text is missing: return (text, trail)",
        ),
        Misconception(
            "swapped", _then(lambda first, text, trail: (trail, text)), "text and trail are exchanged"
        ),
        Misconception(
            "dict",
            _then(lambda first, text, trail: {"text": text, "trail": trail}),
            "a dict came back; return (text, trail)",
        ),
        Misconception(
            "two-arguments",
            _with_texts_beside,
            "a principle was called with more than the text",
        ),
        Misconception(
            "principles-turned",
            _turning_in_place,
            "the list of principles was changed (by reverse, pop or clear); leave it as it is",
        ),
    ),
    alternatives={
        "recursive": _recursive,
        "generator": _by_generator,
        "reduce": _by_reduce,
        "while": _by_while,
        "a str of its own": _with_class,
    },
    hints=(
        "Two loops: rounds outside, principles inside. Keep the text as it stands in one variable.",
        "A principle objects if what it returns is neither None nor the text that it was given. The empty text is a revision.",
        "Note at the start of a round how long the trail is: if it is no longer at the end, nobody objected.",
    ),
)
