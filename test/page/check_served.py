#!/usr/bin/python3
"""The page as a program serves it: check_served.py PROGRAM, made of
examples/nano-e."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import Browser


def main():
    server = subprocess.Popen([sys.argv[1], "serve", "--port", "0", "-t", "1", "--api-key", "good"],
                              stderr=subprocess.PIPE, text=True)
    try:
        url = next(m[1] for m in (re.match("listening on (http://.*)", line) for line in server.stderr) if m)
        with Browser() as browser:
            browser.open(url + "/")
            # It is shown without a key, and says that one is needed.
            browser.wait("document.getElementById('status').textContent.includes('(401)')")
            browser.run("{ const key = document.getElementById('key'); key.value = 'good';"
                        "key.dispatchEvent(new Event('change')) }")
            browser.wait("document.title == 'nano-e'")
            browser.run("{ const heat = document.getElementById('temperature'); heat.value = 0;"
                        "heat.dispatchEvent(new Event('change')) }")
            browser.run("document.getElementById('text').focus()")
            browser.type("What is the capital of France?")
            browser.press("Enter", number=13)
            browser.wait("document.querySelector('.message.assistant .about')?.innerText.includes('tok/s')")
            answer = browser.run("document.querySelector('.message.assistant .body').innerText.trim()")
            meter = browser.run("document.querySelector('#meter span').textContent")
            complaints = [line for line in browser.log if "401" not in line]
    finally:
        server.terminate()
        server.wait()
    if (answer, meter, complaints) != ("The capital of France is Paris.", "24 / 8192", []):
        sys.exit("FAIL: %r, %r, %r" % (answer, meter, complaints))
    print("PASS")


if __name__ == "__main__":
    main()
