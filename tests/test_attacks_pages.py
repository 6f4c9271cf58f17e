"""Attacks on whoever opens a graded notebook as a page: nothing that a student wrote may run in that browser."""

import html
import re
import time
from html.parser import HTMLParser

import nbformat
import pytest
from grading_class import answered, picture
from nbconvert.exporters import HTMLExporter

from course_utils.grading.assignment import load_assignment
from course_utils.grading.gradebook import course_config
from course_utils.grading.outputs import cell_result
from course_utils.grading.reading import parse
from course_utils.grading.sanitise import sanitise

NAME = "01-derivation"
BY_HAND = "practice-1"
SOURCES = [
    "<script>steal()</script>",
    "<img src=x onerror=steal()>",
    "<svg/onload=steal()>",
    "</p><script>steal()</script>",
    "<!--><script>steal()</script>-->",
    "<<script>steal()//<</script>",
    "| a |\n|---|\n| <script>steal()</script> |",
    "> - <details open ontoggle=steal()>",
    "$$<img src=x onerror=steal()>$$",
    "$x</script><script>steal()</script>$",
    "```html\n</pre><script>steal()</script>\n```",
    "[here](javascript:steal())",
    "[here](JavaScript&#58;steal())",
    "[here](&#106;avascript:steal())",
    "[here](&#x6A&#x61vascript&colon;steal())",
    "[here](<javascript:steal()>)",
    "[here]: javascript:steal()\n\n[here]",
    "<javascript:steal()>",
    "![here](javascript:steal())",
    "[here](data:text/html;base64,PHNjcmlwdD5zdGVhbCgpPC9zY3JpcHQ+)",
    r"$\href{javascript:steal()}{x}$",
    "<a href='&#x6A;avascript:steal()'>x</a>",
    "<iframe srcdoc='&lt;script>steal()&lt;/script>'></iframe>",
    "<style>body { display: none }</style>",
    "<form action=//evil><input name=password></form>",
    "<meta http-equiv=refresh content='0;url=//evil'>",
    "<base href=//evil>",
]


class _Live(HTMLParser):
    """What of a page can run or reload."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "iframe", "object", "embed", "form", "svg", "style", "base", "meta", "link"):
            self.found.append(tag)
        for name, value in attributes:
            target = "".join((value or "").split()).lower()
            if name.startswith("on") or target.startswith(
                ("javascript:", "vbscript:", "data:text", "data:image/svg")
            ):
                self.found.append((tag, name))


@pytest.fixture(scope="module")
def page():
    """From a notebook to what is live in its page."""
    exporter = HTMLExporter()

    def live(notebook):
        reader = _Live()
        text, _ = exporter.from_notebook_node(notebook)
        reader.feed(text)
        return reader.found, text

    return live


@pytest.fixture(scope="module")
def assignment():
    return load_assignment(NAME)


def graded(notebook, assignment):
    cells, _ = parse(nbformat.writes(notebook).encode())
    return sanitise(cells, assignment)[0]


def test_what_a_student_writes_into_text_cells_is_text(page, assignment):
    usual = page(graded(answered(NAME), assignment))[0]
    one = answered(NAME)
    next(
        c for c in one.cells if c.metadata.get("nbgrader", {}).get("grade_id") == BY_HAND
    ).source = "\n\n".join(SOURCES)
    for make in (nbformat.v4.new_markdown_cell, nbformat.v4.new_raw_cell):
        one.cells += [make(source) for source in SOURCES]
    raw = page(one)[0]
    assert len(raw) > len(usual) + 20  # as it came, the page would run them
    live, text = page(graded(one, assignment))
    assert live == usual
    assert r"\href{javascript:" not in text


ATTACHED = {
    "png": ({"image/png": picture("PNG")}, "data:image/png;base64,"),
    "jpeg": ({"image/jpeg": picture("JPEG")}, "data:image/jpeg;base64,"),
    "svg": ({"image/svg+xml": "<svg onload=steal()>"}, None),
    "svg called png": ({"image/png": "PHN2ZyBvbmxvYWQ9c3RlYWwoKT4="}, None),
    "html": ({"text/html": "<script>steal()</script>", "image/png": "<script>steal()</script>"}, None),
    "quoted": ({"image/png": picture("PNG") + '" onerror="steal()'}, None),
    "nothing": (None, None),
}


@pytest.mark.parametrize("name", ATTACHED)
def test_a_pasted_picture_is_shown_and_nothing_else_is(name, assignment):
    """By the course's own filter, also where nbgrader's autograde has left the attachments as they came."""
    config = course_config()
    exporter = HTMLExporter(config=config)
    data, shown = ATTACHED[name]
    cell = nbformat.v4.new_markdown_cell(
        "See ![my sketch](attachment:a%20b.png), twice: ![again](attachment:a%20b.png)"
    )
    if data:
        cell.attachments = {"a b.png": data}
    raw = nbformat.v4.new_notebook(cells=[cell])
    for notebook in (raw, graded(with_cell(cell), assignment)):
        text, _ = exporter.from_notebook_node(notebook)
        images = re.findall("<img[^>]*>", text)
        assert len(images) == (1 if shown else 0)
        assert all(f'src="{shown}' in image and 'alt="my sketch"' in image for image in images)
        assert "the picture a b.png is not there" in text
        reader = _Live()
        reader.feed(text)
        assert "steal" not in str(reader.found) and "onerror" not in text


def test_a_link_that_holds_a_program_is_none_though_pictures_may_hold_data():
    exporter = HTMLExporter(config=course_config())
    sources = [*SOURCES, "<img src='data:image/svg+xml;base64,PHN2Zy8+'>", "![x](data:image/png;base64,aGk=)"]
    cells = [nbformat.v4.new_markdown_cell(source) for source in sources]
    empty, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=[]))
    text, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    found = []
    for page in (empty, text):
        reader = _Live()
        reader.feed(page)
        found.append(reader.found)
    assert found[0] == found[1]
    assert not re.search("<img[^>]*data:", text)


def with_cell(cell):
    notebook = answered(NAME)
    notebook.cells.append(cell)
    return notebook


@pytest.mark.parametrize("kind", ["code", "raw"])
def test_a_text_that_was_made_another_kind_of_cell_is_text_again(page, assignment, kind):
    usual = page(graded(answered(NAME), assignment))[0]
    notebook = answered(NAME)
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == BY_HAND)
    cell.source, cell.cell_type = "<script>steal()</script>", kind
    if kind == "code":
        cell.outputs, cell.execution_count = [], None
    made = graded(notebook, assignment)
    assert "steal()" in next(c for c in made.cells if c.id == cell.id).source
    assert page(made)[0] == usual


@pytest.mark.parametrize(
    "source",
    [
        "For $a<b$ and $x < 3$, if a<=b then 2<3; see <3.",
        "A line\n> quoted, `code`, **bold**, [link](https://example.org/?a=1&b=2)\n\n| a | b |\n|---|---|",
        "The javascript of it: none. R&D, data: two kinds.",
    ],
)
def test_honest_text_says_what_it_said(source, assignment):
    notebook = answered(NAME)
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == BY_HAND)
    cell.source = source
    kept = next(c for c in graded(notebook, assignment).cells if c.id == cell.id).source
    assert kept.replace("< b", "<b") == source


@pytest.mark.parametrize("source", [">" * 300_000, "|a" * 100_000 + "\n" + "|-" * 100_000, "<" * 300_000])
def test_a_text_that_takes_for_ever_to_render_is_shown_as_written(source):
    began = time.thread_time()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)])
    text, _ = HTMLExporter(config=course_config()).from_notebook_node(notebook)
    assert f"<pre>{html.escape(source)}</pre>" in text
    assert time.thread_time() - began < 20


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "stream", "text": "<script>steal()</script>"},
        {"output_type": "stream", "name": "<script>steal()</script>", "text": "\x1b[31m<script>steal()</script>\x1b]8;;javascript:steal()\x07x"},
        {"output_type": "execute_result", "text": "<script>steal()</script>", "data": {"text/html": "<script>steal()</script>"}},
        {"output_type": "display_data", "text": "$\\href{javascript:steal()}{x}$", "png": "<script>steal()</script>"},
        {"output_type": "error", "name": "<script>steal()</script>", "value": "<script>steal()</script>", "text": "<script>steal()</script>"},
        {"output_type": "error", "name": 7, "value": [], "text": {"a": "<script>steal()</script>"}},
        {"output_type": "<script>", "text": "<script>steal()</script>"},
        "<script>steal()</script>",
    ],
)  # fmt: skip
def test_outputs_are_text(page, output):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    usual = page(made)[0]
    made.cells[0].outputs = cell_result({"outputs": [output]}).outputs
    nbformat.validate(made)
    assert page(made)[0] == usual


def test_no_output_bears_a_kind_that_runs():
    kinds = {"text/html", "application/javascript", "image/svg+xml", "text/markdown", "text/latex"}
    hostile = {kind: "<script>steal()</script>" for kind in kinds}
    made = cell_result(
        {"outputs": [{"output_type": "display_data", "text": "x", "data": hostile, **hostile}]}
    ).outputs
    assert [set(o["data"]) for o in made] == [{"text/plain"}]
