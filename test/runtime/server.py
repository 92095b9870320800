"""`PROGRAM serve` for checks that talk to it over sockets of this machine:
CHECKS.py PROGRAM [NAME...] runs the check_NAME of the file.

PROGRAM is nano-e. MACHINE_FLAGS: of every run, "-t 1" unless said."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import checks
from checks import expect, fail

PROGRAM = sys.argv[1]
MACHINE = os.environ.get("MACHINE_FLAGS", "-t 1").split()
JSON = {"content-type": "application/json"}
HELLO = [{"role": "user", "content": "What is the capital of France?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL_CHAT = {"messages": [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "The weather in Paris?"}]},
    {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "15 degrees"}, {"role": "user", "content": "And?"}],
    "tools": [{"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": CITY}}], "temperature": 0, "max_tokens": 20}


class Server:
    """A running server; `flags` beside those that every test has."""

    def __init__(self, *flags, host="127.0.0.1"):
        self.process = subprocess.Popen([PROGRAM, "serve", "--host", host, "--port", "0", *MACHINE, *flags],
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        line = self.process.stderr.readline()
        while line.startswith(("sandbox: ", "memory: ")):
            line = self.process.stderr.readline()
        found = re.fullmatch(r"listening on http://(.*):(\d+)\n", line)
        if not found:
            self.process.kill()
            raise RuntimeError(f"the server says {line + self.process.stderr.read()!r}")
        self.host, self.port = found[1].strip("[]"), int(found[2])

    def connect(self, timeout=20):
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def ask(self, method, path, body=None, headers=JSON):
        """Status, headers and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        connection.request(method, path, data, headers)
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        return reply.status, reply.headers, text

    def post(self, path, body, headers=JSON):
        status, _, text = self.ask("POST", path, body, headers)
        return status, json.loads(text)

    def chat(self, **more):
        status, reply = self.post("/v1/chat/completions", {"messages": HELLO, "temperature": 0, "max_tokens": 24} | more)
        expect(status == 200, f"chat gives {status}: {reply}")
        return reply

    def events(self, path, body, end=()):
        """The events of a stream, without what it ends with."""
        status, headers, text = self.ask("POST", path, body | {"stream": True})
        expect(status == 200 and headers["content-type"] == "text/event-stream", f"stream: {status} {headers} {text[:200]}")
        events = text.decode().split("\n\n")
        end = [*end, ""]
        expect(events[-len(end):] == end, f"the stream ends in {events[-len(end):]}")
        return [json.loads(e.removeprefix("data: ")) for e in events[:-len(end)]]

    def stream(self, path, body):
        """The events of a stream, without [DONE]."""
        return self.events(path, body, ["data: [DONE]"])

    def metric(self, name):
        text = self.ask("GET", "/metrics")[2].decode()
        return int(re.search(rf"^gemmac_{name} (\d+)$", text, re.M)[1])

    def raw(self, data, close=True, timeout=20):
        """What comes back for bytes."""
        with self.connect(timeout) as s:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(data)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := s.recv(65536):
                    got += piece
            return got

    def alive(self):
        expect(self.process.poll() is None, f"the server is gone: {self.process.poll()}")
        expect(self.ask("GET", "/health")[0] == 200, "health is not 200")

    def end(self, number=signal.SIGTERM, wait=30):
        self.process.send_signal(number)
        code = self.process.wait(wait)
        text = self.process.stderr.read()
        self.process.stderr.close()
        return code, text


@contextlib.contextmanager
def serving(*flags, **more):
    server = Server(*flags, **more)
    try:
        yield server
        server.alive()
        code, text = server.end()
        expect(code == -signal.SIGTERM, f"the server ends with {code}: {text}")
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def has_error(reply, status, *words, got=None):
    if got is not None:
        expect(got == status, f"expected {status} for {words}, got {got}: {reply}")
    error = reply.get("error") or {}
    expect(set(error) == {"message", "type", "param", "code"}, f"no error of OpenAI's form: {reply}")
    for word in words:
        expect(word in json.dumps(error, ensure_ascii=False), f"the error does not say {word!r}: {error}")


def begin_stream(s, room=None, **more):
    """A connection, with so much room for what comes, on which a long answer has begun."""
    body = json.dumps({"messages": HELLO, "stream": True, "ignore_eos": True} | more).encode()
    c = socket.socket()
    c.settimeout(20)
    if room:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    c.connect((s.host, s.port))
    c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    got = b""
    while b"data: " not in got:
        got += c.recv(1024)
    return c


def wait_for(what, text, seconds=10):
    end = time.time() + seconds
    while not what():
        if time.time() > end:
            return fail(text)
        time.sleep(0.02)


def run_checks(names):
    """Those of a file's globals."""
    checks.run([value for name, value in list(names.items()) if name.startswith("check_")], sys.argv[2:])
