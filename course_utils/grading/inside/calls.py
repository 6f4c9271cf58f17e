"""Questions about the notebook's functions, answered inside the sandbox."""


def answer(question, tensors, names, ask_outside):
    """Answer {"call": name, "args": [...]} with {"result": ...} or {"error": ...}.

    Args:
        question: what the grader asks, as JSON.
        tensors: {name: tensor} that came with it.
        names: the notebook's global names.
        ask_outside: asks the grader something back; (question, tensors) to (answer, tensors).
    """
    try:
        return {"result": names[question["call"]](*question["args"])}, {}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:200]}, {}
