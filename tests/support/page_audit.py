"""What Lighthouse asks of a page, asked in a browser: what it says and fetches, how wide it is, whether it can be read.

Contrast is that of WCAG 2.2, 1.4.3: 4.5 between text and what is behind it, 3 for large text (24 px, or 18.66 px bold);
https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio.
"""

import contextlib

__all__ = ["DESK", "PHONE", "Watched", "audited", "watched"]

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}

AMISS = r"""
() => {
  const found = [], all = (what) => [...document.querySelectorAll(what)];
  const shown = (one) => one.checkVisibility({opacityProperty: true, visibilityProperty: true}) &&
    one.getClientRects().length > 0;
  const named = (one) => (one.innerText || one.textContent || '').trim() || one.getAttribute('aria-label') ||
    one.title || one.alt || all(`#${CSS.escape(one.id || '-')} img[alt]:not([alt=""])`).length ||
    one.querySelector('img[alt]:not([alt=""]), svg title');
  const told = (one) => one.outerHTML.replace(/\s+/g, ' ').slice(0, 120);

  const over = document.documentElement.scrollWidth - innerWidth;
  if (over > 0) found.push(`it is ${over} px wider than the screen`);
  if (!document.doctype) found.push('it has no doctype');
  if (document.characterSet !== 'UTF-8') found.push(`it is in ${document.characterSet}`);
  if (!document.title.trim()) found.push('it has no title');
  if (!/^[a-z]{2}/.test(document.documentElement.lang)) found.push('it names no language');
  const stated = (name) => (document.querySelector(`meta[name=${name}]`)?.content || '').trim();
  if (!stated('description')) found.push('it has no description');
  const view = stated('viewport');
  if (!/width=device-width/.test(view)) found.push('it names no viewport');
  if (/user-scalable=(no|0)/.test(view)) found.push('it cannot be enlarged');

  const heads = all('h1,h2,h3,h4,h5,h6').filter(shown).map((one) => [+one.tagName[1], one.innerText.trim()]);
  if (heads.filter(([level]) => level === 1).length !== 1) found.push('it has not one h1');
  heads.forEach(([level, text], at) => {
    if (!text) found.push(`an empty h${level}`);
    if (level > (at ? heads[at - 1][0] : 0) + 1) found.push(`h${level} ${text} is not behind an h${level - 1}`);
  });

  for (const one of all('img')) {
    if (!one.hasAttribute('alt')) found.push(`a picture without a text: ${told(one)}`);
    else if (!one.complete || !one.naturalWidth) found.push(`a picture that is not there: ${told(one)}`);
  }
  for (const one of all('a[href], button')) if (shown(one) && !named(one)) found.push(`without a name: ${told(one)}`);
  for (const one of all('input:not([type=hidden]), select, textarea'))
    if (shown(one) && !named(one) && !one.labels?.length && !one.placeholder)
      found.push(`without a label: ${told(one)}`);
  const ids = all('[id]').map((one) => one.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) found.push(`two are called ${id}`);

  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const seen = new Map();
  const channels = (color) => {  // any CSS colour as red, green, blue and alpha
    if (!seen.has(color)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      seen.set(color, [r, g, b, a / 255]);
    }
    return seen.get(color);
  };
  const over_ = (top, below) => below.map((under, at) => at < 3 ? top[at] * top[3] + under * (1 - top[3]) : 1);
  const behind = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== 'none') return null;
      layers.push(channels(style.backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over_(top, below), [255, 255, 255, 1]);
  };
  const clear = (one) => {  // how opaque it is by all that it is in
    let left = 1;
    for (let at = one; at; at = at.parentElement) left *= +getComputedStyle(at).opacity;
    return left;
  };
  const bright = (color) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, at) => {
    const part = color[at] / 255;
    return sum + weight * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  }, 0);
  let small = 0, letters = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = new Map();
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), one = walk.currentNode.parentElement;
    if (!text || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE'].includes(one.tagName) || !shown(one)) continue;
    const style = getComputedStyle(one), size = parseFloat(style.fontSize), back = behind(one);
    letters += text.length;
    if (size < 12) small += text.length;
    if (!back || one.closest('[aria-hidden=true], [hidden]')) continue;
    const [r, g, b, a] = channels(style.color), front = over_([r, g, b, a * clear(one)], back);
    const [dark, light] = [bright(front), bright(back)].sort((a, b) => a - b);
    const contrast = (light + 0.05) / (dark + 0.05);
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    if (contrast < (large ? 3 : 4.5)) {
      const what = `${one.tagName.toLowerCase()}.${[...one.classList].join('.')}`;
      if (!faint.has(what)) faint.set(what, `faint, ${contrast.toFixed(2)}: ${what} ${text.slice(0, 30)}`);
    }
  }
  found.push(...faint.values());
  if (small > 0.4 * letters) found.push('most of its text is smaller than 12 px');
  return found;
}
"""


class Watched:
    """A tab and what was amiss around it: words on its console, errors of scripts, requests elsewhere or in vain."""

    def __init__(self, browser, address, **settings):
        self.said = []
        self._context = browser.new_context(**settings)
        self.tab = self._context.new_page()
        self.tab.on("console", lambda message: self.said.append(f"console: {message.text}"))
        self.tab.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        own = (address, "data:", "blob:")
        self.tab.on("request", lambda one: None if one.url.startswith(own) else self.said.append(f"asks {one.url}"))
        self.tab.on("response", lambda one: self.said.append(f"{one.status}: {one.url}") if one.status >= 400 else None)
        self.tab.on("requestfailed", self._failed)

    def _failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # by the next page, which is opened before all of this one is there
            self.said.append(f"{request.failure}: {request.url}")

    def close(self):
        self._context.close()


@contextlib.contextmanager
def watched(browser, address, **settings):
    """A tab that is closed with the context."""
    one = Watched(browser, address, **settings)
    try:
        yield one
    finally:
        one.close()


def audited(browser, address, pages, viewport=PHONE):
    """What is amiss with each page of a site, light or dark, by its name: nothing where all is well."""
    found = {name: [] for name in pages}
    for scheme in ("light", "dark"):
        with watched(browser, address, viewport=viewport, color_scheme=scheme) as one:
            for name in pages:
                one.said.clear()
                one.tab.goto(address + name, wait_until="load")
                found[name] += [f"{scheme}: {what}" for what in (*one.tab.evaluate(AMISS), *one.said)]
    return found
