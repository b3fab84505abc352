"""Hands each step to an agent over HTTP, and tells what it answers.

The agent is `agent.py`, a small program that runs the commands. Its interface: `POST jobs`
takes a command and gives an id, `GET jobs/ID/events` streams what happens to it, `DELETE
jobs/ID` ends it.
"""

import asyncio
import json

from hm_backend import (
    Backend,
    BackendError_LogStream,
    Capabilities,
    Refused,
    export,
    timeout,
    walk,
)
from hm_backend.http import Client


class Remote(Backend):
    name = "python-http"
    version = "0.1.0"
    capabilities = (
        Capabilities.OBSERVER
        | Capabilities.HONORS_PARALLELISM
        | Capabilities.HONORS_KEEP_GOING
    )

    async def run(self, request, events, cancellation):
        settings = dict(request.settings)
        agent = Client(settings.get("url", "http://127.0.0.1:7878/"))

        # Order, `-j`, failures and a cancellation are looked after; here is one step.
        async def run_step(turn):
            step = await turn.start("agent")
            # The step's own time is the backend's to watch.
            limit = turn.step.timeout_ms and turn.step.timeout_ms / 1000
            job = {"command": turn.step.command, "env": dict(turn.step.env)}
            job = await (await agent.post("jobs", json=job)).json()
            try:
                await step.exit(await timeout(limit, follow(step, agent, job["id"])))
            except (asyncio.CancelledError, TimeoutError) as stopped:
                # Nobody waits for the job any more; it is to end too.
                await agent.delete(f"jobs/{job['id']}")
                if not isinstance(stopped, TimeoutError):
                    raise
                await step.time_out(f"ran longer than {limit} s")

        return await walk(request, events, cancellation, run_step)


async def follow(step, agent, job):
    """Passes on what the job prints, and returns its exit code."""
    async for _, _, data in agent.follow(f"jobs/{job}/events"):
        event = json.loads(data)
        if "stdout" in event:
            await step.stdout(event["stdout"])
        elif "stderr" in event:
            await step.stderr(event["stderr"])
        elif "exited" in event:
            return event["exited"]
    raise Refused(BackendError_LogStream(f"the agent says no more of job {job}"))


ExecutionBackend = export(Remote)
