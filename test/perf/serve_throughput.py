#!/usr/bin/env python3
"""Generated tokens per second of servers of OpenAI's API with many clients at a
time: serve_throughput.py [--clients N] [--prompt N] [--generate N] [--pairs N]
[--vocabulary N] NAME=COMMAND ...

Each COMMAND (a shell's, {port} where the port stands) is started in turn, A B B A
..., asked by all clients at once for --generate tokens behind a prompt of
--prompt random ids of its own, streamed and without an end token, and stopped.
Rate: tokens of all over the time from the first request to the last token. First:
95th percentile of the time to a client's first token."""
import argparse
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, seconds=600):
    end = time.time() + seconds
    while time.time() < end:
        if process.poll() is not None:
            sys.exit(f"the server ended with {process.returncode}")
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            c.request("GET", "/health")
            if c.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit("the server does not answer")


def client(port, prompt, generate, gate, result):
    body = json.dumps({"model": "m", "prompt": prompt, "max_tokens": generate, "temperature": 0, "ignore_eos": True, "stream": True,
                       "stream_options": {"include_usage": True}})
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    gate.wait()
    begin = time.time()
    c.request("POST", "/v1/completions", body, {"content-type": "application/json"})
    reply = c.getresponse()
    first = tokens = 0
    for line in reply:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if event.get("choices") and not first:
            first = time.time()
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
    result.append((begin, first, time.time(), tokens))


def measure(command, clients, prompt, generate, vocabulary, seed):
    port = free_port()
    process = subprocess.Popen(command.replace("{port}", str(port)), shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(port, process)
        rng = random.Random(seed)
        for count in (1, clients):  # one to warm up
            gate, results = threading.Event(), []
            threads = [threading.Thread(target=client, args=(port, [rng.randrange(1000, vocabulary) for _ in range(prompt)], generate if count > 1 else 8, gate, results))
                       for _ in range(count)]
            for t in threads:
                t.start()
            gate.set()
            for t in threads:
                t.join()
            if len(results) < count or any(r[3] == 0 for r in results):
                sys.exit(f"some clients got no answer: {results}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    total = sum(r[3] for r in results)
    firsts = sorted(r[1] - r[0] for r in results)
    return total / (max(r[2] for r in results) - min(r[0] for r in results)), firsts[min(len(firsts) - 1, int(0.95 * len(firsts)))]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=200000)
    parser.add_argument("servers", nargs="+")
    a = parser.parse_args()
    servers = dict(s.split("=", 1) for s in a.servers)
    rates, firsts = {n: [] for n in servers}, {n: [] for n in servers}
    for i in range(a.pairs):
        for name in list(servers) if i % 2 == 0 else reversed(list(servers)):
            rate, first = measure(servers[name], a.clients, a.prompt, a.generate, a.vocabulary, i)
            rates[name].append(rate)
            firsts[name].append(first)
            print(f"{a.clients} clients, {name}: {rate:.1f} tok/s, first token {first:.2f} s", flush=True)
    base, *others = servers
    for other in others:
        ratios = [x / y for x, y in zip(rates[base], rates[other])]
        print(f"{base} / {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
              f"first token {statistics.median(firsts[base]):.2f} s and {statistics.median(firsts[other]):.2f} s")


if __name__ == "__main__":
    main()
