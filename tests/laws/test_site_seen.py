"""The site in a browser: nothing amiss on its console, as wide as a phone, dark where dark is wanted, searched."""

import functools
import http.server
import threading

import pytest

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
LIGHT = "(c => c.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 765)"  # 0 black, 1 white
BACK = f"{LIGHT}(getComputedStyle(document.body).backgroundColor)"
TEXT = f"{LIGHT}(getComputedStyle(document.querySelector('.md-content p, .md-content li')).color)"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served."""
    handler = functools.partial(Quiet, directory=str(site["index.html"].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def opened(browser, address):
    """Open a tab; a word on its console, an error in a script, a request to elsewhere or in vain fails the test."""
    said, contexts = [], []

    def call(**settings):
        contexts.append(browser.new_context(**settings))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        own = (address, "data:", "blob:")
        tab.on("request", lambda asked: None if asked.url.startswith(own) else said.append(asked.url))
        tab.on("response", lambda reply: said.append(reply.url) if reply.status >= 400 else None)
        return tab

    yield call
    for context in contexts:
        context.close()
    assert said == []


def test_every_page_is_as_wide_as_a_phone_and_nothing_is_amiss(opened, address, site):
    tab = opened(viewport=PHONE, color_scheme="dark")
    pages = sorted(name for name in site if name.endswith(".html"))
    wide = {}
    for name in pages:
        tab.goto(address + name)
        wide[name] = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert tab.locator("h1").count() == 1, name
    assert len(pages) > 30 and {name for name, over in wide.items() if over > 0} == set()


@pytest.mark.parametrize(("scheme", "other"), [("light", "Dark"), ("dark", "Light")])
def test_it_is_as_dark_as_the_reader_wants(opened, address, scheme, other):
    tab = opened(viewport=DESK, color_scheme=scheme)
    tab.goto(address + "start/deployment.html")
    dark = scheme == "dark"
    assert (tab.evaluate(BACK) < 0.3) == dark and (tab.evaluate(TEXT) > 0.5) == dark
    tab.locator(f"label[title='{other}']").click()
    tab.wait_for_function(f"({BACK} < 0.3) == {str(not dark).lower()}")


def test_what_is_searched_is_found_in_the_site(opened, address):
    tab = opened(viewport=DESK)
    tab.goto(address)
    asked, found = tab.locator("input.md-search__input"), tab.locator(".md-search-result__link")
    for _ in range(30):  # what is typed before the index is read is lost
        asked.fill("")
        asked.press_sequentially("exit status")
        tab.wait_for_timeout(1_000)
        if found.count():
            break
    assert any("process.html" in one.get_attribute("href") for one in found.all())


def test_pictures_are_there(opened, address):
    tab = opened(viewport=PHONE)
    tab.goto(address + "ideas/gallery.html")
    seen = tab.evaluate(
        "[...document.querySelectorAll('article img')].map(i => [i.naturalWidth > 0, i.width <= innerWidth])"
    )
    assert len(seen) >= 5 and all(map(all, seen))
