"""Runs commands that it is sent over HTTP. For this machine only: it listens on loopback,
and whoever reaches it runs commands as you.

    python3 agent.py [PORT]
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

jobs = {}
numbers = itertools.count(1)


class Job:
    """A command, and what has happened to it."""

    def __init__(self, command, env):
        self.events, self.is_over = [], False
        self.more = threading.Condition()
        self.process = subprocess.Popen(
            ["sh", "-c", command],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Of its own group, so that all that it starts ends with it.
            start_new_session=True,
        )
        threading.Thread(target=self.watch).start()

    def watch(self):
        pipes = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        readers = [threading.Thread(target=self.read, args=pair) for pair in pipes.items()]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        code = self.process.wait()
        self.note({"exited": code if code >= 0 else 128 - code}, is_over=True)

    def read(self, channel, pipe):
        while data := pipe.read1(8192):
            self.note({channel: data.decode(errors="replace")})

    def note(self, event, is_over=False):
        with self.more:
            self.events.append(json.dumps(event))
            self.is_over = is_over
            self.more.notify_all()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        new = json.loads(self.rfile.read(length))
        # Requests come at the same time, each in a thread of its own.
        job = str(next(numbers))
        jobs[job] = Job(new["command"], new.get("env", {}))
        self.reply(201, json.dumps({"id": job}))

    def do_DELETE(self):
        job = jobs.get(self.path.split("/")[2])
        if job is not None and job.process.poll() is None:
            os.killpg(job.process.pid, signal.SIGKILL)
        self.reply(204)

    def do_GET(self):
        job = jobs.get(self.path.split("/")[2])
        if job is None:
            return self.reply(404, "no such job")
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        told = int(self.headers.get("last-event-id", 0))
        while True:
            with job.more:
                job.more.wait_for(lambda: len(job.events) > told or job.is_over)
                new, is_over = job.events[told:], job.is_over
            for data in new:
                told += 1
                self.wfile.write(f"id: {told}\ndata: {data}\n\n".encode())
            self.wfile.flush()
            if is_over:
                return

    def reply(self, status, body=""):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7878
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
