"""Values across the sandbox's border: each kind there and back, nothing trusted, nothing endless."""

import contextlib
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from inner import crossed, inner

from course_utils.checks.numeric import numeric
from course_utils.checks.observe import describe_error, observe_call
from course_utils.grading.decoder import Decoder
from course_utils.grading.encoder import Encoder
from course_utils.grading.remote import RemoteFunction, stand_in
from course_utils.grading.values import Other, TooLarge, Unreadable, same

X = sympy.Symbol("x", positive=True)
FRAME = pd.DataFrame(
    {
        "text": ["a", None, "ü"], "flag": [True, False, True], "share": [0.5, math.nan, 1.0],
        "when": pd.to_datetime(["2026-01-05", "2026-01-06", None]), "mixed": [1, "b", None],
        "kind": pd.Categorical(["u", "v", "u"]),
    },
    index=pd.Index(["r", "s", "s"], name="row"),
)  # fmt: skip
EXPRESSIONS = [
    X**2 / (1 + sympy.exp(-X)), sympy.log(X, evaluate=False) * sympy.Rational(-3, 7) + sympy.Float("0.5"), sympy.pi * X,
    sympy.Piecewise((X, X > 1), (sympy.tanh(X), True)), sympy.Max(X, 2), sympy.sqrt(X - 2), sympy.cosh(X) - sympy.sinh(X) * sympy.E,
    sympy.exp(-X * 100), sympy.Abs(X - 3) * sympy.sign(X - 3), (sympy.exp(X) - 1) / (sympy.exp(2 * X) - 1),
]  # fmt: skip
PLAIN = [
    None, True, 7, -(2**70), "text", "", 0.1, math.inf, 1 + 2j, b"bytes", Fraction(2, 3), Decimal("1.50"), range(3),
    [1, [2.5, ("a",)]], (), {"a": 1, 2: [None], (3, "b"): {}}, {1, "a"}, frozenset({2}),
]  # fmt: skip


def _across(value):
    encoder = Encoder()
    tree, tensors = crossed(encoder.encode(value), encoder.tensors)
    return Decoder(tensors).decode(tree)


@pytest.mark.parametrize("value", PLAIN)
def test_plain_values_come_back_as_they_were(value):
    seen = _across(value)
    assert seen == value
    assert type(seen) is type(value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_come_back_to_the_last_bit(dtype):
    value = torch.randn(3, 4).to(dtype).T
    seen = _across({"a": value, "b": [value[0], value]})
    assert torch.equal(seen["a"], value)
    assert seen["a"].dtype == dtype
    assert seen["b"][1] is seen["a"]


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3.0),
        np.array([True]),
        np.array(["a", "bc"]),
        np.array([1, "a", [2]], dtype=object),
        np.zeros((2, 0)),
    ],
)
def test_arrays(value):
    seen = _across(value)
    assert seen.dtype == value.dtype
    assert seen.shape == value.shape
    assert seen.tolist() == value.tolist()


@pytest.mark.parametrize(
    "value", [np.float64(0.25), np.float32(0.1), np.int64(3), np.bool_(True), np.str_("a")]
)
def test_scalars_of_numpy_keep_their_type(value):
    assert type(_across(value)) is type(value)
    assert _across(value) == value


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.reset_index(),
        FRAME.iloc[:0],
        pd.DataFrame(index=range(2)),
        pd.concat([FRAME, FRAME], axis=1),
    ],
    ids=["all kinds", "plain index", "no rows", "no columns", "names twice"],
)
def test_frames(frame):
    frame = frame.copy()
    frame.attrs["dropped"] = {"a": 1, "b": [np.int64(2)]}
    seen = _across(frame)
    pd.testing.assert_frame_equal(seen, frame)
    assert seen.equals(frame)
    assert seen.attrs == frame.attrs


@pytest.mark.parametrize(
    "value",
    [FRAME["text"], FRAME["when"], FRAME.index, pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])],
)
def test_series_and_indexes(value):
    seen = _across(value)
    assert type(seen) is type(value)
    assert seen.equals(value)


def test_datasets():
    from datasets import ClassLabel, Dataset, Features, Value

    kinds = Features({"label": Value("bool"), "n": Value("int8"), "side": ClassLabel(names=["no", "yes"])})
    value = Dataset.from_dict({"label": [True, False], "n": [1, 2], "side": [0, 1]}, features=kinds)
    seen = _across(value)
    assert seen.features == value.features
    assert seen.to_dict() == value.to_dict()


@pytest.mark.parametrize(
    "value", [*EXPRESSIONS, sympy.Function("f")(X), sympy.Eq(X, 2), sympy.Matrix([[X, 1]])], ids=str
)
def test_expressions(value):
    seen = _across(value)
    assert seen == value
    assert type(seen) is type(value)


def test_an_expression_is_not_evaluated_on_arrival():
    tower = sympy.Pow(2, sympy.Pow(2, 3, evaluate=False), evaluate=False)
    assert str(_across(tower)) == "2**(2**3)"


@pytest.mark.parametrize("exponent", [10**10, sympy.Pow(10, 10, evaluate=False), sympy.exp(30)], ids=str)
@pytest.mark.parametrize("base", [10, X], ids=str)
def test_powers_that_would_take_for_ever_are_refused(base, exponent):
    with pytest.raises(Unreadable, match="too large"):
        _across(sympy.Pow(base, exponent, evaluate=False))


def test_towers_of_symbols_are_evaluated_in_no_time():
    value = X
    for _ in range(12):
        value = sympy.Pow(X, value, evaluate=False)
    assert _across(value) == value
    assert numeric(value, {X: 1.4}).real == pytest.approx(1.8866633, rel=1e-3)
    assert numeric(value, {X: 3.0}).real == math.inf
    assert math.isnan(numeric(sympy.sin(value), {X: 3.0}).real)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_the_value_at_a_point_is_that_of_sympy(expression):
    point = dict.fromkeys(expression.free_symbols, 0.7)
    wanted = complex(expression.xreplace({s: sympy.Float(0.7, 30) for s in point}).evalf(20))
    assert numeric(expression, point) == pytest.approx(wanted, rel=1e-14)


def test_generators_and_views():
    assert list(_across(n * n for n in range(3))) == [0, 1, 4]
    assert set(_across({"a": 1}.keys())) == {"a"}
    assert list(_across({"a": 1}.values())) == [1]


class Equal:
    """Equal to everything."""

    def __eq__(self, other):
        return True

    __hash__ = object.__hash__


@pytest.mark.parametrize(
    "value", [Equal(), object, torch.zeros(2).to_sparse(), torch.zeros(2, dtype=torch.cfloat)]
)
def test_other_things_are_known_by_their_kind_only(value):
    seen = _across([value])[0]
    assert isinstance(seen, Other)
    assert seen != 1


def test_a_subclass_cannot_lie_about_its_numbers():
    class Lying(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return torch.ones(2)

    seen = _across(torch.zeros(2).as_subclass(Lying))
    assert type(seen) is torch.Tensor
    assert seen.tolist() == [0, 0]


@pytest.mark.parametrize(
    "value",
    [torch.zeros(1).expand(10**12), np.broadcast_to(0.0, 10**9), iter(int, 1), [torch.zeros(4_000_000)] * 1 + [torch.zeros(4_000_000) for _ in range(3)]],
    ids=["expanded tensor", "broadcast array", "endless iterator", "many tensors"],
)  # fmt: skip
def test_what_is_too_large_does_not_cross(value):
    with pytest.raises(TooLarge):
        Encoder().encode(value)


def test_a_list_in_itself_does_not_cross():
    value = []
    value.append(value)
    with pytest.raises(TooLarge):
        Encoder().encode(value)


@pytest.mark.parametrize(
    "tree",
    [
        {}, [], [[]], 0.5, ["nonsense"], ["float"], ["float", 3], ["float", "1" * 50], ["int", "0x" + "f" * 9000], ["tensor", "t9", False],
        ["tensor", [], 1], ["list", 3], ["dict", [[["list", []], 1]]], ["dict", [1]], ["set", [["list", []]]], ["scalar", "object", "1"],
        ["objects", [10**9], "O", [1]], ["times", "t0", "M8[Y]"], ["range", 0, 1, 0], ["fraction", 1, 0], ["decimal", "x"],
        ["frame", 1, 2, 3, 4], ["index", "range", None, [0, 10**12, 1]], ["series", None, None, None], ["dataset", [["a", "bool", 3]]],
        ["expression", []], ["expression", [["Pow", [0, 1]]]], ["expression", [["eval", "1"]]], ["expression", [["Rational", "1" * 5000, "1"]]],
        ["expression", [["Symbol", "x", {"positive": "yes"}]]], ["matrix", True, 10**9, 1, []], ["bytes", "zz"], ["nothing", "x"],
        ["expression", [["Rational", "2", "1"]] + [["Add", [k, k]] for k in range(40)]],
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(tree):
    with pytest.raises(Unreadable):
        Decoder({"t0": torch.zeros(2)}).decode(tree)


def test_deep_trees_are_refused():
    tree = 1
    for _ in range(50):
        tree = ["list", [tree]]
    with pytest.raises(Unreadable):
        Decoder({}).decode(tree)


@pytest.mark.parametrize(
    ("one", "other"), [([1], [1.0]), ([True], [1]), (torch.zeros(2), -torch.zeros(2)), ((1,), [1])]
)
def test_same_sees_each_bit(one, other):
    encoders = Encoder(), Encoder()
    trees = [e.encode(v) for e, v in zip(encoders, (one, other), strict=True)]
    assert not same(*trees, *(e.tensors for e in encoders))
    assert same(trees[0], trees[0], encoders[0].tensors, encoders[0].tensors)


# --- calls ------------------------------------------------------------------------------------------


def test_a_call_with_gradients():
    def function(a, b=2.0):
        return {"product": a * b, "sign": a.sign().detach(), "count": len(a)}

    a = torch.tensor([1.0, -2.0], requires_grad=True)
    b = torch.tensor(3.0, requires_grad=True)
    result = inner(function)(a, b=b)
    assert result["count"] == 2
    assert not result["sign"].requires_grad
    (result["product"] ** 2).sum().backward()
    assert a.grad.tolist() == [18, -36]
    assert b.grad.item() == pytest.approx(30)


def test_gradients_that_share_their_memory():
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    one, two = inner(lambda a: (2 * a, 3 * a))(a)
    (one + two).sum().backward()
    assert a.grad.tolist() == [5, 5]


def test_no_gradient_is_none_and_not_zero():
    a, b = (torch.ones(2, requires_grad=True) for _ in range(2))
    inner(lambda a, b: a + b.detach())(a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is None


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (torch.ones(2), lambda x: x.zero_()), (np.ones(2), lambda x: x.fill(0)), ([1, 2], lambda x: x.sort(reverse=True)),
        ({"a": [1]}, lambda x: x["a"].append(2)), ({1}, lambda x: x.add(2)), (([1], 2), lambda x: x[0].clear()),
        (FRAME, lambda x: x.insert(0, "new", 1)), (FRAME, lambda x: x.attrs.update(a=1)),
    ],
    ids=["tensor", "array", "list", "dict", "set", "tuple", "frame", "attributes"],
)  # fmt: skip
def test_what_is_changed_inside_is_changed_outside(value, change):
    from copy import deepcopy

    there, here = deepcopy(value), deepcopy(value)
    inner(change)(there)
    change(here)
    for seen in (there, here):
        assert repr(seen) != repr(value) or seen.attrs != value.attrs
    assert repr(there) == repr(here)
    assert getattr(there, "attrs", None) == getattr(here, "attrs", None)


@pytest.mark.parametrize(
    "error", [KeyError("a"), ValueError("no\nmore"), NotImplementedError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x"), SystemExit(3), type("Own", (Exception,), {})("mine"), ExceptionGroup("two", [ValueError()])]
)  # fmt: skip
def test_errors_keep_their_name_and_words(error):
    def function():
        raise error

    with pytest.raises(Exception) as seen:  # noqa: PT011 - its kind is looked at below
        inner(function)()
    assert type(seen.value).__name__ == type(error).__name__
    assert describe_error(seen.value).startswith(f"{type(error).__name__}: {error}".splitlines()[0])
    if isinstance(error, Exception) and type(error).__name__ in (
        "KeyError",
        "ValueError",
        "NotImplementedError",
    ):
        assert isinstance(seen.value, type(error))


def test_an_error_shows_the_line_of_the_student():
    def function():
        return [][3]

    with pytest.raises(IndexError) as seen:
        inner(function)()
    assert "return [][3]" in describe_error(seen.value)


def test_functions_are_called_outside():
    asked = []

    def double(text):
        asked.append(text)
        if len(asked) > 2:
            raise LookupError("enough")
        return text * 2

    def student(functions):
        first, second = functions
        return first(second("a"))

    assert inner(student)([double, double]) == "aaaa"
    assert asked == ["a", "aa"]
    with pytest.raises(LookupError, match="enough"):
        inner(student)([double, double])


def test_names_that_are_no_function():
    from inner import Inner

    session = Inner(number=3, function=len)
    assert type(stand_in(session, "number")).__name__ == "int"
    assert isinstance(stand_in(session, "function"), RemoteFunction)
    with pytest.raises(NameError, match="'other' is not defined"):
        stand_in(session, "other")


def test_a_forged_gradient_is_a_finding():
    from course_utils.checks.definition import Case

    class Forged:
        reading = contextlib.nullcontext

        def ask(self, question, tensors, seconds, answer_callback=None):
            if question["do"] == "call":
                return {"result": ["tensor", "t0", True]}, {"t0": torch.ones(2)}
            return {"grads": {"t0": ["tensor", "g", False]}}, {"g": torch.ones(5)}

    seen = observe_call(RemoteFunction(Forged(), "f"), Case((torch.ones(2),), grads=(0,)))
    assert "another shape" in seen["error"]


def test_a_script_of_many_calls_may_take_longer_than_one_call():
    from inner import Inner

    from course_utils.checks.beside import each

    class Timed(Inner):
        def ask(self, question, tensors, seconds, answer_callback=None):
            limits.append(seconds)
            return super().ask(question, tensors, seconds, answer_callback)

    limits, function = [], RemoteFunction(Timed(function=abs), "function", seconds=3.0)
    assert function(-1) == 1
    assert each(function, [(-1,), (2,)]) == [1, 2]
    assert limits == [3, 40]
