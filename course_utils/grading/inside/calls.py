"""Questions about the notebook's functions, answered inside the sandbox: the inner half of `remote`."""

import contextlib
import json
import linecache
import sys
import sysconfig
import threading
import traceback
import types
import warnings
from collections import OrderedDict
from pathlib import Path

import torch

from course_utils.grading.decoder import Decoder
from course_utils.grading.encoder import Encoder
from course_utils.grading.values import TooLarge, same

_COURSE = str(Path(__file__).resolve().parents[2])
_LIBRARIES = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
_SCRIPT = "<the grader's script>"
_HEADER = 7 << 20  # bytes of a reply, below what the wire takes
_KEPT = 4  # results whose graph is kept for a backward pass

_graphs = OrderedDict()  # id of a call: ({name: output}, {name: leaf})
_scripts = {}  # source: the module made of it
_one_at_a_time = threading.Lock()


def answer(question, tensors, names, ask_outside):
    """Answer one question.

    Args:
        question: {"do": "look", "call", "beside" or "backward", ...}, as `remote` asks it.
        tensors: {name: tensor} that came with it.
        names: the notebook's global names.
        ask_outside: asks the grader something back; (question, tensors) to (answer, tensors).

    Returns:
        (reply, tensors); where something was raised the reply is {"error": {"kind", "words"}}.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reply, sent = _DO[question["do"]](question, tensors, names, ask_outside)
        if len(json.dumps(reply)) > _HEADER:
            raise TooLarge(f"a value of more than {_HEADER >> 20} MiB")
        return reply, sent
    except TooLarge as error:
        words = f"ValueError: {error} came back, which is more than is looked at"
        return {"error": {"kind": "ValueError", "words": words}}, {}
    except BaseException as error:  # sys.exit() too
        return {"error": {"kind": type(error).__name__[:80], "words": described(error)}}, {}


def _look(question, tensors, names, ask_outside):
    if question["name"] not in names:
        return {"there": False}, {}
    thing = names[question["name"]]
    return {"there": True, "callable": callable(thing), "kind": type(thing).__name__[:80]}, {}


def _call(question, tensors, names, ask_outside):
    """Call a function: its result, and those of its arguments that it changed."""
    decoder = Decoder(tensors, _asking(ask_outside))
    args = decoder.many(question["args"], 0)
    kwargs = {name: decoder.decode(tree) for name, tree in question["kwargs"].items()}
    leaves = decoder.differentiable
    for leaf in leaves.values():
        leaf.requires_grad_()
    result = names[question["name"]](*args, **kwargs)
    encoder = Encoder()
    reply = {"result": encoder.encode(result)}
    outputs = {
        name: encoder.originals[name] for name in encoder.originals if encoder.originals[name].requires_grad
    }
    if outputs and leaves:
        _graphs[question["call"]] = outputs, leaves
        while len(_graphs) > _KEPT:
            _graphs.popitem(last=False)
    reply["changed"], changed = _changed(question, tensors, args, kwargs)
    return reply, encoder.tensors | changed


def _changed(question, tensors, args, kwargs):
    """[[place, tree]] of the arguments that are no longer what came, and their tensors."""
    before = [*enumerate(question["args"]), *question["kwargs"].items()]
    found, sent = [], {}
    for (place, tree), value in zip(before, [*args, *kwargs.values()], strict=True):
        encoder = Encoder()
        now = encoder.encode(value)
        if not same(tree, now, tensors, encoder.tensors):
            found.append([place, _renamed(now, f"{place} ")])
            sent |= {f"{place} {name}": tensor for name, tensor in encoder.tensors.items()}
    return found, sent


def _renamed(tree, prefix):
    """A tree with other names for its tensors."""
    if type(tree) is not list:
        return tree
    if tree[:1] in (["tensor"], ["array"], ["times"]):
        return [tree[0], prefix + tree[1], *tree[2:]]
    return [_renamed(part, prefix) for part in tree]


def _beside(question, tensors, names, ask_outside):
    """Run a script of the grader's on a function and plain data."""
    script = _script(question["source"], question["script"])
    args = Decoder(tensors, _asking(ask_outside)).many(question["args"], 0)
    encoder = Encoder()
    result = script(names[question["name"]], *args)
    return {"result": encoder.encode(result)}, encoder.tensors


def _script(source, name):
    """A function of a script's source: a module that is made once, and can be found by pickle."""
    if source not in _scripts:
        module = _scripts[source] = types.ModuleType(f"script_{len(_scripts)}")
        module.__file__ = f"{_COURSE}/checks/scripts/script.py"
        sys.modules[module.__name__] = module
        exec(compile(source, _SCRIPT, "exec"), vars(module))
    return getattr(_scripts[source], name)


def _backward(question, tensors, names, ask_outside):
    """The gradients of a call's arguments, from those of its results."""
    outputs, leaves = _graphs.pop(question["call"])
    for leaf in leaves.values():
        leaf.grad = None
    torch.autograd.backward([outputs[name] for name in tensors], list(tensors.values()))
    found = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    encoder = Encoder()
    return {"grads": {name: encoder.encode(grad) for name, grad in found.items()}}, encoder.tensors


_DO = {"look": _look, "call": _call, "beside": _beside, "backward": _backward}


def _asking(ask_outside):
    """From a function's number to what stands for it in here: it asks the grader."""
    made = {}

    def function(number):
        def asked(*args):
            encoder = Encoder()
            question = {"function": number, "args": encoder.many(args, 0)}
            with _one_at_a_time:
                reply, tensors = ask_outside(question, encoder.tensors)
            if "error" in reply:
                raise _as_it_was(**reply["error"])
            return Decoder(tensors).decode(reply["result"])

        return made.setdefault(number, asked)

    return function


def _as_it_was(kind, words):
    """An exception of the grader's, as it was raised outside."""
    import builtins

    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, Exception):
        with contextlib.suppress(Exception):
            return known(words)
    return type(kind, (Exception,), {})(words)


def described(error):
    """One line: the exception, and the line of the student's own code that it came from."""
    try:
        text = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    except Exception:  # its own __str__ raises
        text = type(error).__name__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "site-packages" not in frame.filename and not frame.filename.startswith(
            (_COURSE, *_LIBRARIES, _SCRIPT, sys.prefix, sys.base_prefix)
        ):
            line = (frame.line or linecache.getline(frame.filename, frame.lineno)).strip()[:200]
            return f"{text} (line {frame.lineno} of your cell: {line})" if line else text
    return text
