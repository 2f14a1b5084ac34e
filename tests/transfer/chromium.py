"""A headless Chromium spoken to through its DevTools pipe, with the standard library alone.

Messages are JSON ended by a NUL byte, on the child's descriptors 3 (to it) and 4 (from it).
https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
"""Where the browser is; None where there is none."""
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")
QUIET = ("--disable-background-networking", "--disable-sync", "--no-first-run", "--disable-component-update")


@dataclass
class Tab:
    """One page of the browser, and what happened on it."""

    to: int
    of: int
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    rest: bytes = b""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command; events that come meanwhile are kept."""
        number = next(self.numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            more = os.read(self.of, 1 << 20)
            if not more:
                raise RuntimeError("the browser is gone")
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def open(self, page: Path) -> None:
        """Load a file and wait until it is drawn."""
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def show(
        self, width: int, height: int = 844, *, scheme: Literal["light", "dark"] = "light", media: str = ""
    ) -> None:
        """As on a screen of this width, in light or in dark, or as on paper (media `print`)."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """The whole page as PNG, however long it is."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def of_kind(self, *methods: str) -> list[dict[str, Any]]:
        """The parameters of the events of these kinds since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") in methods]


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser with one empty page, its profile in a folder of its own; ended with the block."""
    assert PROGRAM is not None
    to_read, to = os.pipe()
    of, of_write = os.pipe()

    def descriptors() -> None:  # in the child, after fork
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, of_write)]  # out of the way of 3 and 4
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    child = subprocess.Popen(
        [PROGRAM, *FLAGS, *QUIET, f"--user-data-dir={profile}", "about:blank"],
        preexec_fn=descriptors,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(of_write)
    try:
        tab = Tab(to, of)
        found = tab.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in found if target["type"] == "page")
        tab.session = tab.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        yield tab
    finally:
        os.close(to)  # the browser ends when its pipe does
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        os.close(of)
