"""Where a backend puts its events, and handles that keep their order: queued, started,
output, ended."""

import asyncio

from wit_world.imports.events import (
    BuildEvent_Accepted,
    BuildEvent_Custom,
    BuildEvent_Notice,
    BuildEvent_StepCacheHit,
    BuildEvent_StepEnded,
    BuildEvent_StepOutput,
    BuildEvent_StepQueued,
    BuildEvent_StepStarted,
    Custom,
    Level,
    LogChannel,
    Notice,
    StepEnded,
    StepOutput,
    StepStarted,
)
from wit_world.imports.hm_backend_types import BuildStatus, StepStatus

from .host import call

#: Bytes of a step's output in one event, and of a notice or a detail.
MAX_OUTPUT_CHUNK = 16 * 1024
MAX_TEXT = 4096


def fit(text):
    """Returns `text`, cut to what the host takes."""
    data = str(text).encode()
    if len(data) <= MAX_TEXT:
        return str(text)
    return data[: MAX_TEXT - 3].decode(errors="ignore") + "…"


class Events:
    """Takes the events of a build. A method returns when the host has the event."""

    def __init__(self, writer):
        self._writer = writer
        self._lock = asyncio.Lock()
        self._statuses = {}

    async def emit(self, *events):
        """Sends events, in this order."""
        for event in events:
            if isinstance(event, BuildEvent_StepEnded):
                self._statuses.setdefault(event.value.step, event.value.status)
        await call(self._send(list(events)))

    async def _send(self, events):
        async with self._lock:
            if self._writer is not None:
                await self._writer.write_all(events)

    async def queue_all(self, plan):
        """Tells that all steps wait for their turn, and returns their handles, by index."""
        steps = range(len(plan.steps))
        await self.emit(*(BuildEvent_StepQueued(step) for step in steps))
        return [QueuedStep(self, step) for step in steps]

    async def accepted(self, accepted):
        """Tells that a service took the build; before any step's event."""
        await self.emit(BuildEvent_Accepted(accepted))

    async def notice(self, message, level=Level.INFO, step=None):
        """Tells the user something that is not a step's output."""
        await self.emit(BuildEvent_Notice(Notice(step, level, fit(message))))

    async def custom(self, name, json):
        """Sends something that machine formats alone show."""
        await self.emit(BuildEvent_Custom(Custom(name, json)))

    def status(self, step):
        """Returns how a step has ended, or None."""
        return self._statuses.get(step)

    def verdict(self):
        """Returns the verdict that follows from the steps that have ended."""
        seen = set(self._statuses.values())
        if seen & {StepStatus.FAILED, StepStatus.TIMED_OUT}:
            return BuildStatus.FAILED
        return BuildStatus.CANCELLED if StepStatus.CANCELLED in seen else BuildStatus.PASSED

    async def close(self):
        """Ends the stream."""
        async with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.__exit__(None, None, None)


class _Step:
    def __init__(self, events, step):
        self._events = events
        self.id = step

    async def _end(self, status, code=None, why=None, milliseconds=None):
        detail = None if why is None else fit(why)
        ended = StepEnded(self.id, status, code, milliseconds, detail)
        await self._events.emit(BuildEvent_StepEnded(ended))

    async def cancel(self, why=None):
        """Ends the step because the build is to stop."""
        await self._end(StepStatus.CANCELLED, why=why)

    async def notice(self, message, level=Level.INFO):
        """Tells the user something about the step."""
        await self._events.notice(message, level, self.id)


class QueuedStep(_Step):
    """A step that waits for its turn."""

    async def start(self, runner, image=None):
        """Tells that the step's command begins to run on `runner`, for display."""
        started = StepStarted(self.id, runner, image)
        await self._events.emit(BuildEvent_StepStarted(started))
        return RunningStep(self._events, self.id)

    async def cache_hit(self):
        """Tells that the result of an earlier build stands in."""
        await self._events.emit(BuildEvent_StepCacheHit(self.id))
        await self._end(StepStatus.CACHE_HIT)

    async def skip(self, why):
        """Ends the step without having run it."""
        await self._end(StepStatus.SKIPPED, why=why)


class RunningStep(_Step):
    """A step whose command runs."""

    async def output(self, data, channel=LogChannel.STDOUT):
        """Sends output of a step that runs elsewhere; `data` may end anywhere."""
        data = data.encode() if isinstance(data, str) else data
        for start in range(0, len(data), MAX_OUTPUT_CHUNK):
            chunk = data[start : start + MAX_OUTPUT_CHUNK]
            await self._events.emit(BuildEvent_StepOutput(StepOutput(self.id, channel, chunk)))

    async def stdout(self, data):
        """Sends what the step wrote to its standard output."""
        await self.output(data, LogChannel.STDOUT)

    async def stderr(self, data):
        """Sends what the step wrote to its standard error."""
        await self.output(data, LogChannel.STDERR)

    async def exit(self, code, why=None):
        """Ends the step by its command's exit code: passed for 0, else failed."""
        status = StepStatus.PASSED if code == 0 else StepStatus.FAILED
        await self._end(status, code, why)

    async def fail(self, why):
        """Ends the step as failed without an exit code."""
        await self._end(StepStatus.FAILED, why=why)

    async def time_out(self, why=None):
        """Ends the step as over its time."""
        await self._end(StepStatus.TIMED_OUT, 124, why)
