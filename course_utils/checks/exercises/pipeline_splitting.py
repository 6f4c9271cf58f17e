"""04-kto-pipeline: a split with no user and no prompt on two sides.

Which rows go where is free, so an answer is held against what must be true of any right split.
"""

import hashlib
from collections import Counter, defaultdict
from itertools import combinations

import networkx as nx
import numpy as np
import pandas as pd

from course_utils.checks.beside import beside, ours
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.pipeline_logs import (
    UP,
    Fault,
    Log,
    form_of,
    kept_places,
    listed,
    remembered,
    run,
)
from course_utils.checks.scripts.another_process import in_another_process, with_another_hash
from course_utils.feedback.split import SIDES, connected_groups, split_feedback
from course_utils.words import type_of

_WIDTH = 0.1

# --- how an answer is looked at ------------------------------------------------------------------


def _observe_split(function, case):
    """What holds of the split: each row once, nobody on two sides, the sizes, the same again."""
    result, error, inputs = run(function, case)
    if error:
        return {"error": error}
    frame, fractions = case.args[0], case.kwargs.get("fractions", (0.8, 0.1, 0.1))
    places = _places(frame, result)
    if isinstance(places, Missing):
        keys = ("rows", "filled", "users", "prompts", "sizes", "form", "same")
        return dict.fromkeys(keys, places) | {"inputs": inputs}
    seen = {
        "rows": _each_once(frame, places),
        "filled": "all" if all(places.values()) else Missing("there is a frame without rows"),
        "users": _apart(frame["user_id"], places, "user"),
        "prompts": _apart(frame["prompt"], places, "prompt"),
        "sizes": {side: _size(side, places, len(frame), f) for side, f in zip(SIDES, fractions, strict=True)},
        "inputs": inputs,
    }
    return seen | _form(function, case, result, places) if case.extra else seen


def _form(function, case, result, places):
    """Whether rows are as they were, and whether the same seed gives the same split again."""
    forms = [form_of(case.args[0], result[side], places[side]) for side in SIDES]
    again, error, _ = run(function, case)
    again = error or _places(case.args[0], again)
    same = "yes"
    if not _alike(again, places):
        same = Missing("the same seed gave another split when it was asked a second time")
    elif not _alike_elsewhere(function, case, places):
        same = Missing(
            "the same seed gives another split in another process: hash() of a text and the order of a set are others "
            "there. Sort the set before you draw from it"
        )
    return {"form": next((form for form in forms if isinstance(form, Missing)), "unaltered"), "same": same}


def _alike(one, other):
    return isinstance(one, dict) and all(sorted(one[side]) == sorted(other[side]) for side in SIDES)


_THROUGH = """
def _split_elsewhere(columns, index, kwargs):
    import pandas

    frame = pandas.DataFrame(columns, index=index)
    frame["timestamp"] = pandas.to_datetime(frame["timestamp"])
    return {side: rows["timestamp"].astype(str).tolist() for side, rows in split_feedback(frame, **kwargs).items()}
"""


def _alike_elsewhere(function, case, places):
    """Whether the split is the same with another hash(), and in another process.

    A process that imports pandas takes seconds. So it is started only where names matter in another way than
    by their order: where all users and prompts get a letter in front and the split is not the same; for one case.
    """
    frame = case.args[0]
    salted, error, _ = run(lambda *args, **kwargs: _with_another_hash(function, args, kwargs), case)
    if error or not _alike(_places(frame, salted), places):
        return bool(error)
    if case.extra != "elsewhere too":
        return True
    if not ours(function):  # at grading a process of ours
        with function.apart(elsewhere=True) as (there, _):
            result, error, _ = run(there, case)
        return not error and _alike(_places(frame, result), places)
    renamed = frame.assign(user_id="x" + frame["user_id"], prompt="x" + frame["prompt"])
    other, error, _ = run(function, Case((renamed,), case.kwargs))
    if error or _alike(_places(renamed, other), places):
        return True
    columns = {name: listed(column) for name, column in frame.items()}
    moments = columns["timestamp"] = frame["timestamp"].astype(str).tolist()
    call = [columns, frame.index.tolist(), case.kwargs]
    found = beside(function, in_another_process, "split_feedback", [call], ("_split_elsewhere", _THROUGH))
    if found is None:
        return True
    return all(sorted(found[0][side]) == sorted(moments[i] for i in places[side]) for side in SIDES)


def _with_another_hash(function, args, kwargs):
    return beside(function, with_another_hash, [[args, kwargs]])[0]


def _places(frame, result):
    """The rows of each side, as positions in the frame given; or a `Missing`."""
    if not isinstance(result, dict):
        kind = "None (is there a `return`?)" if result is None else type_of(result)
        return Missing(f"{kind} where a dict of frames is wanted")
    places = {}
    for side in SIDES:
        if side not in result:
            return Missing(f"the key {side!r} is missing; there are {', '.join(map(str, result))}")
        found = kept_places(frame, result[side])
        if isinstance(found, Missing):
            return Missing(f"{side}: {found.words}")
        places[side] = found
    return places


def _each_once(frame, places):
    sets = {side: set(found) for side, found in places.items()}
    for one, other in combinations(SIDES, 2):
        if sets[one] & sets[other]:
            return Missing(f"there are rows in both {one} and {other}")
    if sum(map(len, sets.values())) < sum(map(len, places.values())):
        return Missing("there are rows more than once in a frame")
    if sum(map(len, sets.values())) < len(frame):
        return Missing("there are rows in none of the three frames")
    return "each in one"


def _apart(column, places, kind):
    values = listed(column)
    sets = [{values[place] for place in places[side]} for side in SIDES]
    if len(set().union(*sets)) < sum(map(len, sets)):
        return Missing(f"there are {kind}s on two sides")
    return "apart"


def _size(side, places, rows, fraction):
    share = len(places[side]) / rows
    if abs(share - fraction) <= _WIDTH + 1e-9:
        return "as wanted"
    words = f"{side} holds {share:.0%} of the rows, wanted {fraction:.0%}, give or take {_WIDTH:.0%}"
    return Fault(words, "too many" if share > fraction else "too few")


# --- cases: each a log of groups of users and prompts ------------------------------------------------


def _group(log, name, users, prompts, votes):
    """`votes` votes of a group's users on its prompts, enough of them to hold the group together."""
    people = [f"{name}u{i}" for i in range(users)]
    questions = [f"{name} asks {i}" for i in range(prompts)]
    ties = [
        (people[i % users], questions[(i - i // users) % prompts]) for i in range(max(users + prompts, votes))
    ]
    ties = [(p, questions[0]) for p in people] + [(people[0], q) for q in questions] + ties
    for person, question in ties[: max(votes, users + prompts)]:
        log.add(person, log.rng.random() < 0.65, question)


def _chain(log, name, links):
    """Users and prompts in a chain: u0 - p0 - u1 - p1 ..., two votes a link."""
    for i in range(links):
        for _ in range(2):
            log.add(f"{name}u{i}", log.rng.random() < 0.65, f"{name} asks {i}")
        log.add(f"{name}u{i + 1}", log.rng.random() < 0.65, f"{name} asks {i}")


def _case(log, label, index="plain", fractions=None, seed=None, form=False, **kwargs):
    frame, _ = log.frame(index, **kwargs)
    given = {} if fractions is None else {"fractions": fractions}
    if seed is not None:
        given["seed"] = seed
    return Case((frame,), given, label=label, extra=form)


def _mixed(rng, groups=70):
    log = Log(rng)
    for i in range(groups):
        _group(log, f"g{i}", int(rng.integers(1, 5)), int(rng.integers(1, 4)), int(rng.integers(3, 12)))
    return log


@remembered
def _row_cases(rng):
    copies = Log(rng)
    for i in range(60):
        for _ in range(4):  # the same vote again and again is a row each time
            copies.add(f"u{i}", i % 3 > 0, f"question {i}", "answer")
    return [
        _case(_mixed(rng), "seventy groups of users and prompts"),
        _case(
            _mixed(rng),
            "seventy groups, an index with repeated labels",
            "repeated",
            seed=int(rng.integers(1, 99)),
        ),
        _case(copies, "sixty users of one prompt each, every vote logged four times", "words"),
    ]


@remembered
def _apart_cases(rng):
    shared, own, stars, chains, pairs, giant = (Log(rng) for _ in range(6))
    for i in range(50):  # a prompt that three users ask: whole users alone will not do
        for user in range(3):
            shared.votes(f"g{i}u{user}", 1, 1, prompt=f"group {i} asks")
    for i in range(60):  # a user of four prompts: whole prompts alone will not do
        for question in range(4):
            own.add(f"u{i}", question % 2, f"user {i} asks {question}")
    for i in range(50):  # users of one prompt in common, asked first, and two of their own
        for user in range(3):
            stars.add(f"g{i}u{user}", True, f"group {i} asks")
            stars.add(f"g{i}u{user}", False)
            stars.add(f"g{i}u{user}", True)
    for i in range(30):
        _chain(chains, f"g{i}", int(rng.integers(3, 9)))
    for i in range(120):  # nobody shares anything, but each vote is there three times
        pairs.votes(f"u{i}", 2, 1, prompt=f"user {i} asks")
    _chain(giant, "big", 60)
    for i in range(60):
        _group(giant, f"g{i}", 2, 2, 6)
    return [
        _case(shared, "prompts that several users ask"),
        _case(own, "users of several prompts", "repeated"),
        _case(stars, "users of a prompt in common and two of their own", "falling", shuffle=False),
        _case(
            chains,
            "chains: a user's prompt is another's, whose next prompt is a third's",
            seed=int(rng.integers(1, 99)),
        ),
        _case(pairs, "users and prompts that have nothing to do with each other", "words"),
        _case(giant, "one chain of a third of the rows among small groups", "shuffled", warning=False),
    ]


@remembered
def _size_cases(rng):
    small, large, uneven = Log(rng), Log(rng), Log(rng)
    for i in range(150):
        _group(small, f"g{i}", int(rng.integers(1, 3)), int(rng.integers(1, 3)), int(rng.integers(2, 6)))
    for i in range(24):  # each a twenty-fourth of the rows
        _group(large, f"g{i}", 3, 3, 20)
    for i in range(12):  # twelve groups hold half of the rows, 120 the other half
        _group(uneven, f"big{i}", 4, 4, 40)
    for i in range(120):
        _group(uneven, f"g{i}", 1, 1, 4)
    seeds = [int(s) for s in rng.integers(1, 1000, 3)]
    return [
        _case(small, "small groups, the default fractions"),
        _case(small, "small groups, 0.5, 0.4 and 0.1", fractions=(0.5, 0.4, 0.1), seed=seeds[0]),
        _case(small, "small groups, 0.5, 0.33 and 0.17", fractions=(0.5, 0.33, 0.17), seed=seeds[0]),
        _case(
            small,
            "small groups, 0.34, 0.33 and 0.33",
            "repeated",
            fractions=(0.34, 0.33, 0.33),
            seed=seeds[1],
        ),
        _case(
            large, "24 groups of equal size, 0.5, 0.25 and 0.25", fractions=(0.5, 0.25, 0.25), seed=seeds[2]
        ),
        _case(large, "24 groups of equal size", seed=seeds[0]),
        _case(
            uneven,
            "12 groups of 4 % of the rows and 120 small ones, sorted by size",
            fractions=(0.5, 0.25, 0.25),
            seed=seeds[1],
            shuffle=False,
        ),
    ]


@remembered
def _split_form_cases(rng):
    log = _mixed(rng, 60)
    log.add("odd", True, " what now ? ", " Yes ")
    return [
        _case(log, "an index with repeated labels", "repeated", form="elsewhere too"),
        _case(log, "an index of words, no column content_warning", "words", form=True, warning=False),
    ]


# --- answers ------------------------------------------------------------------------------------


def _dealt(groups_of, shuffled=True, fixed=None, seeded=True, unit=False):
    """An answer that splits whole groups: from a frame to a group number for each row."""

    def answer(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
        side = _sides(groups_of(feedback), fixed or fractions, seed if seeded else None, unit, shuffled)
        return {name: feedback[side == i] for i, name in enumerate(SIDES)}

    return answer


def _sides(group, fractions, seed, unit=False, shuffled=True):
    """The side of each row. `unit`: shares of the groups, not of the rows."""
    numbers, place = np.unique(np.asarray(group), return_inverse=True)
    size = np.ones(len(numbers)) if unit else np.bincount(place).astype(float)
    order = np.random.default_rng(seed).permutation(len(numbers)) if shuffled else np.arange(len(numbers))
    middle = np.empty(len(numbers))
    middle[order] = (np.cumsum(size[order]) - size[order] / 2) / size.sum()
    return np.searchsorted(np.cumsum(fractions)[:2], middle)[place]


def _codes(*columns):
    return lambda feedback: feedback.groupby(list(columns), sort=False).ngroup().to_numpy()


def _rows(feedback):
    return np.arange(len(feedback))


def _first_prompt(feedback):
    """Users grouped by the first prompt of each: one step of the way."""
    first = feedback.drop_duplicates("user_id").set_index("user_id")["prompt"]
    return pd.factorize(feedback["user_id"].map(first))[0]


def _one_pass(feedback):
    """Each user's smallest prompt number, then each prompt's smallest of those: not repeated."""
    prompt = pd.Series(pd.factorize(feedback["prompt"])[0], feedback["timestamp"])
    least = prompt.groupby(feedback["user_id"].to_numpy()).transform("min")
    return least.groupby(feedback["prompt"].to_numpy()).transform("min").to_numpy()


def _kept(rule):
    """A split by user, and then rows dropped where the prompt is on another side too."""

    def answer(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
        frames = _dealt(_codes("user_id"))(feedback, fractions, seed)
        return rule(frames)

    return answer


def _without_known_prompts(frames):
    seen, result = set(), {}
    for side in SIDES:
        result[side] = frames[side][~frames[side]["prompt"].isin(seen)]
        seen |= set(frames[side]["prompt"])
    return result


def _right(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    return _dealt(connected_groups)(feedback, fractions, seed)


def _edited(edit):
    def answer(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
        return edit(_right(feedback, fractions, seed))

    return answer


def _unique(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    return _right(feedback.drop_duplicates(["prompt", "response", "user_id", "feedback"]), fractions, seed)


def _by_labels(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    side = _sides(connected_groups(feedback), fractions, seed)
    return {name: feedback.loc[feedback.index[side == i]] for i, name in enumerate(SIDES)}


def _by_hash(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    """Groups in the order of a hash() of their first user."""
    group = connected_groups(feedback)
    first = feedback["user_id"].groupby(group).min()
    order = sorted(first.index, key=lambda number: hash((first[number], seed)))
    side = _sides(np.argsort(order)[group], fractions, seed, shuffled=False)
    return {name: feedback[side == i] for i, name in enumerate(SIDES)}


def _by_digest(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    """Groups in the order of a digest of their first user."""
    group = connected_groups(feedback)
    first = feedback["user_id"].groupby(group).min()
    order = sorted(first.index, key=lambda n: hashlib.md5(f"{seed}/{first[n]}".encode()).hexdigest())
    side = _sides(np.argsort(order)[group], fractions, seed, shuffled=False)
    return {name: feedback[side == i] for i, name in enumerate(SIDES)}


def _input_column(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    feedback["group"] = connected_groups(feedback)
    return {k: v.drop(columns="group") for k, v in _right(feedback, fractions, seed).items()}


def _input_shuffled(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    feedback.sort_values("user_id", inplace=True)
    return _right(feedback, fractions, seed)


def _everything_in_train(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    return {"train": feedback.copy(), "validation": feedback.iloc[:0], "test": feedback.iloc[:0]}


def _test_in_train(frames):
    return frames | {"train": pd.concat([frames["train"], frames["test"]])}


def _union_find(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    parent = {}

    def root(node):
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for user, prompt in zip(feedback["user_id"], feedback["prompt"], strict=True):
        parent[root(("user", user))] = root(("prompt", prompt))
    roots = [root(("user", user)) for user in feedback["user_id"]]
    sizes = sorted(Counter(roots).items(), key=lambda item: (-item[1], item[0]))
    lacking = {side: f * len(feedback) for side, f in zip(SIDES, fractions, strict=True)}
    home = {}
    for group, size in sizes:  # the largest first, each to the side that lacks most
        side = max(SIDES, key=lacking.get)
        home[group], lacking[side] = side, lacking[side] - size
    side = np.array([home[r] for r in roots])
    return {name: feedback[side == name].reset_index(drop=True) for name in SIDES}


def _with_networkx(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    graph = nx.Graph()
    graph.add_edges_from(
        ("u" + u, "p" + p) for u, p in zip(feedback["user_id"], feedback["prompt"], strict=True)
    )
    groups = sorted((sorted(group) for group in nx.connected_components(graph)), key=lambda g: g[0])
    np.random.default_rng(seed).shuffle(groups)
    votes = feedback["user_id"].value_counts()
    frames, done = {side: [] for side in SIDES}, 0
    for group in groups:
        users = [name[1:] for name in group if name[0] == "u"]
        share = done / len(feedback)
        side = (
            "train"
            if share < fractions[0]
            else "validation"
            if share < fractions[0] + fractions[1]
            else "test"
        )
        frames[side] += users
        done += int(votes[users].sum())
    return {side: feedback[feedback["user_id"].isin(users)].copy() for side, users in frames.items()}


def _with_labels_passed_on(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    """Labels that users and prompts hand to each other until nothing changes."""
    users, prompts = feedback["user_id"].to_numpy(), feedback["prompt"].to_numpy()
    label = pd.Series(np.arange(len(feedback)))
    while True:
        new = label.groupby(users).transform("min").groupby(prompts).transform("min")
        if new.equals(label):
            break
        label = new
    frame = feedback.assign(_group=label.to_numpy())
    order = frame["_group"].drop_duplicates().sample(frac=1, random_state=seed).tolist()
    sizes = frame["_group"].value_counts()[order].cumsum() / len(frame)
    cut = np.cumsum(fractions)
    train = set(sizes.index[sizes <= cut[0] + 1e-9])
    validation = set(sizes.index[sizes <= cut[1] + 1e-9]) - train
    pick = {"train": train, "validation": validation, "test": set(order) - train - validation}
    return {s: frame[frame["_group"].isin(g)].drop(columns="_group") for s, g in pick.items()}


def _with_search(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    """A walk over rows: those of the same user, those of the same prompt, and so on."""
    users, prompts = feedback["user_id"].tolist(), feedback["prompt"].tolist()
    of_user, of_prompt = defaultdict(list), defaultdict(list)
    for place, (user, prompt) in enumerate(zip(users, prompts, strict=True)):
        of_user[user].append(place)
        of_prompt[prompt].append(place)
    seen, groups = [False] * len(feedback), []
    for start in range(len(feedback)):
        if seen[start]:
            continue
        group, todo, seen[start] = [], [start], True
        while todo:
            place = todo.pop()
            group.append(place)
            for other in of_user[users[place]] + of_prompt[prompts[place]]:
                if not seen[other]:
                    seen[other] = True
                    todo.append(other)
        groups.append(group)
    generator = np.random.RandomState(seed)
    generator.shuffle(groups)
    picked = {side: [] for side in SIDES}
    for group in sorted(groups, key=len, reverse=True):
        lack = {s: f - len(picked[s]) / len(feedback) for s, f in zip(SIDES, fractions, strict=True)}
        picked[max(lack, key=lack.get)] += group
    return {side: feedback.iloc[generator.permutation(places)] for side, places in picked.items()}


SPLIT_FEEDBACK = Exercise(
    id="split-feedback",
    function="split_feedback",
    reference=split_feedback,
    observe=_observe_split,
    parts=(
        Part("every row in exactly one of three frames", 1, _row_cases, ("rows", "filled")),
        Part("no user and no prompt on two sides", 2.5, _apart_cases, ("rows", "users", "prompts")),
        Part("sizes within 0.1 of the fractions", 1.5, _size_cases, ("rows", "sizes")),
        Part(
            "same seed, same split; rows and frame unchanged",
            1,
            _split_form_cases,
            ("same", "form", "inputs"),
        ),
    ),
    misconceptions=(
        Misconception(
            "random-rows",
            _dealt(_rows),
            "rows were dealt at random, so that users and prompts are on several sides: the model is tested on people and "
            "questions that it was trained on",
        ),
        Misconception(
            "by-first-prompt",
            _dealt(_first_prompt),
            "users were grouped by one of their prompts; their other prompts may be shared too",
        ),
        Misconception(
            "by-user",
            _dealt(_codes("user_id")),
            "users are kept together, prompts are not: one prompt asked by two users may be on two sides",
        ),
        Misconception(
            "one-pass",
            _dealt(_one_pass),
            "groups were joined once, through users and then prompts; a chain needs as many rounds as it is long",
        ),
        Misconception(
            "by-prompt",
            _dealt(_codes("prompt")),
            "prompts are kept together, users are not: a user with two prompts may be on two sides",
        ),
        Misconception(
            "by-pair",
            _dealt(_codes("user_id", "prompt")),
            "rows of the same user *and* prompt are kept together; the same user *or* prompt is enough",
        ),
        Misconception(
            "shared-prompts-dropped",
            _kept(_without_known_prompts),
            "rows whose prompt is on another side were dropped; every row is to be in one of the frames",
        ),
        Misconception(
            "copies-dropped",
            _unique,
            "rows that are alike were dropped; a split cleans nothing, every row is to be in one of the frames",
        ),
        Misconception(
            "everything-in-train",
            _everything_in_train,
            "all rows are in train; validation and test hold none",
        ),
        Misconception(
            "test-in-train",
            _edited(_test_in_train),
            "the rows of test are in train as well",
        ),
        Misconception(
            "validation-is-test",
            _edited(lambda frames: frames | {"validation": frames["test"]}),
            "validation and test hold the same rows",
        ),
        Misconception(
            "no-validation",
            _edited(lambda f: {"train": f["train"], "test": pd.concat([f["validation"], f["test"]])}),
            "there are two frames; three are wanted",
        ),
        Misconception(
            "short-names",
            _edited(lambda f: {"train": f["train"], "val": f["validation"], "test": f["test"]}),
            "the keys are not train, validation and test",
        ),
        Misconception(
            "a-tuple",
            _edited(lambda frames: tuple(frames.values())),
            "a tuple was returned; a dict with the keys train, validation and test is wanted",
        ),
        Misconception(
            "places",
            _edited(lambda frames: {side: frame.index.to_numpy() for side, frame in frames.items()}),
            "the dict holds positions or labels; the frames themselves are wanted",
        ),
        Misconception(
            "by-labels",
            _by_labels,
            "rows were fetched by their index labels, but several rows may bear one label; select with a mask",
        ),
        Misconception(
            "default-fractions",
            _dealt(connected_groups, fixed=(0.8, 0.1, 0.1)),
            "the argument `fractions` has no effect",
        ),
        Misconception(
            "rest-halved",
            lambda feedback, fractions=(0.8, 0.1, 0.1), seed=0: _right(
                feedback, (fractions[0], (1 - fractions[0]) / 2, (1 - fractions[0]) / 2), seed
            ),
            "what train leaves was halved between validation and test; each has a share of its own in `fractions`",
        ),
        Misconception(
            "texts-stripped",
            _edited(
                lambda frames: {
                    side: frame.assign(**{c: frame[c].str.strip() for c in ("prompt", "response")})
                    for side, frame in frames.items()
                }
            ),
            "the texts were stripped; the rows stay as they are",
        ),
        Misconception(
            "fractions-turned",
            lambda feedback, fractions=(0.8, 0.1, 0.1), seed=0: _right(
                feedback, (fractions[0], fractions[2], fractions[1]), seed
            ),
            "validation and test got each other's share",
        ),
        Misconception(
            "share-of-groups",
            _dealt(connected_groups, unit=True, shuffled=False),
            "the fractions were taken of the groups; they are of the rows, and groups differ in size",
        ),
        Misconception(
            "equal-parts",
            _dealt(connected_groups, fixed=(1 / 3, 1 / 3, 1 / 3)),
            "the three frames are equally large; `fractions` says how large each is to be",
        ),
        Misconception(
            "unseeded",
            _dealt(connected_groups, seeded=False),
            "the split is drawn anew each time; draw from `seed`",
        ),
        Misconception(
            "hash",
            _by_hash,
            "hash() of a text, and with it the order of a set, is another in each process, and so is the split; sort the names, or take a digest (hashlib)",
        ),
        Misconception(
            "column-left",
            _edited(lambda frames: {side: f.assign(group=0) for side, f in frames.items()}),
            "a helper column is still in the frames",
        ),
        Misconception(
            "columns-gone",
            _edited(
                lambda frames: {
                    s: f[["prompt", "response", "feedback", "timestamp"]] for s, f in frames.items()
                }
            ),
            "columns are missing from the frames",
        ),
        Misconception(
            "labels-for-verdicts",
            _edited(lambda frames: {s: f.assign(feedback=f["feedback"] == UP) for s, f in frames.items()}),
            "the verdicts were turned into something else; rows stay as they are",
        ),
        Misconception(
            "input-column",
            _input_column,
            "a column was added to the frame that was given; work on a copy",
        ),
        Misconception(
            "input-sorted",
            _input_shuffled,
            "the frame that was given was sorted; work on a copy",
        ),
    ),
    alternatives={
        "union-find": _union_find,
        "networkx": _with_networkx,
        "labels passed on": _with_labels_passed_on,
        "search": _with_search,
        "digests": _by_digest,
        "scipy": _right,
    },
    hints=(
        "Think of users and prompts as points and of each row as a line between two: all rows of a connected piece must go "
        "to the same side.",
        "`scipy.sparse.csgraph.connected_components` numbers the pieces; give prompts other numbers than users. By hand: "
        "pass the smallest label on between users and prompts until nothing changes.",
        "Then deal out whole pieces, in an order drawn from `seed`: each to the side that lacks most rows.",
    ),
)
