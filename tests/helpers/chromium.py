"""A headless Chromium to try pages in, driven through its debugging pipe: no driver needed."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from data.files.images import Image

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""Path of the browser, None where none is installed."""

_PATIENCE = 60.0  # seconds; a loaded machine starts a browser slowly
_KEYS = {" ": ("Space", 32), "ArrowLeft": ("ArrowLeft", 37), "ArrowRight": ("ArrowRight", 39)}


class Page:
    """An open page, which sees real mouse and key events.

    Attributes:
        requests: addresses of everything that the page asked for, but embedded data.
        errors: what its scripts failed at.
    """

    def __init__(self, shown: Path | str, profile: Path, size: tuple[int, int]) -> None:
        """Open a file from disk or an address in a window of `size` = (width, height)."""
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._number, self._session, self._rest = 0, "", b""
        self._process = self._start(profile)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")
        self.resize(size)
        self.call("Page.navigate", url=shown if isinstance(shown, str) else shown.as_uri())
        self.wait_for("document.readyState === 'complete'")

    def __enter__(self) -> "Page":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._session = ""
        self.call("Browser.close")
        self._process.wait(_PATIENCE)
        os.close(self._to)
        os.close(self._from)

    def resize(self, size: tuple[int, int]) -> None:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, condition: str, patience: float = _PATIENCE) -> None:
        end = time.monotonic() + patience
        while not self.evaluate(condition):
            assert time.monotonic() < end, f"waited in vain for {condition}"
            time.sleep(0.02)

    def screenshot(self) -> Image:
        """(H, W, 3) RGB of the window."""
        # Twice: a picture drawn before the script's own may still be on its way to the screen.
        settled = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.call("Runtime.evaluate", expression=settled, awaitPromise=True)
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        return np.asarray(decoded, np.uint8)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element in the window, scrolled into view."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{found}.scrollIntoView({{block: 'nearest'}})")
        script = f"(b => [b.x, b.y, b.width, b.height])({found}.getBoundingClientRect())"
        left, top, width, height = self.evaluate(script)
        return left, top, width, height

    def click(self, selector: str) -> None:
        left, top, width, height = self.box(selector)
        self.drag([(left + width / 2, top + height / 2)])

    def drag(self, places: list[tuple[float, float]]) -> None:
        """Press the mouse at the first of the places, move along, and release it at the last."""
        self._mouse("mousePressed", places[0])
        for place in places[1:]:
            self._mouse("mouseMoved", place)
        self._mouse("mouseReleased", places[-1])

    def press(self, key: str) -> None:
        code, number = _KEYS[key]
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        text = {"text": key} if key == " " else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def upload(self, selector: str, file: Path) -> None:
        """Choose a file from disk in an input of this kind."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=found, files=[str(file)])

    def keep_downloads(self, folder: Path) -> None:
        """Keep what is downloaded in a folder."""
        where = {"behavior": "allow", "downloadPath": str(folder)}
        self.call("Browser.setDownloadBehavior", **where)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command of the DevTools protocol and wait for its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _mouse(self, kind: str, place: tuple[float, float]) -> None:
        event = {"x": place[0], "y": place[1], "button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, **event)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Network.requestWillBeSent":
            address = event["params"]["request"]["url"]
            self.requests += [] if address.startswith("data:") else [address]
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(event["params"]["exceptionDetails"]))

    def _start(self, profile: Path) -> subprocess.Popen[bytes]:
        """Start the browser, which reads commands from its file 3 and answers to its file 4."""
        assert CHROMIUM is not None
        (commands, to), (answers, back) = os.pipe(), os.pipe()
        self._to, self._from = to, answers
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands, back)]

        def connect() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        options = ["--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"]
        options += ["--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        options += ["--no-sandbox"]  # which neither root nor most containers have; pages are ours
        process = subprocess.Popen(
            [CHROMIUM, *options, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=connect,
        )
        for end in (commands, back, *ends):
            os.close(end)
        return process

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], _PATIENCE)
            assert ready, "Chromium does not answer"
            part = os.read(self._from, 1 << 20)
            assert part, "Chromium ended by itself"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received
