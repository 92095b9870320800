#!/usr/bin/python3
"""The page of `serve` in a headless Chromium, against a server that answers by
script: check_page.py PAGE.html [--pictures FOLDER]."""
import argparse
import http.server
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import Browser

PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
RICH = """# Head

A **bold** word, `code`, and a list:

- one
- two

```python
print("1 < 2")
```

| a | b |
|---|---|
| 1 | 2 |

[a link](https://example.org) <b onclick="document.title='caught'">raw</b>

<img src="https://example.org/x.png" alt="elsewhere"><script>document.title = "caught"</script><style>body{display:none}</style>

![picture](https://example.org/y.png)
"""


def text(words):
    return [{"choices": [{"index": 0, "delta": {"content": w}}]} for w in words]


def end(why="stop", tokens=7, total=512):
    return [{"choices": [{"index": 0, "delta": {}, "finish_reason": why}]},
            {"choices": [], "usage": {"prompt_tokens": total - tokens, "completion_tokens": tokens,
                                      "total_tokens": total}}]


class Server(http.server.ThreadingHTTPServer):
    """Keeps what was asked, and the chunks that come next."""
    daemon_threads = True

    def __init__(self, page):
        super().__init__(("127.0.0.1", 0), Handler)
        self.page, self.requests, self.next, self.pause = page, [], [], 0
        self.gone = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def give(self, code, kind, data):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/":
            return self.give(200, "text/html; charset=utf-8", self.server.page)
        props = {"model_alias": "gemma-test", "default_generation_settings": {"n_ctx": 2048},
                 "modalities": {"vision": True, "audio": False}}
        self.give(200, "application/json", json.dumps(props).encode())

    def do_POST(self):
        self.server.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        chunks = self.server.next
        if isinstance(chunks, str):
            return self.give(400, "application/json", json.dumps({"error": {"message": chunks}}).encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for chunk in chunks:
                self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                self.wfile.flush()
                time.sleep(self.server.pause)
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.gone.set()


class Case:
    """What the cases share: the browser, the server, and short words."""

    def __init__(self, browser, server):
        self.b, self.s = browser, server

    def ask(self, question, chunks, pause=0):
        self.s.next, self.s.pause = chunks, pause
        self.b.run("document.getElementById('text').focus()")
        self.b.type(question)
        self.b.press("Enter", number=13)

    def done(self):
        self.b.wait("document.getElementById('send').textContent == 'Send'")

    def last(self, what=""):
        return self.b.run("[...document.querySelectorAll('.message.assistant%s')].at(-1).innerText"
                          % (" " + what if what else ""))

    def expect(self, found, wanted, what):
        if found != wanted:
            raise AssertionError("%s: expected %r, got %r" % (what, wanted, found))


def plain(c):
    c.ask("Hello", text(["Good ", "morning", "."]) + end())
    c.done()
    c.expect(c.last(".body").strip(), "Good morning.", "answer")
    c.expect(c.s.requests[-1]["messages"], [{"role": "user", "content": "Hello"}], "messages")
    c.expect(c.s.requests[-1]["chat_template_kwargs"], {"enable_thinking": False}, "thinking")
    c.expect("7 tokens" in c.last(".about"), True, "costs")
    c.expect(c.b.run("document.querySelector('#meter span').textContent"), "512 / 2048", "meter")
    c.expect(c.b.run("document.title"), "gemma-test", "title")


def markdown(c):
    c.ask("Rich", text([RICH[i:i + 9] for i in range(0, len(RICH), 9)]) + end())
    c.done()
    count = lambda what: c.b.run("[...document.querySelectorAll('.message.assistant')].at(-1)"
                                 ".querySelectorAll(%s).length" % json.dumps(".body " + what))
    for what, wanted in (("h1", 1), ("li", 2), ("pre code", 1), ("td", 2), ("a[rel~=noopener]", 1), ("strong", 1),
                         ("script", 0), ("style", 0), ("img", 0), ("[onclick]", 0)):
        c.expect(count(what), wanted, what)
    c.expect(c.b.run("document.title"), "gemma-test", "nothing of an answer runs")
    c.expect("print(\"1 < 2\")" in c.last("pre"), True, "code")


def thought(c):
    c.b.run("document.getElementById('thinking').click()")
    chunks = [{"choices": [{"index": 0, "delta": {"reasoning_content": w}}]} for w in ("Let me ", "<b>see</b>")]
    c.ask("Think", chunks + text(["Yes."]) + end())
    c.done()
    c.expect(c.s.requests[-1]["chat_template_kwargs"], {"enable_thinking": True}, "thinking")
    c.expect(c.b.run("[...document.querySelectorAll('details.thought:not([hidden])')].at(-1).open"), False, "folded")
    c.expect(c.b.run("[...document.querySelectorAll('details.thought:not([hidden]) div')].at(-1).textContent"),
             "Let me <b>see</b>", "thought")
    c.expect(c.last(".body").strip(), "Yes.", "answer")


def tools(c):
    call = lambda **f: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **f}]}}]}
    c.b.run("document.getElementById('tools').value = '[{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]'")
    c.ask("Time?", [call(id="a1", type="function", function={"name": "now", "arguments": ""}),
                    call(function={"arguments": "{\"zone\":"}), call(function={"arguments": "\"UTC\"}"})]
          + end("tool_calls"))
    c.done()
    c.expect(c.s.requests[-1]["tools"][0]["function"]["name"], "now", "tools")
    c.expect("\"zone\": \"UTC\"" in c.last(".tool"), True, "call")
    c.s.next = text(["It is noon."]) + end()
    c.b.run("[...document.querySelectorAll('.tool input')].at(-1).focus()")
    c.b.type("12:00")
    c.b.press("Enter", number=13)
    c.b.wait("[...document.querySelectorAll('.message.assistant .body')].at(-1).innerText.includes('noon')")
    c.done()
    sent = c.s.requests[-1]["messages"][-2:]
    c.expect(sent[0]["tool_calls"][0]["function"], {"name": "now", "arguments": "{\"zone\":\"UTC\"}"}, "call sent")
    c.expect(sent[1], {"role": "tool", "tool_call_id": "a1", "content": "12:00"}, "result sent")
    c.expect("result: 12:00" in c.b.run("[...document.querySelectorAll('.tool')].at(-1).innerText"), True, "shown")


def stopped(c):
    c.s.gone.clear()
    c.ask("Long", text(["word "] * 400) + end(), pause=0.02)
    c.b.wait("[...document.querySelectorAll('.message.assistant')].at(-1).innerText.includes('word word')")
    c.b.press("Escape", number=27)
    c.done()
    c.expect("stopped" in c.last(".about"), True, "stopped")
    if not c.s.gone.wait(10):
        raise AssertionError("the request goes on after a stop")


def edited(c):
    c.b.run("document.getElementById('text').focus()")
    c.b.press("ArrowUp", number=38)
    c.s.next, c.s.pause = text(["Other."]) + end(), 0
    c.b.run("document.activeElement.select()")
    c.b.type("Another question")
    before = c.b.run("document.querySelectorAll('.message').length")
    c.b.press("Enter", number=13)
    c.b.wait("[...document.querySelectorAll('.message.assistant .body')].at(-1).innerText.includes('Other.')")
    c.done()
    c.expect(c.b.run("document.querySelectorAll('.message').length"), before, "messages")
    c.expect(c.s.requests[-1]["messages"][-1]["content"], "Another question", "question")
    c.s.next = text(["Once more."]) + end()
    c.b.run("[...document.querySelectorAll('.about button')].filter(b => b.textContent == 'Again').at(-1).click()")
    c.b.wait("[...document.querySelectorAll('.message.assistant .body')].at(-1).innerText.includes('Once more.')")
    c.done()
    c.expect(c.s.requests[-1]["messages"][-1]["content"], "Another question", "asked again")


def media(c):
    drop = ("(() => { const bytes = Uint8Array.from(atob('%s'), c => c.charCodeAt(0)), all = new DataTransfer();"
            "all.items.add(new File([bytes], '%s', {type: '%s'}));"
            "window.dispatchEvent(new DragEvent('drop', {dataTransfer: all, cancelable: true})) })()")
    c.b.run(drop % (PIXEL, "dot.png", "image/png"))
    c.b.wait("document.querySelectorAll('#attached img').length == 1")
    c.b.run(drop % (PIXEL, "s.wav", "audio/wav"))
    c.b.wait("document.getElementById('status').textContent.includes('does not take audio')")
    c.ask("What is it?", text(["A dot."]) + end())
    c.done()
    sent = c.s.requests[-1]["messages"][-1]["content"]
    c.expect(sent[0], {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL}}, "picture")
    c.expect(sent[1], {"type": "text", "text": "What is it?"}, "question")
    c.expect("Infinity" in c.b.run("document.body.innerText"), False, "a speed that is none")


def refused(c):
    before = c.b.run("document.querySelectorAll('.message.assistant').length")
    c.ask("Too much", "the prompt is too long")
    c.b.wait("document.getElementById('status').textContent.includes('the prompt is too long (400)')")
    c.expect(c.b.run("document.querySelectorAll('.message.assistant').length"), before, "answers")
    c.ask("Broken", text(["Half"]) + [{"error": {"message": "the engine failed"}}])
    c.b.wait("[...document.querySelectorAll('.message .error:not([hidden])')].at(-1)?.textContent == 'the engine failed'")
    c.done()


def settings(c):
    c.b.press("s", code="KeyS", number=83, modifiers=1)
    c.b.wait("!document.getElementById('settings').hidden")
    c.b.run("for (const [name, value] of [['system', 'Be terse.'], ['temperature', '0.5'], ['seed', '7']]) {"
            "const input = document.getElementById(name); input.value = value;"
            "input.dispatchEvent(new Event('change')); }")
    c.b.press("n", code="KeyN", number=78, modifiers=1)
    c.b.wait("document.querySelectorAll('.message').length == 0")
    c.ask("Hi", text(["Hi."]) + end())
    c.done()
    sent = c.s.requests[-1]
    c.expect(sent["messages"], [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}], "system")
    c.expect((sent["temperature"], sent["seed"], "top_p" in sent), (0.5, 7, False), "sampling")


def narrow(c):
    c.b.size(360, 640)
    for script in ("document.documentElement.scrollWidth <= 360",
                   "document.getElementById('send').getBoundingClientRect().right <= 360"):
        c.expect(c.b.run(script), True, script)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("page")
    p.add_argument("--pictures")
    a = p.parse_args()
    with open(a.page, "rb") as f:
        server = Server(f.read())
    failed = 0
    with Browser() as browser:
        browser.size(1000, 800)
        browser.open("http://127.0.0.1:%d/" % server.server_address[1])
        browser.wait("document.title == 'gemma-test'")
        c = Case(browser, server)
        for case in (plain, markdown, thought, tools, stopped, edited, media, refused, settings, narrow):
            try:
                case(c)
            except (AssertionError, TimeoutError, RuntimeError) as e:
                failed += 1
                print("FAIL %s: %s" % (case.__name__, e))
            if a.pictures:
                browser.picture(os.path.join(a.pictures, case.__name__ + ".png"))
                if case in (narrow, tools):
                    browser.size(360 if case is narrow else 1000, 640, dark=True)
                    browser.picture(os.path.join(a.pictures, case.__name__ + "-dark.png"))
                    browser.size(1000, 800)
        # Refusals are logged by the browser itself.
        for line in browser.log:
            if "400 (Bad Request)" not in line:
                failed += 1
                print("FAIL the page complains: " + line)
    if failed:
        sys.exit(1)
    print("PASS")


if __name__ == "__main__":
    main()
