#!/usr/bin/python3
"""The page as a program serves it: check_served.py PROGRAM [PICTURE.png], made
of examples/nano-e."""
import base64
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import Browser


PICTURE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/eval/media/img003.png")
ASKED = "Describe the picture."


def main():
    with open(PICTURE, "rb") as f:
        picture = base64.b64encode(f.read()).decode()
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
            browser.wait("document.querySelector('.message.assistant .about')?.innerText.includes(' token')")
            answer = browser.run("document.querySelector('.message.assistant .body').innerText.trim()")
            meter = browser.run("document.querySelector('#meter span').textContent")
            # A picture is seen and answered as the program does.
            browser.run("document.getElementById('new').click()")
            browser.run("(() => { const bytes = Uint8Array.from(atob('%s'), c => c.charCodeAt(0)), all = new DataTransfer();"
                        "all.items.add(new File([bytes], 'a.png', {type: 'image/png'}));"
                        "window.dispatchEvent(new DragEvent('drop', {dataTransfer: all, cancelable: true})) })()" % picture)
            browser.wait("document.querySelectorAll('#attached img').length == 1")
            browser.run("document.getElementById('text').focus()")
            browser.type(ASKED)
            browser.press("Enter", number=13)
            browser.wait("document.querySelector('.message.assistant .about')?.innerText.includes(' token')")
            seen = browser.run("document.querySelector('.message.assistant .body').innerText.trim()")
            width = browser.run("document.querySelector('.message.user img')?.naturalWidth")
            if len(sys.argv) > 2:
                browser.picture(sys.argv[2])
            complaints = [line for line in browser.log if "401" not in line]
    finally:
        server.terminate()
        server.wait()
    told = subprocess.run([sys.argv[1], "run", "--temp", "0", "-t", "1", "--image", PICTURE, ASKED], capture_output=True, text=True).stdout
    if seen != told.strip() or not width:
        sys.exit("FAIL: a picture of width %s: %r, the program says %r" % (width, seen, told))
    if (answer, meter, complaints) != ("The capital of France is Paris.", "24 / 8192", []):
        sys.exit("FAIL: %r, %r, %r" % (answer, meter, complaints))
    print("PASS")


if __name__ == "__main__":
    main()
