"""Calls of the host, which must not be broken off half-way: Python has no way to take one
back, and what a call holds must not be freed under it."""

import asyncio


async def call(work):
    """Awaits a call of the host. Who is cancelled meanwhile goes; the call goes on."""
    return await asyncio.shield(asyncio.ensure_future(work))


class Held:
    """Something of the host's. It is freed when it is closed and no call holds it."""

    def __init__(self, resource):
        self.resource = resource
        self._calls = 0
        self._is_closed = False

    async def hold(self, work):
        """Awaits a call that holds it."""
        self._calls += 1
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, _):
        self._calls -= 1
        self._free()

    def close(self):
        """Lets it go, without waiting for that."""
        self._is_closed = True
        self._free()

    def _free(self):
        if self._is_closed and self._calls == 0 and self.resource is not None:
            resource, self.resource = self.resource, None
            resource.__exit__(None, None, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
