"""Lines for the person who debugs the backend; `hm run -v` shows them."""

from wit_world.imports import diagnostics
from wit_world.imports.diagnostics import Severity


def trace(message):
    """Logs details of interest only while a fault is being chased."""
    diagnostics.log(Severity.TRACE, str(message))


def debug(message):
    """Logs what the backend does."""
    diagnostics.log(Severity.DEBUG, str(message))


def info(message):
    """Logs what is worth knowing in a run that goes well."""
    diagnostics.log(Severity.INFO, str(message))


def warn(message):
    """Logs what went wrong and was dealt with."""
    diagnostics.log(Severity.WARN, str(message))


def error(message):
    """Logs what went wrong."""
    diagnostics.log(Severity.ERROR, str(message))
