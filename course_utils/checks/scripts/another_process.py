"""What an answer does in another process: its notebook cell run anew there, or here with another hash()."""

import ast
import builtins
import contextlib
import importlib
import inspect
import json
import linecache
import os
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

_LIMIT = 20  # seconds; a cell that imports torch takes three
_COURSE = str(Path(__file__).resolve().parents[2])
_LIBRARIES = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")})

_DRIVER = """
import contextlib, importlib, io, json, sys, warnings

job = json.load(sys.stdin)
names = {"__name__": "__main__"}
for name, module, attribute in job["imports"]:
    thing = importlib.import_module(module)
    for part in attribute.split(".") if attribute else ():
        thing = getattr(thing, part)
    names[name] = thing
names.update(job["values"])
with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    exec(compile(job["source"], "cell", "exec"), names)
    results = [names[job["function"]](*call) for call in job["calls"]]
json.dump(results, sys.stdout)
"""


def in_another_process(function, name, calls, through=None):
    """The results of a notebook function's calls in a new Python process, in which strings hash otherwise.

    The whole cell that defines the function is run there, below the imports and plain values that it
    takes from other cells.

    Args:
        function: the student's function.
        name: what it is called in the notebook.
        calls: a list of lists of arguments that JSON can hold.
        through: (name, source) of a function that calls it, where its arguments or results are nothing for JSON.

    Returns:
        A list of results; None where that cannot be done: the function comes from no notebook cell and no
        file, or what defines it does not run by itself.
    """
    source = cell_source(function, name)
    if source is None:
        return None
    if through:
        name, caller = through
        source = f"{source}\n{caller}"
    try:
        job = {
            "source": source,
            "function": name,
            "calls": calls,
            **_from_other_cells(source, inspect.unwrap(function).__globals__),
        }
        salt = "42" if os.environ.get("PYTHONHASHSEED") == "4711" else "4711"
        done = subprocess.run(
            [sys.executable, "-c", _DRIVER],
            input=json.dumps(job), capture_output=True, text=True, timeout=_LIMIT, env=os.environ | {"PYTHONHASHSEED": salt},
        )  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, TypeError, subprocess.SubprocessError):
        return None


in_another_process.seconds = 2 * _LIMIT  # at grading, where one call may take less


def cell_source(function, name):
    """The source of the whole notebook cell that defines `function` as `name`; None where there is no such cell.

    IPython keeps the source of each cell under a file name that is no file. Of a file, other than the
    course's own, it is the definition with the imports, definitions and assignments that it needs.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or code.co_filename.startswith(_COURSE):
        return None
    if Path(code.co_filename).exists():
        return _definition_in(Path(code.co_filename), name)
    source = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    return source if name in _defined(tree) else None


def _definition_in(file, name):
    """What `name` needs of a file's imports, definitions and assignments; None where the file does not define it."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    made = [(step, _made_by(step)) for step in tree.body if isinstance(step, kinds)]
    if not any(name in names for _, names in made):
        return None
    needed, wanted = [], {name}
    while found := [step for step, names in made if names & wanted and step not in needed]:
        needed += found
        wanted |= {node.id for step in found for node in ast.walk(step) if isinstance(node, ast.Name)}
    return "\n".join(ast.unparse(step) for step in tree.body if step in needed)


def _made_by(step):
    """Names that one statement of a file gives a value to."""
    if isinstance(step, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in step.names}
    if isinstance(step, (ast.FunctionDef, ast.ClassDef)):
        return {step.name}
    return {n.id for n in ast.walk(step) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _defined(tree):
    """Names that a cell gives a value to: definitions and assignments, at any depth."""
    nodes = list(ast.walk(tree))
    own = {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    return own | {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _from_other_cells(source, names):
    """What a cell uses of the notebook's names: (name, module, attribute) to import, and plain values."""
    tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imports, values = [], {}
    for name in sorted(used - _defined(tree)):
        thing = names.get(name)
        if isinstance(thing, types.ModuleType):
            imports.append((name, thing.__name__, ""))
        elif isinstance(thing, (str, int, float)):
            values[name] = thing
        elif where := _importable(thing):
            imports.append((name, *where))
    return {"imports": imports, "values": values}


def _importable(thing):
    """(module, attribute) under which a function or class can be imported, or None."""
    module, attribute = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(attribute, str) or module == "__main__":
        return None
    with contextlib.suppress(ImportError, AttributeError):
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        if found is thing:
            return module, attribute
    return None


@contextlib.contextmanager
def another_hash():
    """Within, hash() of texts is another for all code but the libraries', as in another process.

    The second-best way: it sees hash(), not what else differs between processes.
    """
    own = builtins.hash

    def salted(thing):
        caller = sys._getframe(1)
        file, module = caller.f_code.co_filename, caller.f_globals.get("__name__", "")
        library = file.startswith(_LIBRARIES) and not module.startswith("course_utils.")
        return own(thing) if library or not _has_text(thing) else own(("another process", thing))

    builtins.hash = salted
    try:
        yield
    finally:
        builtins.hash = own


def with_another_hash(function, calls):
    """The results of calls, [args, kwargs] each, as `another_hash` has them."""
    with another_hash():
        return [function(*args, **kwargs) for args, kwargs in calls]


with_another_hash.seconds = 40


def _has_text(thing):
    if isinstance(thing, tuple):
        return any(map(_has_text, thing))
    return isinstance(thing, (str, bytes))
