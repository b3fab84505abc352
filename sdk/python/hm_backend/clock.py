"""Time: the host's clock. `asyncio.sleep` has none here."""

import asyncio

from wit_world.imports import monotonic_clock

from .host import call


def now():
    """Returns seconds of a monotonic clock."""
    return monotonic_clock.now() / 1e9


async def sleep(seconds):
    """Waits."""
    await call(monotonic_clock.wait_for(max(0, int(seconds * 1e9))))


async def timeout(seconds, work):
    """Awaits `work`, but no longer than so many seconds: then it is cancelled, and
    `TimeoutError` is raised. None is no limit."""
    if seconds is None:
        return await work
    task, timer = asyncio.ensure_future(work), asyncio.ensure_future(sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError(f"not done within {seconds} s")
    finally:
        task.cancel()
        timer.cancel()
