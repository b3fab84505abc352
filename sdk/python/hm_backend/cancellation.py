"""The host's wish that a build should stop."""

import asyncio

from wit_world.imports import control


class Cancelled(Exception):
    """The build is to stop; whatever a backend answers then, the host's reason is the
    outcome."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Cancellation:
    """Tells when the host wants the build to stop, and why."""

    def __init__(self):
        # One call of the host's for all who wait.
        self._wish = asyncio.ensure_future(control.cancelled())

    def _asked(self):
        return self._wish

    async def requested(self):
        """Returns the reason when the build is to stop; never, if it is not."""
        return await asyncio.shield(self._asked())

    async def guard(self, work):
        """Awaits `work` unless the build is to stop: then `work` is cancelled, and
        `Cancelled` is raised."""
        task = asyncio.ensure_future(work)
        wish = self._asked()
        await asyncio.wait({task, wish}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        raise Cancelled(wish.result())
