"""Walks over a plan: each step as soon as its predecessors have passed."""

import asyncio

from wit_world.imports.control import CancelReason
from wit_world.imports.hm_backend_types import (
    BackendError_Cancelled,
    BuildStatus,
    EdgeKind,
    StepStatus,
)

from . import clock
from .backend import Refused
from .cancellation import Cancelled
from .events import RunningStep

#: Steps at once, whatever the user asks for: the calls that the host takes are limited.
MOST = 60
#: Seconds that steps on their way have to tidy up, of the ten that the host grants.
TIDYING = 5


class Turn:
    """A step whose turn it is."""

    def __init__(self, handle, plan, parent, has_heirs):
        self._handle = handle
        self.id = handle.id
        self.step = plan.steps[handle.id]
        self.plan = plan
        #: What the step returned from which this one starts; None for a root.
        self.parent = parent
        #: True if another step starts from what this one leaves behind.
        self.has_heirs = has_heirs

    async def start(self, runner):
        """Tells that the step's command begins to run, and returns the handle that ends it."""
        return await self._handle.start(runner, self.step.image)

    @property
    def queued(self):
        """The handle of the step that waits, for what `start` is not."""
        return self._handle


class _Graph:
    def __init__(self, plan):
        count = len(plan.steps)
        self.parent = [None] * count
        self.heirs = [0] * count
        self.after = [[] for _ in range(count)]
        self.open = [0] * count
        for edge in plan.edges:
            self.after[edge.before].append(edge.after)
            self.open[edge.after] += 1
            if edge.kind == EdgeKind.BUILDS_IN:
                self.parent[edge.after] = edge.before
                self.heirs[edge.before] += 1
        self.ready = [step for step in range(count) if self.open[step] == 0]

    def passed(self, step):
        for after in self.after[step]:
            self.open[after] -= 1
            if self.open[after] == 0:
                self.ready.append(after)

    def dependents(self, step):
        found, open_ = set(), [step]
        while open_:
            for after in self.after[open_.pop()]:
                if after not in found:
                    found.add(after)
                    open_.append(after)
        return sorted(found)


async def walk(request, events, cancellation, run_step):
    """Runs every step by `await run_step(turn)`, in an order that the plan allows: as many
    at once as the user asked for, and each only when all that it waits for has passed.
    What `run_step` returns is what the step leaves behind for those that start from it; if
    that can be closed, it is when nobody wants it any more. Returns the verdict."""
    plan, graph = request.plan, _Graph(request.plan)
    waiting = dict(enumerate(await events.queue_all(plan)))
    room = min(max(request.options.parallelism, 1), MOST)
    left, wanted, running = {}, list(graph.heirs), {}
    wish = asyncio.ensure_future(cancellation.requested())

    def leave_parent(step):
        parent = graph.parent[step]
        if parent is None:
            return
        wanted[parent] -= 1
        if wanted[parent] == 0 and parent in left:
            _close(left.pop(parent))

    async def halt(reason, how):
        for task in running:
            task.cancel()
        if running:
            # A step may tidy up: `except asyncio.CancelledError`.
            tidying = asyncio.gather(*running, return_exceptions=True)
            limit = asyncio.ensure_future(clock.sleep(TIDYING))
            await asyncio.wait({tidying, limit}, return_when=asyncio.FIRST_COMPLETED)
            limit.cancel()
        for step in sorted(running.values()):
            if events.status(step) is None:
                await RunningStep(events, step).cancel(how)
        for step in sorted(waiting):
            if reason is None:
                await waiting[step].cancel(how)
            else:
                await waiting[step].skip(reason)
        for state in left.values():
            _close(state)

    while True:
        while graph.ready and len(running) < room:
            step = graph.ready.pop(0)
            handle = waiting.pop(step, None)
            if handle is not None:
                parent = left.get(graph.parent[step])
                turn = Turn(handle, plan, parent, graph.heirs[step] > 0)
                running[asyncio.ensure_future(run_step(turn))] = step
        if not running:
            return events.verdict()
        await asyncio.wait({wish, *running}, return_when=asyncio.FIRST_COMPLETED)
        done = [task for task in running if task.done()]
        ended_by_host = any(_is_cancelled(task) for task in done)
        if wish.done() or ended_by_host:
            # A call that the host has ended says so before the wish itself is heard.
            limit = asyncio.ensure_future(clock.sleep(1))
            await asyncio.wait({wish, limit}, return_when=asyncio.FIRST_COMPLETED)
            if not wish.done():
                await halt("a step was cancelled", "a step was cancelled")
                raise Cancelled(None)
            reason = wish.result()
            interrupted = reason == CancelReason.INTERRUPTED
            await halt(None, "the build was interrupted" if interrupted else "the build timed out")
            return BuildStatus.CANCELLED if interrupted else BuildStatus.TIMED_OUT
        for task in done:
            step = running.pop(task)
            key = plan.steps[step].key[:200]
            if task.exception() is not None:
                if events.status(step) is None:
                    await RunningStep(events, step).cancel("it could not be run")
                await halt(f"`{key}` could not be run", f"because `{key}` could not be run")
                raise task.exception()
            leave_parent(step)
            status = events.status(step)
            if status in (StepStatus.PASSED, StepStatus.CACHE_HIT):
                if wanted[step] > 0:
                    left[step] = task.result()
                else:
                    _close(task.result())
                graph.passed(step)
                continue
            _close(task.result())
            if status is None:
                await RunningStep(events, step).cancel()
            verb = "timed out" if status == StepStatus.TIMED_OUT else "failed"
            if not request.options.keep_going and status != StepStatus.SKIPPED:
                await halt(f"`{key}` {verb}", f"because `{key}` {verb}")
                return events.verdict()
            for dependent in graph.dependents(step):
                handle = waiting.pop(dependent, None)
                if handle is not None:
                    leave_parent(dependent)
                    await handle.skip(f"`{key}` {verb}")


def _is_cancelled(task):
    if task.cancelled():
        return False
    error = task.exception()
    is_ended = isinstance(error, Refused) and isinstance(error.error, BackendError_Cancelled)
    return is_ended or isinstance(error, Cancelled)


def _close(state):
    close = getattr(state, "close", None)
    if close is not None:
        close()
