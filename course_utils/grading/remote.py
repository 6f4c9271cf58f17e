"""A student's function in the sandbox, as a callable out here that a check can look at like any other."""

import builtins
import contextlib
import inspect
import itertools
import re
import sys

import numpy as np
import torch

from course_utils.checks.beside import Elsewhere, StandIn
from course_utils.grading.decoder import Decoder
from course_utils.grading.encoder import Encoder
from course_utils.grading.values import Unreadable

ASKED = 16 << 20  # bytes of all that comes back to functions out here, for one call
_KIND = re.compile(r"[A-Za-z_]\w{0,79}\Z")


def stand_in(session, name, seconds=10.0):
    """What a test cell means by `name`: a `RemoteFunction`, or something that is no function.

    Args:
        session: whoever answers: `ask(question, tensors, seconds, answer_callback) -> (reply, tensors)`, and
            `reading()`, within which an answer is read.
        name: a global name of the notebook.
        seconds: the limit of one question.

    Raises:
        NameError: if there is no such name.
    """
    reply, _ = session.ask({"do": "look", "name": name}, {}, seconds)
    if reply.get("there") is not True:
        raise NameError(f"name {name!r} is not defined")
    if reply.get("callable") is not True:
        return Decoder({}).decode(["other", reply.get("kind")])
    return RemoteFunction(session, name, seconds)


class RemoteFunction(StandIn):
    """Stands for the notebook's function `name`.

    A call sends copies of the arguments and gives back what the function returned. Where it changed an argument in
    place, so is the argument here. A backward pass goes on inside. What it raises is raised here, by the same name.
    """

    def __init__(self, session, name, seconds=10.0):
        self._session, self._name, self._seconds = session, name, seconds
        self._calls = itertools.count()

    def __call__(self, *args, **kwargs):
        encoder, call = Encoder(), next(self._calls)
        question = {
            "do": "call",
            "name": self._name,
            "call": call,
            "args": encoder.many(args, 0),
            "kwargs": {name: encoder.encode(value) for name, value in kwargs.items()},
        }
        reply, tensors = self._ask(question, encoder)
        with self._session.reading():
            _write_back(reply.get("changed"), tensors, args, kwargs)
            inputs = {name: t for name, t in encoder.originals.items() if t.requires_grad}
            decoder = Decoder(tensors)
            return _attached(decoder, decoder.decode(reply.get("result")), self, call, inputs)

    def beside(self, script, args):
        """What a script gives, run beside the function: see `checks.beside`."""
        encoder = Encoder()
        question = {
            "do": "beside",
            "name": self._name,
            "source": inspect.getsource(sys.modules[script.__module__]),
            "script": script.__name__,
            "args": encoder.many(args, 0),
        }
        reply, tensors = self._ask(question, encoder, getattr(script, "seconds", 0))
        with self._session.reading():
            return Decoder(tensors).decode(reply.get("result"))

    @contextlib.contextmanager
    def apart(self, elsewhere=False):
        """The function in a process of its own, whose memory can be held: see `checks.beside`."""
        with self._session.again(elsewhere) as session:
            yield RemoteFunction(session, self._name, self._seconds), session.hold

    def backward(self, call, inputs, gradients):
        """The gradients of a call's inputs ({name: tensor}), from those of its outputs; None where nothing flows."""
        reply, tensors = self._session.ask({"do": "backward", "call": call}, gradients, self._seconds)
        _raise_if_told(reply)
        decoder, found = Decoder(tensors), reply.get("grads")
        given = (
            {name: decoder.decode(tree) for name, tree in found.items()} if isinstance(found, dict) else {}
        )
        for name, gradient in given.items():
            known = inputs.get(name)
            if known is None or not isinstance(gradient, torch.Tensor) or gradient.shape != known.shape:
                raise Unreadable("a gradient of another shape than its input")
        return [given.get(name) for name in inputs]

    def _ask(self, question, encoder, seconds=0):
        spent = 0

        def answer(callback, tensors):
            nonlocal spent
            # checks keep what their functions are asked
            spent += len(repr(callback)) + sum(t.numel() * t.element_size() for t in tensors.values())
            if spent > ASKED:
                raise Unreadable("a function was asked too much")
            with self._session.reading():
                return _answered(encoder.functions, callback, tensors)

        reply, tensors = self._session.ask(question, encoder.tensors, max(seconds, self._seconds), answer)
        _raise_if_told(reply)
        return reply, tensors


def _answered(functions, callback, tensors):
    """The answer to a call, from inside, of a function that is out here."""
    number, decoder, encoder = callback.get("function"), Decoder(tensors), Encoder()
    if type(number) is not int or not 0 <= number < len(functions):
        raise Unreadable("a call of a function that was not given")
    try:
        result = functions[number](*decoder.many(callback.get("args"), 0))
        return {"result": encoder.encode(result)}, encoder.tensors
    except Exception as error:  # goes back in, as it would where nothing lies between
        return {"error": {"kind": type(error).__name__, "words": str(error)[:200]}}, {}


def _raise_if_told(reply):
    told = reply.get("error")
    if told is None:
        return
    kind, words = (told.get(key) if isinstance(told, dict) else None for key in ("kind", "words"))
    if not isinstance(kind, str) or not isinstance(words, str) or not _KIND.match(kind):
        raise Unreadable("an error that is none")
    words = "".join(c if c.isprintable() else " " for c in words[:500])
    known = getattr(builtins, kind, None)
    bases = (
        (Elsewhere, known)
        if isinstance(known, type) and issubclass(known, Exception)
        else (Elsewhere, RuntimeError)
    )
    try:
        error = type(kind, bases, {})(words)
    except TypeError:  # one that wants more than a text
        error = type(kind, (Elsewhere, RuntimeError), {})(words)
    error.words = words
    raise error


# --- arguments that were changed in place --------------------------------------------------------


def _write_back(changed, tensors, args, kwargs):
    """Do to the arguments what was done to their copies inside."""
    decoder = Decoder(tensors)
    for place, tree in changed or []:
        known = (
            kwargs.get(place)
            if isinstance(place, str)
            else args[place]
            if place in range(len(args))
            else None
        )
        _overwrite(known, decoder.decode(tree))


def _overwrite(known, new):
    if isinstance(known, torch.Tensor) and isinstance(new, torch.Tensor):
        known.data = new.detach().to(known.dtype)
    elif isinstance(known, np.ndarray) and isinstance(new, np.ndarray):
        if known.shape != new.shape:
            known.resize(new.shape, refcheck=False)
        known[...] = new
    elif isinstance(known, list) and isinstance(new, list):
        known[:] = new
    elif isinstance(known, dict | set) and type(known) is type(new):
        known.clear()
        known.update(new)
    elif type(known).__name__ == "DataFrame" and type(new) is type(known):
        known.__init__(new)
        known.attrs = new.attrs
    elif isinstance(known, tuple) and isinstance(new, tuple) and len(known) == len(new):
        for one, other in zip(known, new, strict=True):
            _overwrite(one, other)


# --- gradients -----------------------------------------------------------------------------------


class _Inside(torch.autograd.Function):
    """Results whose graph lies inside: the backward pass asks for the gradients there."""

    @staticmethod
    def forward(ctx, stand_in, call, names, inputs, outputs, *tensors):
        ctx.set_materialize_grads(False)
        ctx.asked = stand_in, call, names, inputs
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *gradients):
        stand_in, call, names, inputs = ctx.asked
        # copies: two of them may share their memory
        copies = [g if g is None else g.clone(memory_format=torch.contiguous_format) for g in gradients]
        given = {name: gradient for name, gradient in zip(names, copies, strict=True) if gradient is not None}
        return None, None, None, None, None, *stand_in.backward(call, inputs, given)


def _attached(decoder, result, stand_in, call, inputs):
    """A result with its differentiable tensors hung on the graph of the inputs."""
    names = list(decoder.differentiable)
    if not names:
        return result
    if inputs:
        plain = tuple(decoder.differentiable[name] for name in names)
        made = _Inside.apply(stand_in, call, names, inputs, plain, *inputs.values())
    else:
        made = [decoder.differentiable[name].requires_grad_() for name in names]
    return _replaced(result, {id(decoder.differentiable[n]): t for n, t in zip(names, made, strict=True)})


def _replaced(value, by):
    """A result with some of its tensors replaced, wherever the checks look for them."""
    if isinstance(value, torch.Tensor):
        return by.get(id(value), value)
    if isinstance(value, dict):
        return {key: _replaced(x, by) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(x, by) for x in value)
    return value
