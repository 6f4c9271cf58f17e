"""A real browser: JupyterLab as a student and an instructor see it, in headless Chromium."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest
from classroom import NAME, open_class
from playwright.sync_api import sync_playwright

from course_utils.checks import catalogue
from course_utils.commands.lab import START, lab_command, lay_copies
from course_utils.commands.paths import NOTEBOOKS, ROOT, SOLUTIONS, kernel_environment

pytestmark = pytest.mark.browser
TOKEN = "course"
SHOTS = ROOT / "build" / "screenshots"
PATIENCE = 60_000  # milliseconds; a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def chromium():
    """The path of Chromium; without one the tests are skipped, in CI they fail."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        assert not os.environ.get("CI"), "CI must have Chromium"
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab on a course folder with the eight submissions; gives its address."""
    course = tmp_path_factory.mktemp("course")
    open_class(course)
    shutil.copytree(SOLUTIONS / START, course / "solutions" / START)
    lay_copies(NOTEBOOKS, course / "work")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = kernel_environment() | {
        "JUPYTER_CONFIG_DIR": str(course / "config"),
        "JUPYTER_DATA_DIR": str(course / "data"),
        "JUPYTER_RUNTIME_DIR": str(course / "runtime"),
    }
    options = ["--no-browser", f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}"]
    with open(course / "lab.log", "w") as log:
        lab = subprocess.Popen(
            lab_command(course, options), cwd=course, env=environment, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=2)
                break
            time.sleep(0.5)
        else:
            pytest.fail((course / "lab.log").read_text()[-3000:])
        yield address
    finally:
        lab.terminate()
        lab.wait(20)


@pytest.fixture(scope="module")
def page(chromium, server):
    """A page with the start notebook open and its kernel idle."""
    arguments = [
        "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run",
    ]  # fmt: skip
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{server}/?token={TOKEN}")
        page.wait_for_selector(".jp-NotebookPanel:visible .jp-Cell")
        page.get_by_role("button", name="No", exact=True).click()  # JupyterLab asks about its news
        idle(page)
        yield page
        browser.close()


def idle(page):
    """Wait until the kernel has nothing to do (it also says so before there is one: wait for its name)."""
    page.wait_for_selector(".jp-NotebookPanel:visible .jp-Toolbar-kernelName:has-text('Python 3')")
    page.wait_for_timeout(500)
    page.wait_for_selector(".jp-NotebookPanel:visible .jp-Notebook-ExecutionIndicator[data-status=idle]")
    page.wait_for_timeout(300)


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    idle(page)


def solve(page, function, code):
    """Type an answer into the cell that defines `function`, run it and the check after it."""
    cell = page.locator(".jp-CodeCell", has_text=f"def {function}(").first
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    idle(page)


def check_output(page, exercise):
    return page.locator(".jp-OutputArea-output", has_text=re.compile(rf"^\s*{exercise}: ")).first


def validate(page):
    """Press nbgrader's Validate button; gives the text of its answer."""
    page.locator("[data-jp-item-name=runAll]", has_text="Validate").first.click()
    dialog = page.locator(".jp-Dialog", has_text="Validation Results")
    dialog.wait_for()
    text = dialog.inner_text()
    page.screenshot(path=SHOTS / "validate.png")
    dialog.get_by_role("button").last.click()
    dialog.wait_for(state="detached")
    return text


def test_every_cell_of_the_start_notebook_runs_unsolved(page):
    run_all(page)
    prompts = page.locator(".jp-NotebookPanel:visible .jp-CodeCell .jp-InputPrompt").all_text_contents()
    assert prompts
    assert all(re.fullmatch(r"\[\d+\]:", text.strip()) for text in prompts), prompts
    assert "Not yet: log_softmax is unsolved" in check_output(page, "log-softmax").text_content()
    warned = page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
    assert warned.all_text_contents() == []


def test_a_wrong_answer_shows_its_misconception(page):
    solve(page, "log_softmax", "def log_softmax(logits):\n    return torch.softmax(logits, dim=-1)")
    text = check_output(page, "log-softmax").text_content()
    assert "these are probabilities; the logarithm is missing" in text
    page.screenshot(path=SHOTS / "misconception.png")


def test_a_right_answer_turns_the_check_green(page):
    solve(page, "log_softmax", "def log_softmax(logits):\n    return torch.log_softmax(logits, dim=-1)")
    output = check_output(page, "log-softmax")
    assert "4 of 4 points" in output.text_content()
    assert output.locator("td", has_text="ok").count() == len(catalogue.exercise("log-softmax").parts)
    page.screenshot(path=SHOTS / "green.png")


def test_validate_says_what_is_open_and_then_that_all_is_well(page):
    assert "failed" in validate(page)
    solve(
        page,
        "kl_divergence",
        "def kl_divergence(p_logits, q_logits):\n"
        "    p, q = torch.log_softmax(p_logits, -1), torch.log_softmax(q_logits, -1)\n"
        "    return (p.exp() * (p - q)).sum(-1)",
    )
    assert "6 of 6 points" in check_output(page, "kl-divergence").text_content()
    assert "Success! Your notebook passes all the tests" in validate(page)


def test_the_slider_moves_the_picture(page):
    run_all(page)
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    picture = page.locator(".jupyter-widgets .jp-RenderedImage img").first
    picture.wait_for()
    before = picture.get_attribute("src")
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "old => document.querySelector('.jupyter-widgets .jp-RenderedImage img')?.src !== old", arg=before
    )
    page.screenshot(path=SHOTS / "slider.png")


def test_the_formgrader_lists_the_submissions(page, server):
    page.goto(f"{server}/formgrader/manage_submissions/{NAME}?token={TOKEN}")
    for student in ("perfect", "blank", "wrong-sign", "wrong-dtype", "deleted", "endless"):
        page.locator("td", has_text=re.compile(rf"^\s*{student}\s*$")).first.wait_for()
    page.screenshot(path=SHOTS / "formgrader.png")
