"""The site in a browser: nothing amiss on its console, as wide as a phone, dark where dark is wanted, searched."""

import pytest
from page_audit import DESK, PHONE, Watched, audited
from sites import served

LIGHT = "(c => c.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 765)"  # 0 black, 1 white
BACK = f"{LIGHT}(getComputedStyle(document.body).backgroundColor)"
TEXT = f"{LIGHT}(getComputedStyle(document.querySelector('.md-content p, .md-content li')).color)"


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served."""
    with served(site["index.html"].parent) as where:
        yield where


@pytest.fixture
def opened(browser, address):
    """Open a tab; a word on its console, an error in a script, a request to elsewhere or in vain fails the test."""
    tabs = []

    def call(**settings):
        tabs.append(Watched(browser, address, **settings))
        return tabs[-1].tab

    yield call
    for one in tabs:
        one.close()
    assert [what for one in tabs for what in one.said] == []


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_amiss_with_any_page_light_or_dark(browser, address, site, viewport):
    pages = sorted(name for name in site if name.endswith(".html"))
    found = audited(browser, address, pages, viewport)
    assert len(found) > 30 and {name: amiss for name, amiss in found.items() if amiss} == {}


RIGHT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width"><meta name="description" content="d">
<style>@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } }</style></head>
<body><h1>a</h1><h2>b</h2><p>text that is read <b id="one">well</b></p></body></html>"""


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("<!doctype html>", "", "no doctype"),
        ("<title>t</title>", "", "no title"),
        (' lang="en"', "", "no language"),
        ('name="description"', "", "no description"),
        ("width=device-width", "", "no viewport"),
        ("width=device-width", "width=device-width, user-scalable=no", "cannot be enlarged"),
        ("<h1>a</h1>", "", "not one h1"),
        ("<h2>b</h2>", "<h1>b</h1>", "not one h1"),
        ("<h2>b</h2>", "<h3>b</h3>", "h3 b is not behind an h2"),
        ("<h2>b</h2>", "<h2></h2><h2 style='height: 9px'></h2>", "an empty h2"),
        ("<p>", "<img src='data:,'>", "a picture without a text"),
        ("<p>", "<img alt='a' src='data:,'>", "a picture that is not there"),
        ("<p>", "<a href='#' style='display: block; height: 9px'></a>", "without a name"),
        ("<p>", "<input type='text'>", "without a label"),
        ("<p>", "<p id='one'>", "two are called one"),
        ("<p>", "<p style='width: 900px; background: inherit'>", "wider than the screen"),
        ("<p>", "<p style='color: #888; background: #777'>", "light: faint, 1.2"),
        ("<p>", "<p style='opacity: 0.3'>", "light: faint"),
        ("#eee", "#222", "dark: faint, 1.1"),
        ("<p>", "<p style='font-size: 9px'>", "smaller than 12 px"),
        ("</body>", "<script>console.log('hello')</script></body>", "console: hello"),
        ("</body>", "<script>nothing()</script></body>", "error: "),
        ("</body>", "<script src='none.js'></script></body>", "404: "),
        ("</body>", "<img alt='x' src='http://127.0.0.1:9/x.png'></body>", "asks http://127.0.0.1:9"),
    ],
)
def test_a_page_with_something_amiss_is_found(browser, tmp_path, before, after, told):
    assert before in RIGHT
    (tmp_path / "right.html").write_text(RIGHT)
    (tmp_path / "wrong.html").write_text(RIGHT.replace(before, after))
    with served(tmp_path) as where:
        found = audited(browser, where, ["right.html", "wrong.html"])
    assert found["right.html"] == [] and any(told in one for one in found["wrong.html"]), found


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
