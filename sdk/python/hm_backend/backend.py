"""Between the generated protocol and the author's class."""

import traceback

import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.exports.execution_backend import RunningBuild
from wit_world.imports.hm_backend_types import (
    BackendError_Cancelled,
    BackendError_Other,
    BackendError_Rejected,
    Capabilities,
    Description,
    Rejection,
)

from . import clock, log
from .cancellation import Cancellation, Cancelled
from .events import Events, fit


class Refused(Exception):
    """Ends a build with an error of the interface: `raise Refused(BackendError_Unavailable("…"))`."""

    def __init__(self, error):
        super().__init__(error)
        self.error = error


class Backend:
    """What an author derives from: says what it is, and runs a build.

    One instance serves one build.
    """

    #: Of `a-z`, `0-9` and `-`, 64 characters at most; for display.
    name = "python"
    version = "0.1.0"
    capabilities = Capabilities(0)

    async def check(self, request):
        """Judges the request before there is a build; raises `Refused` to refuse it."""

    async def run(self, request, events, cancellation):
        """Runs the build to its end and returns a `BuildStatus` that follows from the
        steps, as `events` told them."""
        raise NotImplementedError


def settings(request):
    """Returns the user's settings as a dictionary of strings; tables are flattened to
    `a.b`."""
    return dict(request.settings)


def rejected(message, code="invalid_settings"):
    """Makes the error that refuses a plan or its settings."""
    return Refused(BackendError_Rejected(Rejection(code, message)))


def export(backend):
    """Makes the class that the component exports, to be named `ExecutionBackend`."""

    class ExecutionBackend(exports.ExecutionBackend):
        def describe(self):
            return Description(backend.name, backend.version, backend.capabilities)

        async def start(self, request):
            mine = backend()
            try:
                await mine.check(request)
            except Refused as refused:
                raise Err(refused.error)
            writer, reader = wit_world.events_build_event_stream()
            outcome, outcome_reader = (
                wit_world.result_hm_backend_types_build_status_hm_backend_types_backend_error_future(
                    lambda: Err(BackendError_Other("the backend went away"))
                )
            )
            spawn(_play(mine, request, writer, outcome))
            return RunningBuild(reader, outcome_reader)

    return ExecutionBackend


async def _play(mine, request, writer, outcome):
    events = Events(writer)
    cancellation = Cancellation()
    try:
        verdict = Ok(await mine.run(request, events, cancellation))
    except Cancelled:
        verdict = Err(BackendError_Cancelled())
    except Refused as refused:
        verdict = Err(refused.error)
    except Exception as error:
        # A mistake in the backend: the whole story to who debugs it, a line to the user.
        log.error(fit("".join(traceback.format_exception(error))))
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        verdict = Err(BackendError_Other(fit(text)))
    await events.close()
    await outcome.write(verdict)
    # The instance is gone soon. It must not end by itself: calls may be under way.
    while True:
        await clock.sleep(3600)
