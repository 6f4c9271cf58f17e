"""The HTTP face of the service: /chat, /feedback, /metrics, /health, and the roll-out's two switches.

Each client has a token and a rate; whatever it sends, it gets a 4xx where the fault is its own, and a 503
with Retry-After where the service is full or its model or store fails. Neither the token nor what
was sent is repeated in an answer. /metrics and /health hold no personal data and need no token.
"""

import contextlib
import logging
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from course_utils.serving.batching import Closed, QueueFull
from course_utils.serving.engine import BadPrompt
from course_utils.serving.guardrails import Guardrails
from course_utils.serving.limits import ADMIN, PROMPT_CHARACTERS, Clients, Limits
from course_utils.serving.metrics import CONTENT_TYPE, CountRequests
from course_utils.serving.page import openapi_page
from course_utils.serving.service import NotUpward, Service
from course_utils.serving.store import Vote

PATHS = {"/chat", "/feedback", "/metrics", "/health", "/rollout", "/rollback", "/docs", "/openapi.json"}
RETRY = 1  # seconds that a client is asked to wait where the service is full
log = logging.getLogger(__name__)


class Strict(BaseModel):
    """No further fields, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Ask(Strict):
    """A prompt and who sends it. A database may not hold the character NUL, so it is refused."""

    user_id: str = Field(min_length=1, max_length=128, pattern=r"^[^\x00]*$")
    prompt: str = Field(min_length=1, max_length=PROMPT_CHARACTERS, pattern=r"^[^\x00]*$")


class Answer(BaseModel):
    """The id to vote with, and the response. Which model gave it is not said, so that votes stay blind."""

    request_id: str
    response: str


class Ballot(Strict):
    """A vote on an answer."""

    request_id: str = Field(pattern="^[0-9a-f]{32}$")
    vote: Vote = Field(strict=False)  # JSON has no enums


class Receipt(BaseModel):
    """What became of a vote: "stored", or "already" where the same vote was stored before."""

    result: str


class Step(Strict):
    """The treatment's share of the users."""

    share: float = Field(ge=0, le=1)


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class Health(BaseModel):
    """Each part of the service: "ok", or what is wrong."""

    parts: dict[str, str]


PROBLEMS = {
    400: "The body cannot be read.",
    401: "No token, or one that nobody has.",
    403: "Only the client named admin may do this.",
    404: "No such request of this client.",
    409: "It contradicts what is stored.",
    413: "The body is too large.",
    422: "A field is missing, unknown or out of its limits, or the model cannot take this prompt.",
    429: "Too many requests of this client; Retry-After says when to try again.",
    503: "The service is full, or its model or store fails; Retry-After says when to try again.",
}


def problems(*statuses):
    """The error responses of a route, for its OpenAPI page."""
    wait = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    found = {status: {"model": Problem, "description": PROBLEMS[status]} for status in statuses}
    for status in {429, 503} & found.keys():
        found[status]["headers"] = wait
    if 413 in found:  # where a header tells the size, the framework answers in plain text
        found[413]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return found


COMMON = (400, 401, 413, 422, 429, 503)


def create_app(
    engines, store, share=0.0, salt="", tokens=None, limits=Limits(), flagged=None, user_key="", guardrails=Guardrails()  # noqa: B008, E501
):  # fmt: skip
    """A FastAPI app; it starts to answer with its lifespan and closes the store at its end.

    Args:
        engines, store, share, salt, flagged, user_key, guardrails: see `Service`.
        tokens: {token: client's name}; see `Clients`.
        limits: see `Limits`.

    Returns:
        The app; `app.state.service` is its `Service`.

    Raises:
        ValueError: an argument is not as described there.
    """
    service = Service(engines, store, share, salt, limits, flagged, user_key, guardrails)
    clients = Clients(tokens, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        await service.start()
        yield
        await service.stop()
        store.close()

    app = FastAPI(title="Chat with votes", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_middleware(CountRequests, metrics=service.metrics, paths=PATHS)
    app.add_exception_handler(RequestValidationError, _invalid)
    # a router's limit, not the app's: what it refuses passes the middleware and is counted
    routes = APIRouter(max_body_size=limits.body_bytes)
    bearer = HTTPBearer(auto_error=False, description="The client's token.")

    # coroutines, so that they run on the event loop: a bucket is no thing for several threads
    async def client(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]):
        """The client's name, where its token is known and its bucket not empty."""
        name = clients.name(given.credentials) if given else None
        if name is None:
            raise HTTPException(401, "a known token is needed", {"WWW-Authenticate": "Bearer"})
        if seconds := clients.wait(name):
            raise HTTPException(429, "too many requests", {"Retry-After": str(seconds)})
        return name

    async def admin(name: Annotated[str, Depends(client)]):
        """The client, if it is the admin."""
        if name != ADMIN:
            raise HTTPException(403, "only the admin may do this")
        return name

    @routes.post("/chat", responses=problems(*COMMON))
    async def chat(ask: Ask, name: Annotated[str, Depends(client)]) -> Answer:
        """Answer a prompt. The answer is stored before its id is handed out."""
        with _told():
            request_id, response = await service.answer(name, ask.user_id, ask.prompt)
        return Answer(request_id=request_id, response=response)

    @routes.post("/feedback", responses=problems(404, 409, *COMMON))
    async def feedback(ballot: Ballot, name: Annotated[str, Depends(client)]) -> Receipt:
        """Vote on an answer. The first vote stands: repeating it does no harm, another one is refused
        with 409, since what models are trained on must not change afterwards."""
        with _told():
            outcome = await service.vote(name, ballot.request_id, ballot.vote)
        if outcome == "unknown":
            raise HTTPException(404, "there is no such request of this client")
        if outcome == "conflict":
            raise HTTPException(409, "another vote on this answer stands")
        return Receipt(result=outcome)

    @routes.post("/rollout", responses=problems(403, 409, *COMMON))
    async def rollout(step: Step, name: Annotated[str, Depends(admin)]) -> Step:
        """Raise the treatment's share. It cannot be lowered, so no user is moved back."""
        with _told():
            await service.ramp(step.share)
        return Step(share=service.share)

    @routes.post("/rollback", responses=problems(*{*COMMON, 403} - {422}))
    async def rollback(name: Annotated[str, Depends(admin)]) -> Step:
        """Give everybody the control again, for good under this salt."""
        with _told():
            await service.roll_back()
        return Step(share=service.share)

    @routes.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses={200: {"description": "Prometheus' text format."}},
    )
    async def metrics():
        """Counters, latencies and queues."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @routes.get("/health", responses={503: {"model": Health, "description": "A part is not ok."}})
    async def health() -> Health:
        """Whether the store and the engines can be reached."""
        parts = await service.health()
        well = all(state == "ok" for state in parts.values())
        return JSONResponse({"parts": parts}, 200 if well else 503)

    @routes.get("/docs", include_in_schema=False)
    async def docs():
        """The OpenAPI description for readers; the usual pages load their scripts from the internet."""
        return HTMLResponse(openapi_page(app.openapi()))

    app.include_router(routes)
    return app


@contextlib.contextmanager
def _told():
    """What the service raises, as what the client is told."""
    try:
        yield
    except BadPrompt as error:
        raise HTTPException(422, f"prompt: {error}") from error
    except NotUpward as error:
        raise HTTPException(409, str(error)) from error
    except Exception as error:
        if not isinstance(error, QueueFull | Closed | TimeoutError):
            log.exception("a request failed")
        headers = {"Retry-After": str(RETRY)}
        raise HTTPException(503, "not now: try again", headers) from error


async def _invalid(_request, error):
    """Where the fault lies, without what was sent: it may be private, or not even be text."""
    faults = [".".join(map(str, e["loc"])) + ": " + e["msg"] for e in error.errors()[:5]]
    return JSONResponse({"detail": "; ".join(faults).encode("utf-8", "replace").decode()}, 422)
