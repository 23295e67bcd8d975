"""A headless Chromium, for tests and benches of pages; nothing is downloaded for it."""

import contextlib
import shutil

__all__ = ["CHROMIUM", "chromium"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@contextlib.contextmanager
def chromium():
    """The browser as playwright has it, which is closed with the context; it must be on this machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield one
        one.close()
