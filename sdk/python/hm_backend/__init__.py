"""What the author of an hm execution backend in Python imports.

A backend is a WebAssembly component that is handed a whole build: a plan (steps and
edges) and options. It says what happens as events, and ends with a verdict.

    from hm_backend import Backend, export, walk

    class Mine(Backend):
        name = "mine"

        async def run(self, request, events, cancellation):
            return await walk(request, events, cancellation, run_step)

    ExecutionBackend = export(Mine)

`componentize-py` makes the component; `hm backend build` calls it. What the world of the
component imports is what it asks the user for: `vm-backend` machines, `http-backend`
requests and the source.
"""

from .backend import Backend, Capabilities, Refused, export
from .cancellation import Cancellation, Cancelled
from .clock import now, sleep, timeout
from .events import Events, QueuedStep, RunningStep
from .log import debug, error, info, trace, warn
from .walk import Turn, walk
from wit_world.imports.hm_backend_types import (
    BackendError_Cancelled,
    BackendError_Denied,
    BackendError_LogStream,
    BackendError_NotFound,
    BackendError_Other,
    BackendError_Rejected,
    BackendError_Transport,
    BackendError_Unauthorized,
    BackendError_Unavailable,
    BuildStatus,
    Rejection,
    StepStatus,
)

__all__ = [
    "Backend",
    "BackendError_Cancelled",
    "BackendError_Denied",
    "BackendError_LogStream",
    "BackendError_NotFound",
    "BackendError_Other",
    "BackendError_Rejected",
    "BackendError_Transport",
    "BackendError_Unauthorized",
    "BackendError_Unavailable",
    "BuildStatus",
    "Cancellation",
    "Cancelled",
    "Capabilities",
    "Events",
    "QueuedStep",
    "Refused",
    "Rejection",
    "RunningStep",
    "StepStatus",
    "Turn",
    "debug",
    "error",
    "export",
    "info",
    "now",
    "sleep",
    "timeout",
    "trace",
    "walk",
    "warn",
]
