"""A window of a real browser."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait


class Browser:
    """A window on one page at a time."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, width: int = 1280, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Show a page as that window would."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features, "media": media})
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The visible text of an element."""
        return str(self.driver.find_element(By.CSS_SELECTOR, selector).text)

    def texts(self, selector: str) -> list[str]:
        """The visible texts of the elements that are shown."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [element.text for element in found if element.is_displayed()]

    def click(self, selector: str) -> None:
        """Click on an element."""
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def alive(self, figure: str) -> None:
        """Bring a graph into the window; its script has run when it is alive."""
        self.driver.execute_async_script(
            """plotOf(document.getElementById(arguments[0])).figure.scrollIntoView({block: "center"});
            const done = arguments[1];
            requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));""",
            figure,
        )

    def point_at(self, figure: str, time: float, number: int) -> str:
        """Move the mouse to a time (µs of the day) and a number in a graph; what is told there."""
        self.mouse("mouseMoved", *self.place(figure, time, number))
        return self.told()

    def told(self) -> str:
        """What is told beside the pointer; empty when nothing is."""
        return str(self.run("return told.hidden ? '' : told.textContent"))

    def place(self, figure: str, time: float, number: int) -> tuple[float, float]:
        """Where in the window a time (µs of the day) and a number are."""
        self.alive(figure)
        x, y = self.run(
            """const plot = plots.get(arguments[0]), box = plot.svg.getBoundingClientRect();
            const [x, y] = plot.place(arguments[1] - plot.data.day, arguments[2] - plot.data.low);
            return [box.left + MARGIN.left + x, box.top + MARGIN.top + y];""",
            figure,
            time,
            number,
        )
        return x, y

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """An event of a real mouse at this place of the window."""
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})

    def touch(self, *moments: list[tuple[float, float]]) -> None:
        """Fingers on the glass at these places, one moment after the other, then lifted."""
        for kind, fingers in zip(["touchStart", *["touchMove"] * len(moments)], moments, strict=False):
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def requests(self) -> list[str]:
        """Addresses that the page asked for since the last time, but for those that its policy stopped."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        stopped = {
            message["params"]["requestId"]
            for message in messages
            if message["method"] == "Network.loadingFailed" and message["params"].get("blockedReason") == "csp"
        }
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent" and message["params"]["requestId"] not in stopped
        ]

    def complaints(self) -> list[str]:
        """What the console says since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def write(self, selector: str, words: str) -> None:
        """Type into a field, instead of what is there."""
        field = self.driver.find_element(By.CSS_SELECTOR, selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(words or Keys.DELETE)

    def choose(self, selector: str, words: str) -> None:
        """Choose from a list."""
        Select(self.driver.find_element(By.CSS_SELECTOR, selector)).select_by_visible_text(words)

    def press(self, selector: str, key: str) -> None:
        """Press a key while an element has the focus."""
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(key)

    def wait(self, script: str, *arguments: Any) -> None:
        """Until the script returns true; fails after some seconds."""
        WebDriverWait(self.driver, 10).until(lambda driver: driver.execute_script(script, *arguments))

    def printed(self) -> int:
        """Pages of paper."""
        pdf = base64.b64decode(self.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
        return len(re.findall(rb"/Type\s*/Page\b", pdf))
