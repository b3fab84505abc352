"""Machines, in which the plan's steps run; for components of the world `vm-backend`.

A machine and a snapshot are freed when they are closed: use `with`, or call `close`.
"""

from componentize_py_types import Err
from wit_world.imports import vm
from wit_world.imports.hm_backend_types import (
    BackendError_Cancelled,
    BackendError_Denied,
    BackendError_Unavailable,
)

from .backend import Refused
from .host import Held, call

DEFAULTS = vm.MachineOptions(None, None)


class MachineError(Refused):
    """A machine could not do what was asked; ends the build, unless it is caught."""

    def __init__(self, error):
        #: A case of the interface's `vm-error`.
        self.cause = error
        super().__init__(_build_error(error))


def _build_error(error):
    if isinstance(error, vm.VmError_Cancelled):
        return BackendError_Cancelled()
    if isinstance(error, vm.VmError_Denied):
        return BackendError_Denied(error.value)
    return BackendError_Unavailable(error.value)


async def _asked(call):
    try:
        return await call
    except Err as error:
        raise MachineError(error.value)


class Snapshot(Held):
    """A machine's file system, frozen."""


class Machine(Held):
    """A place that runs commands."""

    @classmethod
    async def boot(cls, step, image, parent=None, options=DEFAULTS):
        """Boots from what `parent` is a snapshot of, or from an image with the source."""
        if parent is None:
            booting = call(vm.Machine.boot_image(step, image or "", options))
        else:
            booting = parent.hold(vm.Machine.boot_snapshot(step, parent.resource, options))
        return cls(await _asked(booting))

    async def run(self, step):
        """Runs the step's own command and returns an `Exit`. The host shows the output."""
        return Exit(await _asked(self.hold(self.resource.run(step))))

    async def snapshot(self):
        """Freezes the file system."""
        return Snapshot(await _asked(self.hold(self.resource.snapshot())))


class Exit:
    """How a command ended."""

    def __init__(self, status):
        self.is_timeout = isinstance(status, vm.ExecStatus_TimedOut)
        #: As a shell has it: 128 + n for a signal, 124 for a timeout.
        self.code = 124
        self.why = None
        if isinstance(status, vm.ExecStatus_Exited):
            self.code = status.value
        elif isinstance(status, vm.ExecStatus_Signaled):
            self.code = 128 + status.value
            self.why = f"killed by signal {status.value}"
        elif isinstance(status, vm.ExecStatus_OutOfMemory):
            self.code = 137
            self.why = "out of memory"

    @property
    def passed(self):
        """True for the exit code 0."""
        return self.code == 0

    async def end(self, step):
        """Ends a step as this status wants it."""
        if self.is_timeout:
            await step.time_out("over its timeout")
        else:
            await step.exit(self.code, self.why)
