"""Renders pipeline files with the installed `harmont` package.

Arguments: the process that asked, the clock in Unix seconds, the organization, then
the files in order. One JSON object on standard output; all else that is printed goes
to standard error.
"""

import json
import os
import sys

# Pipeline files and their child processes may print what they like.
answer = os.fdopen(os.dup(1), "w", encoding="ascii")
os.dup2(2, 1)
sys.stdout = sys.stderr

# Frames below this folder say nothing about the user's own files.
dsl_folder = "<"


def watch_over(asker):
    """Ends this process group when the process that asked is gone."""
    import signal
    import threading
    import time

    def watch():
        while os.getppid() == asker:
            time.sleep(0.25)
        # Only a group of our own: whoever started us otherwise is not to be hit.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def describe(error):
    """Returns what a person needs to find the fault, without the frames of this script."""
    import traceback

    told = {
        "kind": type(error).__name__,
        "message": str(error),
        "frames": [
            {"file": frame.filename, "line": frame.lineno, "name": frame.name, "text": frame.line}
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<") and not frame.filename.startswith(dsl_folder)
        ],
    }
    if isinstance(error, SyntaxError) and error.filename:
        told["message"] = error.msg
        told["frames"].append(
            {"file": error.filename, "line": error.lineno, "name": None, "text": (error.text or "").strip()}
        )
    return told


def finish(result):
    json.dump(result, answer)
    answer.close()


def load(path):
    """Loads one file as a module of its own."""
    import importlib.util

    stem = os.path.splitext(os.path.basename(path))[0]
    name = "_harmont_" + stem
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def render(harmont, registry, now, org, paths):
    """Returns one entry a file: its fault, if it has one, and its pipelines."""
    files = []
    for path in paths:
        # Emptied for each file, so that a slug used in two files does not make the
        # second one fail to load: the caller names both.
        registry.clear()
        fault = None
        try:
            load(path)
        except BaseException as error:
            fault = describe(error)
        files.append({"fault": fault, "registered": list(registry), "pipelines": []})
    for file in files:
        for registration in file.pop("registered"):
            # One at a time: a pipeline that raises does not take the others along.
            registry[:] = [registration]
            pipeline = {"slug": registration.slug, "fault": None, "envelope": None}
            try:
                pipeline["envelope"] = harmont.dump_registry_json(pipeline_org=org, now=now)
            except BaseException as error:
                pipeline["fault"] = describe(error)
            file["pipelines"].append(pipeline)
    return {"files": files}


def main():
    global dsl_folder
    asker, now, org, *paths = sys.argv[1:]
    sys.argv = sys.argv[:1]
    watch_over(int(asker))
    try:
        import harmont
        from harmont._registry import REGISTRATIONS
    except ModuleNotFoundError as error:
        finish({"missing": error.name, "version": sys.version.split()[0]})
        return
    except Exception as error:
        finish({"unusable": f"{type(error).__name__}: {error}", "version": sys.version.split()[0]})
        return
    dsl_folder = os.path.dirname(harmont.__file__) + os.sep
    finish(render(harmont, REGISTRATIONS, int(now), org, paths))


main()
