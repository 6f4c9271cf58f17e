"""Attacks on the sandbox itself: what a submission's code tries in its own process, and what it must not get.

That such code earns nothing is in test_attacks_grading.py.
"""

import ast
import os
import socket
import textwrap
import time
from pathlib import Path

import pytest
from sandbox import require_sandbox

from course_utils.grading import cgroups, package
from course_utils.grading.inside import usage
from course_utils.grading.remote import RemoteFunction
from course_utils.grading.sealed import Limits, SessionEnded, Zygote

LIMITS = Limits(memory=2 << 30, processes=40, files=64 << 20)
SECRET = "the-word-that-must-not-be-found"


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    require_sandbox()
    folder = package.build(tmp_path_factory.mktemp("package") / "student")
    before = os.environ.get("COURSE_GRADING_SEED")
    os.environ["COURSE_GRADING_SEED"] = SECRET
    try:
        with Zygote(folder, limits=LIMITS, preload=()) as made:
            yield made
    finally:
        os.environ.pop("COURSE_GRADING_SEED")
        if before is not None:
            os.environ["COURSE_GRADING_SEED"] = before


@pytest.fixture
def session(zygote):
    with zygote.session() as made:
        yield made
    # whatever was tried: the parent of all is the same, and the next student's process works
    assert zygote.alive
    with zygote.session() as other:
        assert printed(other, "print(6 * 7)") == 42


def printed(session, cell, seconds=15):
    """The literal that a cell prints."""
    result = session.run_cell(textwrap.dedent(cell), seconds)
    assert result.error is None, result.error
    return ast.literal_eval("".join(o["text"] for o in result.outputs if o["output_type"] == "stream"))


# ---- reading ----


def test_the_environment_is_not_the_graders(session):
    names = printed(session, "import os; print(dict(os.environ))")
    assert SECRET not in str(names)
    assert set(names) <= set(
        [
            "PATH",
            "HOME",
            "USER",
            "LOGNAME",
            "LANG",
            "TZ",
            "PWD",
            "PYTHONPATH",
            "PYTHONDONTWRITEBYTECODE",
            "MALLOC_ARENA_MAX",
            "MALLOC_MMAP_THRESHOLD_",
            "MPLBACKEND",
            "MPLCONFIGDIR",
            "COURSE_SCALE",
            "OMP_NUM_THREADS",
            "ARROW_DEFAULT_MEMORY_POOL",
            "JE_ARROW_MALLOC_CONF",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "HF_HUB_OFFLINE",
            "TOKENIZERS_PARALLELISM",
            "LD_LIBRARY_PATH",
            "KMP_DUPLICATE_LIB_OK",
            "KMP_INIT_AT_FORK",
            "TORCHINDUCTOR_CACHE_DIR",
        ]
    )


def test_proc_is_empty(session):
    assert printed(session, "import os; print(os.listdir('/proc'))") == []


def test_no_file_of_the_grader_or_of_others_can_be_read(session, tmp_path):
    (tmp_path / "gradebook.db").write_text(SECRET)
    found = printed(session, f"""
        import os
        found = []
        for path in ({str(tmp_path / "gradebook.db")!r}, {str(Path(__file__).resolve())!r}, "/etc/passwd", "/etc/shadow",
                     "/root", "/home/student/../..{tmp_path}/gradebook.db", "/proc/1/root{tmp_path}/gradebook.db"):
            try:
                os.stat(path)
                found.append(path)
            except OSError:
                pass
        print(found)
    """)  # fmt: skip
    assert found == []


def test_no_reference_lies_anywhere_in_the_sandbox(session):
    found = printed(session, """
        import os
        found = []
        for folder, folders, files in os.walk("/"):
            if "/course_utils" in folder and not folder.startswith("/opt/course/"):
                found += [folder] if files else []
            if "exercises" in folder and "course_utils" in folder or folder.endswith("/solutions"):
                found.append(folder)
        print(found)
    """, seconds=30)  # fmt: skip
    assert found == []


def test_the_garbage_collector_knows_no_reference(session):
    assert printed(session, """
        import gc, types
        print([f.__qualname__ for f in gc.get_objects() if isinstance(f, types.FunctionType)
               and str(f.__module__).startswith("course_utils.") and not
               f.__module__.startswith(("course_utils.grading.", "course_utils.checks"))])
    """) == []  # fmt: skip


def test_no_descriptor_but_the_channel_is_open(session):
    kinds = printed(session, """
        import os, stat
        kinds = []
        for descriptor in range(1024):
            try:
                mode = os.fstat(descriptor).st_mode
            except OSError:
                continue
            kinds.append((descriptor > 2, stat.S_ISSOCK(mode), stat.S_ISCHR(mode), stat.S_ISREG(mode)))
        print(kinds)
    """)  # fmt: skip
    assert kinds[:3] == [(False, False, True, False)] * 3
    assert kinds[3:] == [(True, True, False, False)]


# ---- writing ----


def test_only_the_own_folders_can_be_written(session):
    assert printed(session, """
        import os
        written = set()
        for folder, folders, _ in os.walk("/"):
            if folder.count("/") > 2:
                folders.clear()
            try:
                open(os.path.join(folder, "left"), "w").close()
                written.add(folder)
            except OSError:
                pass
        print(written)
    """) == {"/tmp", "/home", "/home/student", "/dev/shm"}  # fmt: skip


def test_a_file_in_the_package_cannot_be_changed(session):
    for act in ("open(p, 'a')", "os.remove(p)", "os.chmod(p, 0o777)", "os.rename(p, '/tmp/x')"):
        error = session.run_cell(f"import os, torch, course_utils\np = course_utils.__file__\n{act}").error
        assert error.startswith(("OSError", "PermissionError")), act


def test_nothing_is_left_for_the_next_student(zygote):
    leave = """
        import socket, mmap, ctypes, os
        from multiprocessing import shared_memory
        kept = shared_memory.SharedMemory("left", create=True, size=100)
        for folder in ("/tmp", "/home", "/home/student", "/dev/shm"):
            open(folder + "/left-file", "w").write("x")
        libc = ctypes.CDLL(None)
        print(libc.shmget(4711, 4096, 0o1666) >= 0, libc.msgget(4711, 0o1666) >= 0)
    """
    look = """
        import ctypes, glob
        libc = ctypes.CDLL(None)
        found = [g for f in ("/tmp", "/home", "/home/student", "/dev/shm", "/") for g in glob.glob(f + "/*left*")]
        print((found, libc.shmget(4711, 4096, 0o666), libc.msgget(4711, 0o666)))
    """
    with zygote.session() as one, zygote.session() as other:
        one.run_cell(textwrap.dedent(leave))
        assert printed(other, look) == ([], -1, -1)
    with zygote.session() as later:
        assert printed(later, look) == ([], -1, -1)


def test_a_full_disk_is_the_submissions_own(session):
    total = printed(session, """
        total = 0
        for folder in ("/tmp", "/home", "/dev/shm"):
            for number in range(100):
                try:
                    with open(f"{folder}/{number}", "wb") as file:
                        for _ in range(64):
                            total += file.write(bytes(1 << 20))
                except OSError:
                    break
        print(total)
    """)  # fmt: skip
    assert total <= LIMITS.files


# ---- the network ----


def test_no_network(session):
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        abstract.bind("\0course-attack")
        abstract.listen()
        result = printed(session, f"""
            import socket
            reached = []
            for family, address in ((socket.AF_INET, ("127.0.0.1", {server.getsockname()[1]})), (socket.AF_INET, ("1.1.1.1", 53)),
                                    (socket.AF_INET6, ("::1", {server.getsockname()[1]})), (socket.AF_UNIX, "\\0course-attack"),
                                    (socket.AF_VSOCK, (2, 1024)), (socket.AF_NETLINK, (0, 0)), (socket.AF_PACKET, ("lo", 0))):
                try:
                    s = socket.socket(family)
                    s.settimeout(1)
                    s.connect(address)
                    reached.append(address)
                except OSError:
                    pass
            print(reached)
        """)  # fmt: skip
    assert result == []


# ---- the way out, and the neighbours ----


def test_system_calls_that_make_a_way_out_are_refused(session):
    from course_utils.grading.inside import seccomp

    column = ("x86_64", "aarch64").index(os.uname().machine)
    numbers = {name: pair[column] for name, pair in seccomp._NUMBERS.items() if pair[column] is not None}
    answers = printed(session, f"""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        answers = {{}}
        for name, number in {numbers}.items():
            ctypes.set_errno(0)
            answers[name] = (libc.syscall(number, 0, 0, 0, 0, 0, 0), ctypes.get_errno())
        ctypes.set_errno(0)
        answers["clone3"] = (libc.syscall(435, 0, 0), ctypes.get_errno())
        ctypes.set_errno(0)
        answers["clone with a user namespace"] = (libc.syscall({(56, 220)[column]}, 0x10000011, 0, 0, 0, 0), ctypes.get_errno())
        print(answers)
    """)  # fmt: skip
    assert answers.pop("clone3") == (-1, 38)
    assert set(answers.values()) == {(-1, 1)}, answers


def test_no_capability_is_left_and_none_comes_back(session):
    assert printed(session, """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        held = (ctypes.c_uint32 * 6)()
        libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held)
        refused = []
        for act in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.mknod("/tmp/d", 0o60666, os.makedev(254, 0)),
                    lambda: os.chroot("/tmp"), lambda: os.nice(-5)):
            try:
                act()
            except OSError:
                refused.append(True)
        print((sum(held), len(refused), os.getuid()))
    """) == (0, 5, 1000)  # fmt: skip


def test_nobody_else_can_be_signalled(session, zygote):
    # by number, and all at once; -1 spares the caller itself, and the namespace holds nobody else
    session.run_cell(textwrap.dedent("""
        import os, signal
        for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM):
            for process in (os.getppid(), -1, *range(2, 400)):
                try:
                    os.kill(process, number)
                except OSError:
                    pass
    """))  # fmt: skip
    assert printed(session, "print(1)") == 1


def test_what_outlives_its_parent_ends_with_the_session(zygote):
    quiet = set(usage.below(zygote._process.pid))
    with zygote.session() as session:
        session.run_cell(textwrap.dedent("""
            import os, signal, time
            for number in range(1, 32):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            for _ in range(5):
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        while True:
                            time.sleep(1)
                    os._exit(0)
        """))  # fmt: skip
        assert len(set(usage.below(zygote._process.pid)) - quiet) >= 6
    for _ in range(50):
        if not (left := set(usage.below(zygote._process.pid)) - quiet):
            break
        time.sleep(0.1)
    assert not left


# ---- the channel ----

FIND_THE_CHANNEL = """
import gc, json, os, socket, struct, sys
channel = next(s for s in gc.get_objects() if type(s) is socket.socket and s.fileno() > 2)
number = next(sys._getframe(i).f_locals["message"]["id"] for i in range(50) if "message" in sys._getframe(i).f_locals)

def say(header, blob=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    channel.sendall(struct.pack("<II", len(text), len(blob)) + text + blob)
"""


@pytest.mark.parametrize(
    "what, reason",
    [
        ("channel.sendall(b'nonsense that is long enough to be lengths')", "too large"),
        ("channel.sendall(struct.pack('<II', 2**32 - 1, 0))", "too large"),
        ("channel.sendall(struct.pack('<II', 10, 2**32 - 1))", "too large"),
        ("say(b'{not json')", "no JSON"),
        ("say(b'[' * 1000000)", "no JSON"),
        ("say(b'1' * 1000000)", "no JSON"),
        ("say(b'[1, 2]')", "no JSON object"),
        ("say({'id': 'guessed', 'reply': {}})", "not asked"),
        ("say({'id': number, 'reply': 7})", "no JSON object"),
        ("say({'id': number, 'reply': {}}, b'no tensors at all')", "tensors that are none"),
        ("say({'id': number, 'callback': {}})", "no answer"),
        ("say({'id': number})", "no answer"),
        ("channel.shutdown(socket.SHUT_RDWR)", "ended itself|broke off"),
        ("channel.close()", "ended itself|broke off"),
        ("os.close(channel.fileno())", "ended itself|broke off"),
    ],
)
def test_nonsense_on_the_channel_ends_the_submission(session, what, reason):
    with pytest.raises(SessionEnded, match=reason):
        session.run_cell(FIND_THE_CHANNEL + what + "\nimport time; time.sleep(5)")


def test_a_forged_reply_is_only_ones_own_output_and_a_second_reply_ends_the_submission(session):
    cell = (
        FIND_THE_CHANNEL
        + "say({'id': number, 'reply': {'outputs': [{'output_type': 'stream', 'text': 'score 10'}]}})"
    )
    assert session.run_cell(cell).outputs[0]["text"] == "score 10"
    with pytest.raises(SessionEnded, match="a question that was not asked"):
        session.run_cell("1")


def test_a_reply_in_drops_is_timed_as_a_whole(session):
    cell = FIND_THE_CHANNEL + textwrap.dedent("""
        import time
        channel.send(struct.pack('<II', 5000, 0))
        for _ in range(1000):
            channel.send(b' ')
            time.sleep(0.1)
    """)  # fmt: skip
    with pytest.raises(SessionEnded, match="took more than 1 s"):
        session.run_cell(cell, seconds=1)


def test_a_reader_that_does_not_read_is_timed(session):
    stuck = FIND_THE_CHANNEL + "say({'id': number, 'reply': {}})\nimport time; time.sleep(60)"
    session.run_cell(stuck)
    with pytest.raises(SessionEnded, match="took more than 1 s"):
        session.run_cell("#" * 5_000_000, seconds=1)


def test_what_reading_an_answer_takes_is_the_submissions_own_time(zygote):
    began = time.thread_time()
    with zygote.session(seconds=4) as session, pytest.raises(SessionEnded, match="the whole took more"):
        session.run_cell("large = [0.5] * 200_000\ndef function():\n    return large")
        for _ in range(100):
            RemoteFunction(session, "function")()
    assert time.thread_time() - began < 12


# ---- too much ----


@pytest.fixture(scope="module")
def ungrouped(tmp_path_factory):
    """A zygote without a control group, as on most machines: the warden alone watches."""
    require_sandbox()
    folder = package.build(tmp_path_factory.mktemp("package") / "student")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cgroups, "make", lambda *limits: None)
        with Zygote(folder, limits=LIMITS, preload=()) as made:
            assert not made.grouped
            yield made


@pytest.mark.parametrize("which", ["zygote", "ungrouped"])
def test_a_fork_bomb_ends_the_submission_and_nobody_else(request, which):
    zygote = request.getfixturevalue(which)
    process = zygote._process.pid
    bomb = """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass
    """
    with (
        zygote.session() as session,
        pytest.raises(SessionEnded, match="more (processes|memory) than it may"),
    ):
        session.run_cell(textwrap.dedent(bomb), seconds=20)
    with zygote.session() as other:
        assert printed(other, "print(1)") == 1
    assert zygote.alive and zygote._process.pid == process


@pytest.mark.parametrize("which", ["zygote", "ungrouped"])
def test_the_memory_of_many_is_limited_as_that_of_one(request, which):
    zygote = request.getfixturevalue(which)
    process = zygote._process.pid
    many = """
        import os, time
        for _ in range(8):
            if os.fork() == 0:
                held = bytearray(500 << 20)
                time.sleep(4)
                os._exit(0)
        print(sum(os.wait()[1] == 0 for _ in range(8)))
    """
    with zygote.session() as session:
        try:
            assert printed(session, many) <= 4  # the group's limit took some of them
            assert zygote.grouped
        except SessionEnded as error:
            assert "more memory than it may" in str(error)
    with zygote.session() as other:
        assert printed(other, "print(1)") == 1
    assert zygote.alive and zygote._process.pid == process


def test_memory_that_no_process_holds_cannot_be_had(ungrouped):
    """Segments of System V stay, uncounted, when they are detached."""
    cell = """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.shmat.restype, libc.shmdt.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        held = 0
        for _ in range(4):
            number = libc.shmget(0, ctypes.c_size_t(64 << 20), 0o1600)
            if number >= 0:
                place = libc.shmat(number, None, 0)
                ctypes.memset(ctypes.c_void_p(place), 1, 64 << 20)
                libc.shmdt(place)
                held += 64
        print(held)
    """
    with ungrouped.session() as session:
        assert printed(session, cell) == 0


def test_threads_without_end(session):
    cell = """
        import threading, time
        made = 0
        try:
            for _ in range(10_000):
                threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
                made += 1
        except RuntimeError:
            pass
        time.sleep(1)
        print(made)
    """
    try:
        assert printed(session, cell) <= LIMITS.processes + 20
    except SessionEnded as error:
        assert "more processes than it may" in str(error)


@pytest.mark.parametrize(
    "cell",
    [
        "print('x' * 30_000_000)",
        "for _ in range(300_000): print('line')",
        "import sys\nfor _ in range(30): sys.stderr.write('y' * 1_000_000)",
        "for i in range(10_000): display(i)",
        "'z' * 30_000_000",
        "raise ValueError('v' * 30_000_000)",
        "display({'image/png': b'\\x89PNG\\r\\n\\x1a\\n' + bytes(30_000_000)}, raw=True)",
        "import os\nfor _ in range(1000): os.write(1, bytes(1_000_000))",
    ],
    ids=["line", "lines", "stderr", "displays", "result", "error", "picture", "descriptor"],
)
def test_output_without_end_is_cut(session, cell):
    result = session.run_cell(cell)
    assert len(str(result)) < 60_000


def test_a_process_may_have_any_name(session):
    cell = """
        import ctypes, os, time
        libc = ctypes.CDLL(None)
        for name in (b"\\xff\\xfe", b") R 1 1 1", b"a b\\n(c", b""):
            if os.fork() == 0:
                libc.prctl(15, name, 0, 0, 0)
                time.sleep(2)
                os._exit(0)
        libc.prctl(15, b"\\xff) Z 0", 0, 0, 0)
        time.sleep(0.5)
        print(1)
    """
    assert printed(session, cell) == 1
    assert session._usage["processes"] == 5


def test_a_grader_that_reads_late_hears_how_the_process_ended(zygote):
    with zygote.session() as session:
        session.run_cell("import os, threading\nthreading.Timer(0.2, os._exit, (3,)).start()")
        time.sleep(1)
        with pytest.raises(SessionEnded, match="the process ended itself"):
            session.run_cell("1")


def test_cpu_of_children_counts(session):
    cell = """
        import os, time
        for _ in range(3):
            if os.fork() == 0:
                while True:
                    pass
        time.sleep(60)
    """
    with pytest.raises(SessionEnded, match="took more than 1 s"):
        session.run_cell(textwrap.dedent(cell), seconds=1)


# ---- what an instructor's browser would run ----


@pytest.mark.parametrize(
    "cell",
    [
        "from IPython.display import HTML\nHTML('<script>steal()</script>')",
        "from IPython.display import Javascript\ndisplay(Javascript('steal()'))",
        "from IPython.display import SVG\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"><script>steal()</script></svg>')",
        "from IPython.display import Markdown, Latex\ndisplay(Markdown('<script>steal()</script>'), Latex('<script>steal()</script>'))",
        "display({'text/html': '<script>steal()</script>', 'application/javascript': 'steal()', 'image/png': '<script>steal()</script>'}, raw=True)",
        "import base64\ndisplay({'image/png': base64.b64encode(b'<script>steal()</script>').decode()}, raw=True)",
        "display({'image/svg+xml': '<svg onload=steal()>', 'application/vnd.jupyter.widget-view+json': {}}, raw=True)",
    ],
)
def test_only_text_and_checked_pictures_leave(session, cell):
    result = session.run_cell(cell)
    assert result.error is None
    for output in result.outputs:
        assert set(output["data"]) == {"text/plain"}
    assert "steal()" not in str(result.outputs)
