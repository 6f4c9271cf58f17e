"""`python -m course_utils serve`: the chat service of notebook 04 on this machine."""

import json
import os
import secrets
import socket
import sys
from pathlib import Path

from course_utils.commands.report import first_line

USER_KEY = "COURSE_USER_KEY"


def add_arguments(parser):
    """The command's options."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", metavar="FOLDER", help="a model folder or hub name: the control")
    model.add_argument("--stub", action="store_true", help="fixed answers, control and treatment, no model")
    parser.add_argument(
        "--treatment", metavar="FOLDER", help="the model that is tried on a share of the users"
    )
    parser.add_argument("--share", type=float, default=0.0, help="of the users for the treatment (default 0)")
    parser.add_argument("--salt", default="", help="name of the experiment; another one draws the users anew")
    parser.add_argument(
        "--database", default="sqlite:///service.db", metavar="URL", help="default %(default)s"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default %(default)s: this machine only")
    parser.add_argument("--port", type=int, default=8000, help="default %(default)s; 0 takes a free one")
    parser.add_argument(
        "--tokens", metavar="FILE", help='JSON: {"token": "client", ...}; by default new ones are printed'
    )
    parser.add_argument(
        "--rate", type=float, default=50.0, help="requests a second of one client (default 50)"
    )
    parser.add_argument("--queue", type=int, default=256, help="most prompts that wait (default %(default)s)")
    parser.add_argument("--max-new", type=int, default=128, help="most tokens of an answer (default 128)")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a call of the stub takes")


def run_service(asked):
    """Serve until the process is told to end; returns an exit status: 1 for an error, which is told in a line."""
    import uvicorn
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if not 0 <= asked.port <= 65535:
            raise ValueError(f"--port must be from 0 to 65535, not {asked.port}")
        app = made(asked)
        listener = socket.create_server((asked.host, asked.port))
    except (ValueError, OSError, SQLAlchemyError) as error:  # OSError: the port is taken, a file is not there
        print(first_line("serve", error), file=sys.stderr)
        return 1

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            if self.started:
                print(f"listening on http://{asked.host}:{listener.getsockname()[1]}", flush=True)

    # idle connections are kept for longer than clients keep them (httpx: 5 s), so that no request meets a closing one
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", server_header=False,
        timeout_keep_alive=30, timeout_graceful_shutdown=15,
    )  # fmt: skip
    server = Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else 1


def made(asked):
    """The app by the command's options; prints its tokens where none were given."""
    from course_utils.serving.app import create_app
    from course_utils.serving.limits import ADMIN, Limits
    from course_utils.serving.store import open_store

    if asked.tokens:
        try:
            tokens = json.loads(Path(asked.tokens).read_text())
        except ValueError as error:
            raise ValueError(f"--tokens: {asked.tokens} is no JSON: {error}") from None
    else:
        tokens = {secrets.token_urlsafe(24): name for name in ("chat", ADMIN)}
        for token, name in tokens.items():
            print(f"token of client {name}: {token}")
    if not os.environ.get(USER_KEY):
        print(f"{USER_KEY} is not set: who has the store can try out user ids against its hashes")
    return create_app(
        engines(asked),
        open_store(asked.database),
        share=asked.share,
        salt=asked.salt,
        tokens=tokens,
        limits=Limits(rate=asked.rate, burst=max(1.0, 2 * asked.rate), queue=asked.queue),
        user_key=os.environ.get(USER_KEY, ""),
    )


def engines(asked):
    """{variant: engine} by the command's options."""
    from course_utils.serving.engine import ModelEngine, StubEngine

    if asked.stub and asked.treatment:
        raise ValueError("--treatment: the stub brings its own; give --model to try a model against another")
    if asked.stub:
        return {
            name: StubEngine(delay=asked.delay, version=f"stub-{name}") for name in ("control", "treatment")
        }
    folders = {"control": asked.model, "treatment": asked.treatment}
    return {name: ModelEngine(folder, asked.max_new) for name, folder in folders.items() if folder}
