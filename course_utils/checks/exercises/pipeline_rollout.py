"""04-kto-pipeline: who gets the treatment, and whether to ramp it up."""

import bisect
import hashlib
import json
import math
import random
import uuid
import zlib
from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy import stats

from course_utils.checks.beside import beside, each, ours
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import describe_error, observe_call, quietly
from course_utils.checks.scripts.another_process import in_another_process, with_another_hash
from course_utils.serving.rollout import rollout_decision
from course_utils.serving.routing import assign_variant

# --- assign-variant: how it is looked at ----------------------------------------------------------


def _observe_routing(function, case):
    """One aspect of a router, in words: the case's `extra` says which."""
    try:
        return {"result": _ASPECTS[case.extra](function, *case.args)}
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}


def _variants(function, users, share, salt):
    """1 for the treatment, 0 for control; ValueError for anything else."""
    return _as_numbers(quietly(each, function, _calls(users, share, salt)))


def _calls(users, share, salt):
    return [(user, share, salt) if salt else (user, share) for user in users]


def _as_numbers(given):
    odd = [v for v in given if not isinstance(v, str) or v not in ("treatment", "control")]
    if odd:
        shown = "None (is there a `return`?)" if odd[0] is None else repr(odd[0])[:40]
        raise _Odd(f'{shown} came back, where "treatment" or "control" is wanted')
    return np.array([v == "treatment" for v in given])


class _Odd(Exception):
    """Something else than a variant came back."""


def _words(aspect):
    def answer(function, *args):
        try:
            return aspect(function, *args)
        except _Odd as odd:
            return str(odd)

    return answer


@_words
def _share(function, users, share, salt):
    """How many are treated: a thousandth is allowed, and chance, but for one in ten million."""
    seen = _variants(function, users, share, salt).mean()
    for end, word in ((0, "nobody"), (1, "everybody")):
        if seen == end:
            return word
    if share in (0, 1):
        return f"not {'everybody' if share else 'nobody'}"
    n = len(users)
    low, high = (
        stats.binom.ppf(1e-7, n, max(share - 0.001, 0)),
        stats.binom.isf(1e-7, n, min(share + 0.001, 1)),
    )
    if low <= seen * n <= high:
        return "about the share"
    if low <= n - seen * n <= high:
        return "about the rest"
    return "too many" if seen > share else "too few"


@_words
def _growth(function, users, shares, salt):
    """Whether raising the share moves a user back."""
    before = np.zeros(len(users), dtype=bool)
    for share in shares:
        now = _variants(function, users, share, salt)
        if (before & ~now).any():
            return "users are moved back when the share is raised"
        before = now
    return "nobody is moved back"


@_words
def _step(function, users, shares, salt):
    """Whether a step of three thousandths adds someone: of 4000 users about 12."""
    low, high = (_variants(function, users, share, salt) for share in shares)
    if (low & ~high).any():
        return "users are moved back when the share is raised"
    return "raising the share by 0.003 adds nobody" if (low == high).all() else "a few users more"


@_words
def _salts(function, users, share, salts):
    """Whether each pair of salts agrees on no more and no fewer users than chance would have it."""
    seen = [_variants(function, users, share, salt) for salt in salts]
    chance = share**2
    room = 6 * math.sqrt(chance * (1 - chance) / len(users))
    both = [(a & b).mean() for i, a in enumerate(seen) for b in seen[i + 1 :]]
    if all(np.array_equal(seen[0], other) for other in seen):
        return "the salt makes no difference"
    return "independent" if all(abs(b - chance) <= room for b in both) else "the salts' draws hang together"


@_words
def _process(function, users, share, salt):
    """Whether the variants are the same again, in another order, and in another process."""
    first = _variants(function, users, share, salt)
    if first.all() or not first.any():  # the same for all is no draw that could differ
        return "everybody" if first.all() else "nobody"
    again = _variants(function, users[::-1], share, salt)[::-1]
    if not np.array_equal(first, again):
        return "another variant when asked again"
    calls = [[call, {}] for call in _calls(users, share, salt)]
    elsewhere = _as_numbers(quietly(beside, function, with_another_hash, calls))
    if not np.array_equal(first, elsewhere):
        return "another variant in another process"
    if not _alike_elsewhere(function, users, share, salt, first):
        return (
            "another variant in another process: something that it uses is another there, such as random numbers that a "
            "dict or cache keeps, os.urandom, the process id, the time, or __hash__"
        )
    return "the same again"


def _alike_elsewhere(function, users, share, salt, first):
    """Whether variants are the same in a new process: one of the function's own making, or at grading one of ours."""
    if not ours(function):
        with function.apart(elsewhere=True) as (there, _):
            return np.array_equal(first, _variants(there, users[::-1], share, salt)[::-1])
    calls = [[user, share, salt] for user in users[::-1][: len(users) // 2]]
    found = beside(function, in_another_process, "assign_variant", calls)
    return found in (None, ["treatment" if v else "control" for v in first[::-1][: len(calls)]])


_ASPECTS = {"share": _share, "growth": _growth, "step": _step, "salts": _salts, "process": _process}


# --- assign-variant: cases ------------------------------------------------------------------------


def _users(draw, n):
    """Ids in the styles that services have; all different."""
    return _ids(draw.integer(1, 10**6), n)


@lru_cache(maxsize=64)
def _ids(start, n):
    styles = (
        lambda i: f"user-{start + i}",
        lambda i: str(start + 7 * i),
        lambda i: f"{start * 2**64 + i * 2**40:032x}",
        lambda i: f"ünal.{start + i}@example.org",
        lambda i: f"u{start + i:012d}",
    )
    return [styles[i % len(styles)](i) for i in range(n)]


def _share_cases(draw):
    most = round(draw.uniform(0.65, 0.7), 3)
    return [
        Case((_users(draw, 2000), 0.5, ""), label="share 0.5 of 2000 users", extra="share"),
        Case((_users(draw, 2000), 0.1, ""), label="share 0.1 of 2000 users", extra="share"),
        Case((_users(draw, 1500), most, ""), label=f"share {most:g} of 1500 users", extra="share"),
        Case((_users(draw, 12_000), 0.002, ""), label="share 0.002 of 12000 users", extra="share"),
        Case((_users(draw, 1500), 0.05, "exp-7"), label='share 0.05, salt "exp-7"', extra="share"),
        Case((_users(draw, 8000), 0, ""), label="share 0", extra="share"),
        Case((_users(draw, 300), 1, ""), label="share 1", extra="share"),
        Case((_users(draw, 200), 1.0, "exp-7"), label='share 1.0, salt "exp-7"', extra="share"),
    ]


def _process_cases(draw):
    return [
        Case((_users(draw, 500), 0.5, ""), label="500 users, asked again", extra="process"),
        Case((_users(draw, 200), 0.3, "exp-7"), label='200 users, salt "exp-7"', extra="process"),
    ]


def _growth_cases(draw):
    shares = sorted({0.01, 0.05, 0.1, round(draw.uniform(0.12, 0.4), 3), 0.5, 0.75, 0.99, 1})
    return [
        Case((_users(draw, 300), shares, ""), label="the share raised from 0.01 to 1", extra="growth"),
        Case((_users(draw, 200), (0, 0.2, 0.6), "exp-7"), label='salt "exp-7"', extra="growth"),
        # no 256th lies between the two; thousandths add 8 to 16 users
        Case((_users(draw, 4000), (0.403, 0.406), ""), label="shares 0.403 and 0.406", extra="step"),
    ]


def _salt_cases(draw):
    salts = ("", "exp-7", "exp-8", f"{draw.integer(2020, 2040)}-10", "colour of the button")
    return [
        Case((_users(draw, 1200), 0.5, salts), label="share 0.5, five salts", extra="salts"),
        Case((_users(draw, 1500), 0.2, salts[:3]), label="share 0.2, three salts", extra="salts"),
    ]


# --- assign-variant: answers ----------------------------------------------------------------------


def _place(text):
    """A place on [0, 1)."""
    return int.from_bytes(hashlib.md5(text.encode()).digest()[:6], "big") / 2**48


def _below(place):
    """An answer that treats those whose place(user_id, share, salt) is below the share."""

    def answer(user_id, share, salt=""):
        return "treatment" if place(user_id, share, salt) < share else "control"

    return answer


def _when(treated):
    def answer(user_id, share, salt=""):
        return "treatment" if treated(user_id, share, salt) else "control"

    return answer


def _hundredths(u, share, salt):
    return int(hashlib.sha256(f"{salt}{u}".encode()).hexdigest(), 16) % 100


def _digits(user_id):
    return int("".join(c for c in user_id if c.isdigit()) or 0)


def _with_sha(user_id, share, salt=""):
    digest = hashlib.sha256((salt + "/" + user_id).encode("utf-8")).hexdigest()
    return ("control", "treatment")[int(digest, 16) % 100_000 < share * 100_000]


def _with_random(user_id, share, salt=""):
    return "treatment" if random.Random(f"{user_id}#{salt}").random() < share else "control"


def _with_numpy(user_id, share, salt=""):
    if np.random.default_rng(zlib.crc32(f"{salt}|{user_id}".encode())).random() < share:
        return "treatment"
    return "control"


def _with_uuid(user_id, share, salt=""):
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([salt, user_id])).int
    return "treatment" if Fraction(number, 2**128) < Fraction(share) else "control"


def _with_blake(user_id, share, salt=""):
    keyed = hashlib.blake2b(user_id.encode(), key=hashlib.md5(salt.encode()).digest(), digest_size=4)
    bucket = int(keyed.hexdigest(), 16) % 1000
    return "treatment" if bucket < round(share * 1000) else "control"


def _with_bisect(user_id, share, salt=""):
    place = (zlib.crc32(hashlib.sha1(f"{salt}~{user_id}".encode()).digest()) & 0xFFFFFFFF) / 2**32
    return ["treatment", "control"][bisect.bisect_right([share], place)]


ASSIGN_VARIANT = Exercise(
    id="assign-variant",
    function="assign_variant",
    reference=assign_variant,
    observe=_observe_routing,
    parts=(
        Part("about the share, none at 0 and all at 1", 1.5, _share_cases),
        Part("the same again, in every process", 1.5, _process_cases, independent=True),
        Part("raising the share moves nobody back", 1, _growth_cases),
        Part("another salt, another draw", 1, _salt_cases),
    ),
    misconceptions=(
        Misconception(
            "one-too-many",
            _when(lambda u, s, salt: int(_place(salt + "/" + u) * 1000) <= s * 1000),
            "the place must lie below the share: with ≤ a share of 0 still treats some",
        ),
        Misconception(
            "a-byte",
            _below(lambda u, s, salt: hashlib.md5(f"{salt}/{u}".encode()).digest()[0] / 256),
            "the places are 256ths, since only one byte of the digest is used; thousandths are wanted",
        ),
        Misconception(
            "hash",
            _below(lambda u, s, salt: hash(f"{salt}/{u}") % 1000 / 1000),
            "hash() of a text is another in every Python process, so that a restart would move users; a digest (hashlib) stays",
        ),
        Misconception(
            "salt-ignored",
            _below(lambda u, s, salt: _place(u)),
            "the salt makes no difference: the same users would be treated in every experiment",
        ),
        Misconception(
            "salt-shifts",
            _below(lambda u, s, salt: (_place(u) + _place(f"shift {salt}")) % 1),
            "the salt only shifts or turns all users' places alike, so that two experiments hang together; mix it into what is hashed",
        ),
        Misconception(
            "hundredths",
            _when(lambda u, s, salt: _hundredths(u, s, salt) < s * 100),
            "the places are too coarse: with hundredths a share of 0.002 gives 1 %; thousandths at least are wanted",
        ),
        Misconception(
            "hundredths-one-too-many",
            _when(lambda u, s, salt: _hundredths(u, s, salt) <= s * 100),
            "with hundredths and ≤ a share of 0 treats 1 %, and every other share a hundredth too many: the place must lie below the share, and thousandths at least are wanted",
        ),
        Misconception(
            "share-cut-to-percent",
            _when(lambda u, s, salt: _hundredths(u, s, salt) < int(s * 100)),
            "the share is cut or rounded to whole percent: 0.002 gives nobody",
        ),
        Misconception(
            "salt-of-the-share",
            _below(lambda u, s, salt: _place(f"{s}/{salt}/{u}")),
            "a user's place changes with the share, so that raising it moves users back: is the share part of what is hashed?",
        ),
        Misconception(
            "hash-without-salt",
            _below(lambda u, s, salt: hash(u) % 1000 / 1000),
            "hash() of a text is another in every Python process; and the salt is not used",
        ),
        Misconception(
            "even-digest",
            _when(
                lambda u, s, salt: bool(s) and int(_place(f"{salt}/{u}") * 2**40) % max(1, round(1 / s)) == 0
            ),
            "one in round(1/share) users is treated; between 1/2 and 1 there are shares too, and when the share is raised users move back",
        ),
        Misconception(
            "random",
            _below(lambda u, s, salt: random.random()),
            "the variant is drawn anew, or counted on, at each call: the same user sees both variants",
        ),
        Misconception(
            "number-in-the-id",
            _below(lambda u, s, salt: _digits(u) % 1000 / 1000),
            "the number in the id decides; ids need not hold one, and neighbours get neighbouring places whatever the salt",
        ),
        Misconception(
            "sum-of-characters",
            _below(lambda u, s, salt: sum(map(ord, salt + u)) % 1000 / 1000),
            "the sum of the characters does not spread similar ids evenly",
        ),
        Misconception(
            "length",
            _below(lambda u, s, salt: (len(u) + len(salt)) % 10 / 10),
            "the place depends on the length of the id; it must spread the users evenly",
        ),
        Misconception(
            "exchanged",
            lambda user_id, share, salt="": "control" if _place(f"{salt}/{user_id}") < share else "treatment",
            "treatment and control are exchanged",
        ),
        Misconception(
            "half",
            _when(lambda u, s, salt: _place(f"{salt}/{u}") < 0.5),
            "the share makes no difference: half of the users are treated",
        ),
        Misconception(
            "bool",
            lambda user_id, share, salt="": _place(f"{salt}/{user_id}") < share,
            'a bool came back; the words "treatment" and "control" are wanted',
        ),
        Misconception(
            "capitals",
            lambda user_id, share, salt="": assign_variant(user_id, share, salt).capitalize(),
            'the words are "treatment" and "control", in small letters',
        ),
        Misconception(
            "letters",
            lambda user_id, share, salt="": {"treatment": "B", "control": "A"}[
                assign_variant(user_id, share, salt)
            ],
            'letters came back; the words "treatment" and "control" are wanted',
        ),
    ),
    alternatives={
        "sha256 modulo": _with_sha,
        "random seeded by a text": _with_random,
        "numpy": _with_numpy,
        "uuid and fractions": _with_uuid,
        "keyed blake2, thousandths": _with_blake,
        "crc of a digest, bisect": _with_bisect,
    },
    hints=(
        "Give every user a fixed place between 0 and 1 that looks random, and treat those whose place is below the share.",
        "hash() is salted anew in each process. hashlib.sha256(text.encode()).hexdigest() is the same everywhere; int(..., 16) makes it a number.",
        "Salt and id both belong into the hashed text; the share only into the comparison.",
    ),
)


# --- rollout-decision -----------------------------------------------------------------------------


def _z(up_c, n_c, up_t, n_t, pooled=True):
    p = (up_c + up_t) / (n_c + n_t)
    c, t = up_c / n_c, up_t / n_t
    if pooled:
        return (t - c) / math.sqrt(p * (1 - p) * (1 / n_c + 1 / n_t))
    return (t - c) / math.sqrt(c * (1 - c) / n_c + t * (1 - t) / n_t)


@lru_cache(maxsize=256)
def _counts_at(z, n_c, n_t, rate):
    """Counts whose z (of both kinds) is as near as may be to the wanted one."""
    up_c = round(rate * n_c)
    middle, spread = rate * n_t, (abs(z) + 1) * math.sqrt(n_t + n_t**2 / n_c)
    ups = range(max(1, int(middle - spread)), min(n_t, int(middle + spread)))
    up_t = min(ups, key=lambda up: abs((_z(up_c, n_c, up, n_t) + _z(up_c, n_c, up, n_t, False)) / 2 - z))
    return (up_c, n_c), (up_t, n_t)


def _decision_case(z, n_c, n_t, rate):
    control, treatment = _counts_at(z, n_c, n_t, rate)
    label = f"control {control[0]} of {n_c}, treatment {treatment[0]} of {n_t}"
    return Case((control, treatment), label=label)


def _decision_cases(draw):
    """|z| below 1.5 or above 2.5, so that every test of two proportions agrees.

    2.55, 2.7 and 2.85 with equal arms tell the test at 5 % from stricter rules (1 %, intervals that must
    not overlap, three sigma); arms of very unequal size tell the two arms' shares of the error apart.
    """
    rate = draw.uniform(0.6, 0.7)
    rows = [
        (2.55, 6000, 6000, rate),
        (-2.55, 6000, 6000, rate),
        (2.7, 6000, 6000, rate),
        (-2.85, 6000, 6000, rate),
        (1.45, 4000, 4000, rate),
        (-1.45, 4000, 4000, rate),
        (0.6, 5700, 300, 0.65),
        (3.5, 5700, 300, 0.65),  # a twentieth of the traffic
        (-3.4, 300, 5700, 0.6),
        (1.3, 5700, 300, 0.6),  # the rates' ratio is over 1.05
        (-1.3, 5700, 300, 0.6),
        (1.3, 300, 5700, 0.6),
        (1.3, 180, 160, rate),  # a large difference between few votes
        (-1.3, 160, 180, rate),
        (6.0, 20_000, 20_000, 0.65),  # a ratio below 1.05
        (-6.0, 20_000, 20_000, 0.65),
        (0.1, 900, 2400, rate),  # the same rate, more thumbs-up
        (-0.1, 2400, 900, rate),
        (4.0, 800, 200, draw.uniform(0.2, 0.3)),
        (-4.0, 2000, 2600, draw.uniform(0.85, 0.92)),
        (9.0, 400, 300, 0.5),
        (-9.0, 300, 400, 0.7),
        (5.0, 60, 50, 0.4),  # few votes can be enough
        (2.6, 9000, 600, rate),  # an error of two arms of 600 would be too large
        (3.0, 1000, 1000, 0.04),  # rates that are far from a half
        (3.0, 20_000, 20_000, 0.926),  # 93 % both
    ]
    return [_decision_case(*rows[i]) for i in draw.permutation(len(rows))]


def _form_decision(draw):
    return [_decision_case(3.0, 900, 800, 0.6), _decision_case(0.5, 900, 800, 0.6)]


def _by_z(z, bound=1.96):
    """An answer from its own z of (up_c, n_c, up_t, n_t)."""

    def answer(control, treatment):
        value = z(*control, *treatment)
        return "ramp" if value > bound else "roll back" if value < -bound else "hold"

    return answer


def _renamed(**names):
    def answer(control, treatment):
        decision = rollout_decision(control, treatment)
        return names.get(decision.replace(" ", "_"), decision)

    return answer


def _down_votes(up_c, n_c, up_t, n_t):
    """The second number taken for thumbs-down."""
    return _z(up_c, up_c + n_c, up_t, up_t + n_t)


def _no_overlap(control, treatment):
    ends = []
    for up, n in (control, treatment):
        p = up / n
        half = 1.96 * math.sqrt(p * (1 - p) / n)
        ends.append((p - half, p + half))
    (low_c, high_c), (low_t, high_t) = ends
    return "ramp" if low_t > high_c else "roll back" if high_t < low_c else "hold"


def _outside_own_interval(control, treatment):
    up, n = treatment
    p, c = up / n, control[0] / control[1]
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return "ramp" if p - half > c else "roll back" if p + half < c else "hold"


def _total_n(up_c, n_c, up_t, n_t):
    p = (up_c + up_t) / (n_c + n_t)
    return (up_t / n_t - up_c / n_c) / math.sqrt(p * (1 - p) / (n_c + n_t))


def _mean_n(up_c, n_c, up_t, n_t):
    p = (up_c / n_c + up_t / n_t) / 2
    return (up_t / n_t - up_c / n_c) / math.sqrt(p * (1 - p) * 2 / ((n_c + n_t) / 2))


def _poisson(up_c, n_c, up_t, n_t):
    return (up_t - up_c) / math.sqrt(up_t + up_c)


def _p_without_sign(control, treatment):
    p = 2 * stats.norm.sf(abs(_z(*control, *treatment)))
    return "ramp" if p < 0.05 else "hold"


def _p_turned(control, treatment):
    z = _z(*control, *treatment)
    if 2 * stats.norm.sf(abs(z)) > 0.05:
        return "ramp" if z > 0 else "roll back"
    return "hold"


def _with_chi2(control, treatment):
    table = np.array([[up, n - up] for up, n in (control, treatment)])
    if stats.chi2_contingency(table).pvalue >= 0.05:
        return "hold"
    return "ramp" if table[1, 0] / table[1].sum() > table[0, 0] / table[0].sum() else "roll back"


def _with_fisher(control, treatment):
    (a, n), (b, m) = control, treatment
    odds, p = stats.fisher_exact([[b, m - b], [a, n - a]])
    return "hold" if p > 0.05 else ("ramp" if odds > 1 else "roll back")


def _with_unpooled(control, treatment):
    rates, counts = zip(*((up / n, n) for up, n in (control, treatment)), strict=True)
    error = sum(p * (1 - p) / n for p, n in zip(rates, counts, strict=True)) ** 0.5
    low, high = (rates[1] - rates[0] + sign * 1.96 * error for sign in (-1, 1))
    if low > 0:
        return "ramp"
    return "roll back" if high < 0 else "hold"


def _with_t_test(control, treatment):
    votes = [np.repeat([1.0, 0.0], [up, n - up]) for up, n in (treatment, control)]
    found = stats.ttest_ind(*votes, equal_var=False)
    return {(True, True): "ramp", (True, False): "roll back"}.get(
        (bool(found.pvalue < 0.05), bool(found.statistic > 0)), "hold"
    )


def _with_arcsine(control, treatment):
    c, t = (math.asin(math.sqrt(up / n)) for up, n in (control, treatment))
    z = 2 * (t - c) / math.sqrt(1 / control[1] + 1 / treatment[1])
    return ("hold", "ramp", "roll back")[(z > 1.96) - (z < -1.96)]


ROLLOUT_DECISION = Exercise(
    id="rollout-decision",
    function="rollout_decision",
    reference=rollout_decision,
    observe=observe_call,
    parts=(
        Part("the decision", 3.5, _decision_cases),
        Part("inputs unchanged", 0.5, _form_decision, ("inputs",)),
    ),
    misconceptions=(
        Misconception(
            "one-size",
            _by_z(
                lambda up_c, n_c, up_t, n_t: (
                    (up_t / n_t - up_c / n_c)
                    / math.sqrt(2 * (p := (up_c + up_t) / (n_c + n_t)) * (1 - p) / n_c)
                )
            ),
            "both arms were given the size of the control; each has its own",
        ),
        Misconception(
            "one-percent",
            _by_z(_z, 2.5758),
            "the test is stricter than 5 %: a |z| above 2.5 is significant at 5 %, two-sided",
        ),
        Misconception(
            "control-is-certain",
            _outside_own_interval,
            "the control's rate is taken for certain; with few votes in that arm it is not",
        ),
        Misconception(
            "no-overlap",
            _no_overlap,
            "two 95 % intervals that must not overlap are stricter than a test at 5 %",
        ),
        Misconception(
            "mean-size",
            _by_z(_mean_n),
            "both arms were given the same size, the mean; with very unequal arms the small one decides the error",
        ),
        Misconception(
            "three-sigma",
            _by_z(_z, 3.0),
            "three standard errors are asked for; 5 % two-sided are about two",
        ),
        Misconception(
            "back-at-any-loss",
            _by_z(lambda *counts: z if (z := _z(*counts)) > 0 else 100 * z),
            "any lower rate is rolled back; one that chance alone often gives must not be",
        ),
        Misconception(
            "treatment-is-certain",
            _by_z(
                lambda up_c, n_c, up_t, n_t: (
                    (up_t / n_t - up_c / n_c) / math.sqrt(up_c / n_c * (1 - up_c / n_c) / n_c)
                )
            ),
            "only the control's sampling error counts; the treatment's is missing",
        ),
        Misconception(
            "a-point-or-two",
            lambda c, t: (
                "ramp"
                if t[0] / t[1] > c[0] / c[1] + 0.02
                else "roll back"
                if t[0] / t[1] < c[0] / c[1] - 0.02
                else "hold"
            ),
            "a fixed difference of rates decides, however few or many the votes",
        ),
        Misconception(
            "many-votes-only",
            lambda c, t: "hold" if min(c[1], t[1]) < 1000 else rollout_decision(c, t),
            "with fewer than some number of votes it always holds; the test itself knows how much few votes are worth",
        ),
        Misconception(
            "a-hundred-votes-only",
            lambda c, t: "hold" if min(c[1], t[1]) < 100 else rollout_decision(c, t),
            "with fewer than some number of votes it always holds; the test itself knows how much few votes are worth",
        ),
        Misconception(
            "smaller-arm-twice",
            _by_z(lambda a, n, b, m: _z(a * min(n, m) / n, min(n, m), b * min(n, m) / m, min(n, m))),
            "both arms were given the size of the smaller one; each has its own",
        ),
        Misconception(
            "rate-of-a-half",
            _by_z(lambda a, n, b, m: (b / m - a / n) / math.sqrt(0.25 * (1 / n + 1 / m))),
            "the error is that of a rate of one half, which is too large for all others; p is the rate of both arms together",
        ),
        Misconception(
            "rates-rounded",
            _by_z(lambda a, n, b, m: _z(round(a / n, 2) * n, n, round(b / m, 2) * m, m)),
            "the rates are rounded to percent before they are compared; with many votes less than that is significant",
        ),
        Misconception(
            "no-sign",
            _p_without_sign,
            "a significantly lower rate is ramped too: the p-value does not say in which direction",
        ),
        Misconception(
            "never-back",
            _by_z(lambda *counts: max(_z(*counts), 0.0)),
            "a significantly lower rate only holds; then the treatment must be rolled back",
        ),
        Misconception(
            "never-up",
            _by_z(lambda *counts: min(_z(*counts), 0.0)),
            "a significantly higher rate only holds; then the treatment is to be ramped",
        ),
        Misconception("rollback", _renamed(roll_back="rollback"), 'the word is "roll back", with a space'),
        Misconception("roll_back", _renamed(roll_back="roll_back"), 'the word is "roll back", with a space'),
        Misconception("roll-back", _renamed(roll_back="roll-back"), 'the word is "roll back", with a space'),
        Misconception("ramp-up", _renamed(ramp="ramp up"), 'the word is "ramp" alone'),
        Misconception(
            "votes-are-down",
            _by_z(_down_votes),
            "the second number is all votes of the arm; it was taken for the thumbs-down",
        ),
        Misconception(
            "one-sigma",
            _by_z(_z, 1.0),
            "one standard error is enough here; 5 % two-sided are about two",
        ),
        Misconception(
            "all-votes-as-n",
            _by_z(_total_n),
            "the error is divided by the root of all votes together; it is √(p(1 − p)(1/n + 1/m))",
        ),
        Misconception(
            "any-difference",
            lambda c, t: "ramp" if t[0] / t[1] > c[0] / c[1] else "roll back",
            "any difference decides; one that chance alone often gives must not",
        ),
        Misconception(
            "back-unless-better",
            lambda c, t: "ramp" if _z(*c, *t) > 1.96 else "roll back",
            "what is not significantly better is rolled back; without a clear difference, hold",
        ),
        Misconception(
            "up-unless-worse",
            lambda c, t: "roll back" if _z(*c, *t) < -1.96 else "ramp",
            "what is not significantly worse is ramped; without a clear difference, hold",
        ),
        Misconception("wait", _renamed(hold="wait"), 'the word for no clear difference is "hold"'),
        Misconception("continue", _renamed(hold="continue"), 'the word for no clear difference is "hold"'),
        Misconception(
            "ratio-above-1.05",
            lambda c, t: (
                "ramp"
                if t[0] / t[1] > 1.05 * c[0] / c[1]
                else "roll back"
                if t[0] / t[1] < c[0] / c[1] / 1.05
                else "hold"
            ),
            "a ratio of 1.05 decides, however few or many the votes; a test asks how often chance gives as much",
        ),
        Misconception(
            "ratio-or-hold",
            lambda c, t: "ramp" if t[0] / t[1] > 1.05 * c[0] / c[1] else "hold",
            "a ratio of 1.05 decides, however few or many the votes, and a worse treatment is never rolled back",
        ),
        Misconception(
            "ten-sigma",
            lambda c, t: "hold",
            "it always holds; a clear difference must decide",
        ),
        Misconception(
            "exchanged",
            _by_z(lambda *counts: -_z(*counts)),
            "the arms are exchanged: the first is the control, and a better treatment is ramped",
        ),
        Misconception(
            "count",
            lambda c, t: "ramp" if t[0] > c[0] else "roll back" if t[0] < c[0] else "hold",
            "the larger number of thumbs-up wins; compare rates, and ask what chance gives",
        ),
        Misconception(
            "more-thumbs-up",
            _by_z(_poisson),
            "numbers of thumbs-up are compared, not rates; the arms differ in size",
        ),
        Misconception(
            "p-turned",
            _p_turned,
            "the p-value is read the wrong way round: a small one is the significant one",
        ),
        Misconception(
            "capitals",
            lambda c, t: rollout_decision(c, t).capitalize(),
            "the words are in small letters",
        ),
        Misconception(
            "with-p",
            lambda c, t: (rollout_decision(c, t), 2 * stats.norm.sf(abs(_z(*c, *t)))),
            "more than the decision came back; return the word alone",
        ),
    ),
    alternatives={
        "chi-squared, scipy": _with_chi2,
        "Fisher's exact test": _with_fisher,
        "interval of the difference": _with_unpooled,
        "Welch's t test on votes": _with_t_test,
        "arcsine": _with_arcsine,
    },
    hints=(
        "Compare rates, and divide their difference by its standard error.",
        "If there is no difference, both arms share one rate p: the error is √(p(1 − p)(1/n_control + 1/n_treatment)).",
        "Two-sided at 5 %: |z| above 1.96. The sign of z says which way.",
    ),
)
