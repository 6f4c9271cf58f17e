"""Trees that no encoder of ours makes: few words on the wire that would fill the grader's memory or take it long to read."""

import time

import pytest
import torch
from safetensors.torch import save

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.grading.decoder import Decoder
from course_utils.grading.encoder import Encoder
from course_utils.grading.values import TooLarge, Unreadable
from course_utils.grading.wire import TENSORS_CAP

NUMBERS = {"t0": torch.zeros(2_000_000, dtype=torch.int64)}  # 16 MB
COLUMN = {"t0": torch.zeros(200_000, dtype=torch.float64)}
ROWS = ["index", "range", None, [0, 200_000, 1]]
SYMBOL = ["Symbol", "x", {}]


@pytest.mark.parametrize(
    ("tree", "tensors"),
    [
        (["list", [["array", "t0"]] * 1000], NUMBERS),
        (["list", [["times", "t0", "M8[ns]"]] * 1000], NUMBERS),
        (["list", [["series", None, ROWS, ["f8", ["array", "t0"]]]] * 1000], COLUMN),
        (["frame", ["index", "range", None, [0, 150, 1]], ROWS, [["f8", ["array", "t0"]]] * 150, ["dict", []]], COLUMN),
        (["objects", [2000], "U", ["x" * 1_000_000] + [""] * 1999], {}),
        (["objects", [1], "U500000000", ["x"]], {}),
        (["objects", [1], "V2000000000", ["x"]], {}),
        (["list", [["expression", [SYMBOL] + [["sin", [0]]] * 2400 + [["Add", list(range(2400))]]]] * 50], {}),
        (["list", [["matrix", True, 100, 100, [1] * 10_000]] * 50], {}),
        (["frame", ["index", "range", None, [0, 90_000, 1]], ["index", "range", None, [0, 0, 1]],
          [["f8", ["array", "t0"]]] * 90_000, ["dict", []]], {"t0": torch.zeros(0, dtype=torch.float64)}),
        (["dataset", [[f"c{i}", "string", []] for i in range(50_000)]], {}),
    ],
    ids=["arrays", "times", "series", "frame", "wide texts", "a wide kind", "a wide kind of bytes", "expressions",
         "matrices", "columns", "columns of a dataset"],
)  # fmt: skip
def test_a_tree_that_grows_is_refused_before_it_has_grown(tree, tensors):
    began = time.thread_time()
    with pytest.raises(Unreadable):
        Decoder(tensors).decode(tree)
    assert time.thread_time() - began < 5


def test_what_crosses_honestly_has_room():
    trees = ["list", [["array", "t0"]] * 2 + [["objects", [3], "U", ["a" * 1000, "b", "c"]]]]
    first, second, texts = Decoder(NUMBERS).decode(trees)
    assert first.shape == second.shape == (2_000_000,)
    assert texts.dtype == "<U1000"


def test_tensors_without_number_are_not_sent():
    with pytest.raises(TooLarge, match="more than 10,000 tensors"):
        Encoder().encode([torch.zeros(1) for _ in range(10_001)])
    encoder = Encoder()
    encoder.encode([torch.zeros(1) for _ in range(10_000)])
    assert len(save(encoder.tensors)) < TENSORS_CAP


def test_an_answer_of_any_length_makes_no_long_message():
    exercise = catalogue.exercise("length-bias")
    report = judge(exercise, lambda *_: "x" * 1_000_000, seed=5, reveal=False)
    assert report.points == 0
    assert all(len(row.message) < 1000 for row in report.rows)
