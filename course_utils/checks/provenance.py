"""Does an answer call the course's own implementation? Read from the answer's code, not its results."""

import dis
import functools
import types

# Modules of the course that hold answers. An answer may use any library, but not these.
ANSWERS = (
    "theory",
    "logprobs",
    "kernels",
    "losses",
    "reward_models",
    "preferences",
    "policy_gradient",
    "constitution",
    "decisions",
    "methods",
    "trl_parity",
    "feedback",
    "iteration",
    "evaluation",
    "serving",
    "goodhart",
    "limits",
    "training",
    "checks.exercises",
)


def course_calls(function):
    """The answer modules of the course that `function` reaches, sorted; empty for an honest answer.

    Follows the names that its code uses into the notebook's globals, closures, defaults and helper
    functions, imports inside the code, and module names in strings (for importlib).
    """
    found, todo, done = set(), [function], set()
    while todo:
        thing = todo.pop()
        if id(thing) in done:
            continue
        done.add(id(thing))
        # type(), not isinstance(): some library objects warn or act when they are asked for __class__
        kind = type(thing)
        if module := _answer_module(thing, kind):
            found.add(module)
        elif kind is functools.partial:
            todo += [thing.func, *thing.args, *thing.keywords.values()]
        elif kind is types.MethodType:
            todo += [thing.__func__, thing.__self__]
        elif kind is types.FunctionType and _is_students(thing):
            todo += _reached(thing)
            found.update(_imported(thing.__code__))
            if hasattr(thing, "__wrapped__"):
                todo.append(thing.__wrapped__)
        elif kind.__module__ == "functools" and hasattr(thing, "__wrapped__"):  # lru_cache
            todo.append(thing.__wrapped__)
        elif kind in (list, tuple):
            todo += thing
        elif kind is dict:
            todo += thing.values()
        elif kind is type and _is_students(thing):
            todo += vars(thing).values()
        elif _is_students(kind):  # an object of a class of the student's
            todo += [kind, *getattr(thing, "__dict__", {}).values()]
    return sorted(found)


def _is_students(thing):
    return thing.__module__ in ("__main__", None)


def _answer_module(thing, kind):
    """The answer module that a module, function or class is or comes from, if it is one."""
    if kind is types.ModuleType:
        return _answer_name(thing.__name__)
    if kind in (types.FunctionType, type):
        return _answer_name(thing.__module__ or "")
    return None


def _answer_name(name):
    for answer in ANSWERS:
        full = f"course_utils.{answer}"
        if name == full or name.startswith(full + "."):
            return full
    return None


def _reached(function):
    """What the names in a function's code stand for: globals, closure cells, defaults."""
    steps = [step for code in _codes(function.__code__) for step in dis.get_instructions(code)]
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    # read as a global, or named in a string (for globals()); an attribute of the same name is another thing
    read = {s.argval for s in steps if s.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    read |= {s.argval for s in steps if s.opname == "LOAD_CONST" and isinstance(s.argval, str)}
    things = [function.__globals__[name] for name in sorted(read) if name in function.__globals__]
    for thing in things:  # grows: package.module.function, one attribute after the other
        if type(thing) is types.ModuleType and thing.__name__.startswith("course_utils"):
            inner = [getattr(thing, name) for name in names if hasattr(thing, name)]
            things += [t for t in inner if not any(t is known for known in things)]
    for cell in function.__closure__ or ():
        try:
            things.append(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
    return things + list(function.__defaults__ or ()) + list((function.__kwdefaults__ or {}).values())


def _imported(code):
    """Answer modules that the code imports itself, or names in a string."""
    for part in _codes(code):
        texts = [c for c in part.co_consts if isinstance(c, str)] + list(part.co_names)
        for text in texts:
            if module := _answer_name(text):
                yield module
        if "course_utils" in part.co_names:  # from course_utils import losses
            yield from (f"course_utils.{a}" for a in ANSWERS if a in part.co_names)


def _codes(code):
    """A code object and those of the functions defined inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)
