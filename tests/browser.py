"""A real browser for the tests: Chromium without a window, over its own protocol.

The protocol goes through two pipes, so that nothing has to be installed beside the
browser: https://chromedevtools.github.io/devtools-protocol/
"""

import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""What the browser is called on the systems that have it."""

PATIENCE_S = 60.0
"""Longest wait for an answer: a page of 6 MB on a machine that does other things."""

STILL = """
(async () => {
  const places = () => JSON.stringify([...document.querySelectorAll("svg text")].map(
    text => Object.values(text.getBoundingClientRect().toJSON()).map(Math.round)));
  let before = "";
  for (let equal = 0; equal < 3; before = places()) {
    await new Promise(done => setTimeout(done, 40));
    equal = places() === before ? equal + 1 : 0;
  }
})()
"""
"""Ends when the texts of all figures have stood still for three looks."""

QUIET = (
    "--headless",
    "--no-sandbox",  # it needs rights that a container does not give
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find() -> str:
    """Where the browser is, or a skip; FLASHWICK_BROWSER names one that must be."""
    named = os.environ.get("FLASHWICK_BROWSER")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if os.name != "posix" or found is None:
        pytest.skip(f"no browser here: none of {', '.join(NAMES)} is installed")
    return found


class BrowserGone(RuntimeError):
    """The browser ended, or does not answer."""


class Browser:
    """A browser without a window, with a profile of its own in a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        ours, self._write = os.pipe()
        self._read, theirs = os.pipe()
        # The protocol wants them as 3 and 4, and a shell is what can say so.
        command = f'exec "$@" 3<&{ours} 4>&{theirs}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, "-", program, *QUIET]
            + [f"--user-data-dir={folder / 'profile'}"],
            pass_fds=(ours, theirs),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)},
        )
        os.close(ours)
        os.close(theirs)
        self._sent = 0
        self._held = b""
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        """End the browser."""
        try:
            self.call("Browser.close")
        except BrowserGone:
            self._process.kill()
        self._process.wait(timeout=PATIENCE_S)
        os.close(self._write)
        os.close(self._read)

    # -- THE PROTOCOL

    def call(self, method: str, session: str = "", **given: Any) -> dict[str, Any]:
        """Ask the browser something; its answer. What happens meanwhile is kept."""
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": given}
        if session:
            message["sessionId"] = session
        try:
            _write_all(self._write, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise BrowserGone("the browser ended") from None
        while True:
            answer = self._receive()
            if answer.get("id") == self._sent:
                break
            self.events.append(answer)
        if "error" in answer:
            raise BrowserGone(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def wait(self, method: str, session: str) -> None:
        """Wait until something happened in a page."""
        seen = 0
        while True:
            while seen == len(self.events):
                self.events.append(self._receive())
            event = self.events[seen]
            if event["method"] == method and event.get("sessionId") == session:
                return
            seen += 1

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        while b"\0" not in self._held:
            left = end - time.monotonic()
            ready = left > 0 and select.select([self._read], [], [], left)[0]
            piece = os.read(self._read, 1 << 20) if ready else b""
            if not piece:
                raise BrowserGone("the browser ended, or does not answer")
            self._held += piece
        text, _, self._held = self._held.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def open(self, path: Path, width: int, *, dark: bool = False) -> "Tab":
        """Open a page as a device of a width shows it."""
        return Tab(self, path, width, dark=dark)


def _write_all(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


class Tab:
    """A page in the browser. ``close()`` ends it."""

    def __init__(self, browser: Browser, path: Path, width: int, *, dark: bool) -> None:
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call(
            "Target.attachToTarget", targetId=self.target, flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width)
        self.light("dark" if dark else "light")
        browser.events.clear()
        self.call("Page.navigate", url=path.absolute().as_uri())
        browser.wait("Page.loadEventFired", self.session)

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """Ask the page something."""
        return self.browser.call(method, self.session, **given)

    def close(self) -> None:
        """Close the page."""
        self.browser.call("Target.closeTarget", targetId=self.target)

    def resize(self, width: int, height: int = 900) -> None:
        """Show it as a device of a width does; a narrow one is a telephone."""
        self.width = width
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def light(self, scheme: str) -> None:
        """Prefer a ``light`` or a ``dark`` page."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def ask(self, script: str) -> Any:
        """The value of an expression in the page; RuntimeError if it throws."""
        found = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
        )
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    def settle(self) -> None:
        """Wait until nothing moves any more: some figures glide into place."""
        self.ask(STILL)

    def complaints(self) -> list[str]:
        """What the page said on its console, and what it threw."""
        self.ask("1")
        told = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            given = event["params"]
            match event["method"]:
                case "Runtime.consoleAPICalled":
                    said = (str(arg.get("value")) for arg in given["args"])
                    told.append(" ".join(said))
                case "Runtime.exceptionThrown":
                    details = given["exceptionDetails"]
                    told.append(details.get("exception", details).get("description"))
                case "Log.entryAdded":
                    told.append(given["entry"]["text"])
        return told

    def requests(self) -> list[str]:
        """Addresses that the page asked for, itself not included."""
        self.ask("1")
        asked = [
            event["params"]["request"]["url"]
            for event in self.browser.events
            if event["method"] == "Network.requestWillBeSent"
            and event.get("sessionId") == self.session
        ]
        # What is in the page itself comes from nowhere.
        return [url for url in asked[1:] if not url.startswith("data:")]

    def picture(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        height = int(self.ask("document.documentElement.scrollHeight"))
        self.resize(self.width, height)
        self.settle()
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(b64decode(shot["data"]))
