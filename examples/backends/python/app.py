"""Runs each step in a machine of its own, from what its parent left behind."""

from hm_backend import Backend, Capabilities, export, walk
from hm_backend.vm import Machine


class Machines(Backend):
    name = "python"
    version = "0.1.0"
    capabilities = Capabilities.HONORS_PARALLELISM | Capabilities.HONORS_KEEP_GOING

    async def run(self, request, events, cancellation):
        # Order, `-j`, failures and a cancellation are looked after; here is one step.
        return await walk(request, events, cancellation, run_step)


async def run_step(turn):
    step = await turn.start("machine")
    with await Machine.boot(turn.id, turn.step.image, turn.parent) as machine:
        # The host shows the output under the step, and sees for itself how it ends.
        status = await machine.run(turn.id)
        await status.end(step)
        if status.passed and turn.has_heirs:
            return await machine.snapshot()


ExecutionBackend = export(Machines)
