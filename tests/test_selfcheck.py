"""The self-check of free-response answers: what it finds missing, what it says, and where it reads."""

import os
import re
import time

import jupytext
import nbformat
import pytest

from course_utils.checks import self_check
from course_utils.checks.rubrics import RUBRICS, plain
from course_utils.checks.selfcheck import doubts, gaps, saved_answer
from course_utils.commands.paths import SOLUTIONS

NAME = "06-final-quiz"


def anchors():
    """{(question, points): the anchor answer of the solved notebook}."""
    found = {}
    for cell in jupytext.read(SOLUTIONS / NAME / f"{NAME}.py", fmt="py:percent").cells:
        if match := re.fullmatch(r"question-(\d)", cell.metadata.get("nbgrader", {}).get("grade_id", "")):
            parts = re.findall(r'\*\*About (\d) points\.\*\* "(.*?)"\n\n\*\1 of 10', cell.source, re.S)
            found |= {(int(match[1]), int(points)): text for points, text in parts}
    return found


ANCHORS = anchors()


def missing(question, text):
    return sum(len(what) for _, what in gaps(question, text))


def test_each_question_has_three_anchors():
    assert set(ANCHORS) == {(question, points) for question in RUBRICS for points in (3, 6, 9)}


@pytest.mark.parametrize("question", RUBRICS)
def test_a_better_anchor_leaves_less_unmentioned(question):
    low, middle, high = (missing(question, ANCHORS[question, points]) for points in (3, 6, 9))
    total = sum(len(point.mentions) for point in RUBRICS[question].points)
    assert high <= 2 < middle < low
    assert low >= 0.4 * total
    assert missing(question, "") == total


@pytest.mark.parametrize("question", RUBRICS)
def test_a_weak_anchor_says_what_costs_points_and_a_strong_one_does_not(question):
    assert doubts(question, ANCHORS[question, 3])
    assert not doubts(question, ANCHORS[question, 9])


@pytest.mark.parametrize("question", RUBRICS)
def test_every_pattern_is_met_by_some_anchor_or_is_one_of_few(question):
    """A pattern that nothing meets would always say "not mentioned"."""
    texts = [plain(ANCHORS[question, points]) for points in (3, 6, 9)]
    patterns = [p for point in RUBRICS[question].points for p in point.mentions.values()]
    unmet = [p for p in patterns if not any(re.search(p, text) for text in texts)]
    assert len(unmet) <= 2


@pytest.mark.parametrize(
    "text",
    [
        r"$r(x,y) = \beta \log\frac{\pi^*(y|x)}{\pi_{\mathrm{ref}}(y|x)} + \beta \log Z(x)$",
        "r(x, y) = β log(π*(y|x)/π_ref(y|x)) + β log Z(x)",
        "r = beta*log(pi/pi_ref) + beta*log(Z)",
        "We solve the optimum for the reward.",
    ],
)
def test_a_formula_counts_in_any_spelling(text):
    (gap,) = [what for point, what in gaps(1, text) if point.text.startswith("the reward solved for")]
    assert gap == []


@pytest.mark.parametrize(
    "text",
    [
        r"$-\log\sigma\left(\beta \log \frac{\pi_\theta(y_w)}{\pi_{\mathrm{ref}}(y_w)} - ...\right)$, by maximum likelihood; the policy is an implicit reward model, up to a function of x",
        "loss = -F.logsigmoid(beta * (a - b)): the negative log-likelihood; an implicit reward, equivalence classes",
    ],
)
def test_the_loss_counts_in_any_spelling(text):
    (gap,) = [what for point, what in gaps(1, text) if point.text.startswith("maximum likelihood")]
    assert gap == []


TERSE = {
    1: r"""We solve $\max_\pi \mathbb{E}_{y\sim\pi}[r(x,y)] - \beta \mathrm{KL}(\pi\|\pi_{\text{ref}})$. The solution is
    $\pi^*(y|x) = \frac{1}{Z(x)}\pi_{\text{ref}}(y|x) e^{r(x,y)/\beta}$; $Z$ is intractable as it sums over every string. Rearranged,
    $r = \beta\log\frac{\pi^*}{\pi_{\text{ref}}} + \beta \log Z(x)$. In BT only the difference $r_w - r_l$ matters, so $Z$ cancels. The NLL is
    $-\log \sigma(\beta \log ...)$. The LM secretly is the reward model, identified up to a shift by a function of the prompt. No separate RM, no
    value network, no rollouts. Two networks instead of 4; ref logps can be pre-computed. Caveats: offline data without coverage, BT might be
    violated, it still overoptimizes, equivalence needs realizability.""",
    2: r"""For each x: $L = \sum_y \pi(y)[r - \beta\log\frac{\pi}{\pi_{ref}}] + \lambda_x(1-\sum\pi)$. Stationarity gives $\pi\propto \pi_{ref}e^{r/\beta}$.
    Strictly concave, so a global max; $\pi>0$ where ref is. $Z(x)=\sum_y \pi_{ref}e^{r/\beta}$. $r=\beta\log\frac{\pi^*}{\pi_{ref}}+\beta\log Z(x)$, the last
    term independent of y. BT: $p=\sigma(r_w-r_l)$; the log Z terms cancel. MLE: $L(\theta)=-\mathbb{E}_{D}[\log\sigma(\beta h_\theta)]$, assuming BT and
    realizability. $\nabla L = -\beta \mathbb{E}[\sigma(-\beta h)(\nabla\log\pi_w-\nabla\log\pi_l)]$; only the margin increases. Code: mask prompt and
    padding with -100, sum token logps, torch.no_grad() for ref, loss at init = 0.693.""",
    5: """Gao, Schulman & Hilton use a 6B gold RM, proxies below it; BoN: d(alpha - beta d), RL: d(alpha - beta log d), d = sqrt(KL). Bigger RMs and more data
    reduce beta. KL penalties act as early stopping. Regressional against adversarial Goodhart. The boat of CoastRunners is documented. DPO: an
    implicit RM; Rafailov 2024, overoptimization; likelihood displacement; deterministic preferences diverge; length bias because the implicit reward
    sums over tokens; online DPO needs an annotator. RLVR: verifiers are proxies with false positives (AlphaCode), models edit unit tests or call
    sys.exit(0) (Baker); answer extraction by regex is exploited; correct is not harmless; OK if the verifier is complete. Fundamental: the spec gap,
    distribution shift, scalable oversight. Ensembles help but share blind spots. Early stopping. PRMs are learned too.""",
}


@pytest.mark.parametrize("question", TERSE)
def test_a_terse_full_answer_with_abbreviations_leaves_next_to_nothing(question):
    assert missing(question, TERSE[question]) <= 1, gaps(question, TERSE[question])


@pytest.mark.parametrize("question", RUBRICS)
def test_an_answer_to_something_else_mentions_next_to_nothing(question):
    text = "Tomatoes want sun, water in the morning and a stake. Take out side shoots once a week, and feed them when the first fruit shows."
    assert missing(question, text) >= missing(question, "") - 1


def test_it_says_that_it_does_not_grade(capsys):
    self_check(1, "Rewards and policies are one-to-one.")
    said = capsys.readouterr().out
    assert "This is no grade" in said
    assert "not mentioned: Bradley–Terry" in said
    assert '"one to one"' in said
    assert not re.search(r"\d of 10|points", said)


def save(folder, **answers):
    """A notebook as a student's: question cells, known by their nbgrader ids."""
    cells = [nbformat.v4.new_markdown_cell("# A title")]
    for name, text in answers.items():
        cells.append(
            nbformat.v4.new_markdown_cell(text, metadata={"nbgrader": {"grade_id": name.replace("_", "-")}})
        )
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{NAME}.ipynb")


def test_it_reads_the_saved_answer_and_says_when_it_was_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    save(tmp_path, question_1="Bradley–Terry sees a difference, so Z cancels.", question_2="YOUR ANSWER HERE")
    text, note = saved_answer(1)
    assert text.startswith("Bradley") and "as it was saved at" in note
    self_check(1)
    assert "ok  Bradley–Terry depends on differences only" in capsys.readouterr().out
    self_check(2)
    assert "The answer is empty in 06-final-quiz.ipynb as it was saved at" in capsys.readouterr().out
    self_check(3)
    assert "has no cell `question-3`" in capsys.readouterr().out


def test_it_says_what_to_do_where_there_is_nothing_to_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    self_check(1)
    assert "Save the notebook (Ctrl+S)" in capsys.readouterr().out
    (tmp_path / f"{NAME}.ipynb").write_text("{")
    self_check(1)
    assert "is not a readable notebook" in capsys.readouterr().out
    with pytest.raises(ValueError, match="questions 1 to 5, and none 6"):
        self_check(6)


def test_a_renamed_notebook_is_found_by_its_session_or_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, question_1="Z cancels.")
    os.rename(tmp_path / f"{NAME}.ipynb", tmp_path / "mine.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "mine.ipynb"))
    assert saved_answer(1)[0] == "Z cancels."
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert saved_answer(1)[0] is None
    assert saved_answer(1, "mine.ipynb")[0] == "Z cancels."


def test_the_solved_notebook_is_known_by_its_anchors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    save(tmp_path, question_1="### BEGIN SOLUTION\nThree anchors\n### END SOLUTION")
    assert saved_answer(1) == (
        None,
        "This is the solved notebook: the cell holds anchor answers for the grader.",
    )


def test_labels_are_words_and_not_patterns():
    """What the student reads; a label that a replacement has hit would show regular expressions."""
    for rubric in RUBRICS.values():
        labels = [what for point in rubric.points for what in point.mentions]
        labels += [rubric.title, *(what.removesuffix("?") for what in rubric.doubtful)]
        labels += [point.text for point in rubric.points]
        for label in labels:
            assert not re.search(r"[|\\?*\x00-\x1f\x7f]", label.replace("π*", "π")), label


IN_OTHER_WORDS = {
    1: (
        "We maximise reward with a relative entropy to the base policy, weighed by a coefficient. The answer is a "
        "Boltzmann tilt of it, whose normaliser we can’t compute, as there are too many completions to sum over. "
        "Rearranging for r, preferences by Bradley-Terry see a reward margin only, so log Z falls out. What is left "
        "is logistic regression; the policy acts as the reward model, up to an offset per prompt. No value head, "
        "nothing is sampled, only policy and reference, whose numbers are calculated ahead of time. But pairs do not "
        "contain OOD answers, people may be intransitive, reward hacking persists, and all holds only in the limit."
    ),
    2: (
        r"Add a Lagrange term, as probabilities add up to one; the Hessian is negative, with full support. "
        r"$Z(x):=\sum_y\pi_0 e^{r/\beta}$, and λ depends on x. Rearranging for the reward, $\beta\ln Z$ is the same for "
        r"both responses, so by Bradley–Terry it subtracts out. Averaged over the pairs, with a trainable network, "
        r"presupposing all this. The derivative is $-\beta\,\mathbb{E}_D[\sigma(\cdot)]$: only the difference grows. "
        r"Completion tokens only, summed, not averaged; a stop-gradient on the reference; $\ln 2$ at first."
    ),
    4: (
        "KTO versus SFT. Only few users vote, some are strict, on answers of the previous model; keep the dialogue "
        "history, obey GDPR. Drop raters by a statistical test; split chronologically; dedup; where votes disagree, "
        "drop. Chat format, imbalance by λ, large batches, hyperparameter search, reference, KL. Anonymised answers, "
        "draws, error bars, number of pairs, verbosity, toxicity, false refusals, MMLU. Sticky buckets, trace id, "
        "model id, rate limits, gradual, revert on error rates, a z-test. Self-reinforcing votes, so a fresh "
        "evaluation set, π_ref reset in each round, and we monitor against last week."
    ),
}


@pytest.mark.parametrize("question", IN_OTHER_WORDS)
def test_what_stands_there_in_other_words_is_not_missing(question):
    assert [what for _, what in gaps(question, IN_OTHER_WORDS[question]) if what] == []


def test_a_very_long_answer_is_read_in_seconds():
    start = time.perf_counter()
    for question in RUBRICS:
        gaps(question, "ensemble constitutional larger sum prompt " * 4_000)
    assert time.perf_counter() - start < 15
