"""The explorers as people meet them: JupyterLab in a real browser, hovering, typing, keys, files opened with the network off.

Each test leaves pictures of what it saw in `figures/explorers/` where MAAF_LAB_SCREENSHOTS is set, otherwise in a folder that is
thrown away.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import jupyter
import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.explorers.session import open_session

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: `make test-browser` installs it")
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def address(folder):
    with jupyter.server(folder) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        try:
            made = play.chromium.launch(executable_path=jupyter.chromium(), args=jupyter.ARGUMENTS)
        except playwright.Error as error:
            if os.environ.get("MAAF_LAB_NEEDS_BROWSER"):
                raise
            pytest.skip(f"no Chromium that starts: `make test-browser` installs one ({str(error).splitlines()[0]})")
        yield made
        made.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1360, "height": 1100}, device_scale_factor=1)
    made = context.new_page()
    made.set_default_timeout(30_000)
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    yield made
    context.close()
    assert not [w for w in wrong if "maaf" in w.lower() or "explorer" in w.lower()], wrong


@pytest.fixture
def shot(tmp_path):
    out = jupyter.ROOT / "figures" / "explorers" if os.environ.get("MAAF_LAB_SCREENSHOTS") else tmp_path

    def take(where, name: str) -> Path:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{name}.png"
        where.screenshot(path=path)
        return path

    return take


@pytest.fixture
def opened(page, folder, address):
    def go(name: str, drawings: int = 1, **parameters) -> jupyter.Notebook:
        jupyter.without_outputs(name, folder, **parameters)
        made = jupyter.Notebook(page, address, name)
        made.run(drawings)
        page.wait_for_timeout(300)
        return made

    return go


def tells(lab: jupyter.Notebook, words: str) -> None:
    """Wait until the first drawing's text alternative has the words."""
    label = "document.querySelector('.maaf-drawing svg').getAttribute('aria-label')"
    lab.page.wait_for_function(f"words => {label}.includes(words)", arg=words)


def fills(where, start: str) -> list[str]:
    return where.locator(f"[id^='{start}']").evaluate_all("all => all.map(e => e.getAttribute('fill'))")


QUICK = {"group": "a word", "of_word": "gray"}  # an average that takes a second


def test_attention_by_mouse(opened, shot):
    lab = opened("explore_attention", drawings=2, **QUICK)
    one = lab.drawing(0)
    one.scroll_into_view_if_needed()
    assert "looks past what it names" in one.inner_text(), "the paper's claim is there at once"
    shot(one, "attention")
    first = fills(one, "c0-0-")
    one.locator("[data-token]").nth(1).hover()
    hovered = fills(one, "c0-0-")
    assert len(first) == 49 and hovered != first, "hovering a word changes the heat map"
    one.locator("[data-cell='0,0,10']").hover()
    assert "7x7 patch 2,4" in one.locator("#r0").text_content() and fills(one, "c0-0-") != hovered, "so does hovering a patch"
    lab.page.mouse.move(5, 5)
    assert fills(one, "c0-0-") == first, "and leaving brings back what was picked"
    one.locator("[data-set='head'][data-value='4']").click()
    assert "head 4" in one.locator("#r0").text_content() and one.locator("#h4").get_attribute("aria-checked") == "true"
    assert fills(one, "c0-0-") != first
    before = lab.drawn(0)
    one.locator("[data-set='compare'][data-value='head']").click()
    lab.redrawn(before)
    assert one.locator("[id^='c1-0-']").count() == 49, "a second map stands beside the first"
    shot(one, "attention-two-heads")
    assert "head 4" in lab.execute("print(repr(explorer))"), "the kernel knows what was picked"


def test_another_query_and_another_text(opened, shot):
    """Another query by its words, a sentence of one's own, unknown words, heads turned off, averages, nonsense."""
    lab = opened("explore_attention", drawings=2)
    before = lab.drawn(0)
    lab.box("with the words").fill("purple sphere")
    lab.box("with the words").press("Enter")
    lab.redrawn(before)
    one = lab.drawing(0)
    assert {"purple", "sphere"} <= set(re.findall(r"\w+", one.inner_text()))
    before = lab.drawn(0)
    lab.page.locator("button:text-is('3')").first.click()
    lab.redrawn(before)
    assert "without block 1 head 3" in one.inner_text(), "the target's rank without a head"
    before = lab.drawn(0)
    lab.box("or your own text").fill("make the fluffy sphere red")
    lab.box("or your own text").press("Enter")
    lab.redrawn(before)
    assert "'fluffy'" in lab.message(0) and "fluffy" in one.inner_text(), "words the model does not know are named"
    shot(lab.page, "attention-own-words")
    before, text = lab.drawn(0), one.inner_text()
    lab.box("with the words").fill("unicorn")
    lab.box("with the words").press("Enter")
    lab.page.wait_for_function("() => document.querySelector('.maaf-message')?.innerText.includes('unicorn')")
    assert "⚠" in lab.message(0) and lab.drawn(0) == before and one.inner_text() == text, "a message, and the state is kept"
    two = lab.drawing(1)
    assert re.search(r"named cell 0\.\d\d × the others", two.inner_text()), "position words avoid the cell they name"
    two.scroll_into_view_if_needed()
    shot(two, "attention-positions")
    before = lab.drawn(1)
    two.locator("[data-act='head'][data-value='2']").click()
    lab.redrawn(before, 1)
    assert "head 2" in two.inner_text()


def test_attention_by_keyboard_alone(opened):
    lab = opened("explore_attention", drawings=2, **QUICK)
    one = lab.drawing(0)
    one.locator("[data-token]").first.focus()
    shown = one.locator("#r0").text_content()
    lab.page.keyboard.press("ArrowRight")
    assert one.locator("#r0").text_content() != shown and "“remove”" in one.locator("#r0").text_content()
    for _ in range(12):  # Tab leaves the words, passes the switches, and comes to the map
        lab.page.keyboard.press("Tab")
        if lab.page.evaluate("document.activeElement.dataset.cell"):
            break
    lab.page.keyboard.press("ArrowRight")
    lab.page.keyboard.press("ArrowDown")
    assert "7x7 patch 2,2" in one.locator("#r0").text_content(), "arrows go from patch to patch"
    lab.page.keyboard.press("Enter")
    lab.page.keyboard.press("Tab")
    assert "7x7 patch 2,2" in one.locator("#r0").text_content(), "Enter keeps it"
    unnamed = one.locator("[tabindex]").evaluate_all("all => all.filter(e => !e.getAttribute('aria-label')).length")
    assert unnamed == 0 and one.locator("svg").first.get_attribute("aria-label")


def test_a_saved_page_hovers_without_kernel_or_network(opened, browser, tmp_path, shot):
    lab = opened("explore_attention", drawings=2, **QUICK)
    file = tmp_path / "attention.html"
    lab.execute(f"explorer.save({str(file)!r}); averages.save({str(tmp_path / 'averages.html')!r})\nprint('saved')")
    context = browser.new_context(viewport={"width": 1024, "height": 900}, offline=True)
    requested: list[str] = []
    away = context.new_page()
    away.on("request", lambda request: requested.append(request.url))
    away.goto(file.as_uri())
    away.wait_for_function("window.maaf")
    before = fills(away, "c0-0-")
    away.locator("[data-token]").nth(1).hover()
    assert fills(away, "c0-0-") != before
    away.locator("[data-set='compare'][data-value='word']").click()
    assert away.locator("[id^='c1-0-']").count() == 49, "comparing needs no kernel either"
    assert away.evaluate("document.documentElement.scrollWidth") <= 1024, "fits 1,024 px"
    away.emulate_media(color_scheme="dark")
    assert away.evaluate("getComputedStyle(document.querySelector('.maaf')).backgroundColor") == "rgb(17, 17, 17)"
    shot(away, "attention-page-dark")
    away.goto((tmp_path / "averages.html").as_uri())
    title = away.locator("svg text").first.text_content()
    away.locator("[data-act='head'][data-value='3']").click()
    assert away.locator("svg text").first.text_content() != title and "head 3" in away.locator("svg text").first.text_content()
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requested), requested
    context.close()


def test_the_page_paints_what_python_paints(browser, tmp_path):
    """The script and `attention/paint.py` are twins: every attribute, for selections of all kinds."""
    import maaf_lab

    random = np.random.default_rng(0)
    for run in ("css-laptop", "garments-laptop"):
        explorer = maaf_lab.explore_attention(run, query=12)
        explorer.save(tmp_path / "page.html")
        page = browser.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("window.maaf")
        blocks, heads, tokens = explorer.state.data["records"][0]["weights"]["shape"][:3]
        for _ in range(12):
            sides = [
                {
                    "record": 0,
                    "block": int(random.integers(blocks)),
                    "head": int(random.integers(heads + 1)),
                    "token": int(random.integers(-1, tokens)),
                }
                for _ in range(2)
            ]
            selection = {
                "compare": str(random.choice(["off", "word", "head"])),
                "active": int(random.integers(2)),
                "thumbs": str(random.choice(["patches", "token"])),
                "sides": sides,
            }
            assert page.evaluate("s => window.maaf.paint(s)", selection) == explorer.state.painted(selection), (run, selection)
        page.close()


def test_retrieval(opened, shot, tmp_path):
    lab = opened("explore_retrieval", drawings=2, run="css-laptop")
    one = lab.drawing()
    shot(one, "retrieval")
    assert "target 1st of 16,999" in one.inner_text()
    names = one.locator("[data-act='refine']").evaluate_all("all => all.map(e => e.dataset.value)")
    box = lab.box("change it:")
    before = lab.drawn()
    box.fill("make middle-left object red")
    lab.redrawn(before)
    tells(lab, "object red")
    after = one.locator("[data-act='refine']").evaluate_all("all => all.map(e => e.dataset.value)")
    assert after != names and len(after) >= 10, "the results move"
    before = lab.drawn()
    box.fill("remove middle-left object")
    lab.redrawn(before)
    one.locator("[data-act='refine']").first.click()  # the target, without the yellow cylinder
    lab.page.wait_for_function("() => document.querySelectorAll('[data-act=turn]').length === 2")
    lab.page.wait_for_function("() => document.querySelector('.maaf-message')?.innerText.includes('how this image')")
    playwright.expect(box).to_have_value("")  # the next text is typed anew
    box.press_sequentially("add yellow cylinder to middle-left", delay=20)
    tells(lab, "“add yellow cylinder to middle-left”")
    there_again = one.locator("[data-act='refine']").first.get_attribute("aria-label")
    assert "css_test_000443" in there_again, f"expected the picture that the dialogue began with, found {there_again}"
    shot(one, "retrieval-dialogue")
    one.locator("[data-act='turn']").first.focus()
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_function("() => document.querySelector('[data-act=turn]').getAttribute('aria-checked') === 'true'")
    assert "remove middle-left" in one.locator("svg").get_attribute("aria-label"), "an earlier turn is shown again"
    box.fill("make the sparkling sphere big")
    lab.page.wait_for_function("() => document.querySelector('.maaf-drawing').innerText.includes('has never seen')")
    assert "'sparkling'" in one.inner_text()


def test_retrieval_of_ones_own_pictures(opened, tmp_path, shot):
    """A file, one that is no image, a photo of 50 megapixels, a drop, a folder with a broken image in it."""
    lab = opened("explore_retrieval", drawings=2, run="css-laptop")
    one, files = lab.drawing(), lab.page.locator("input[type=file]").first
    own = tmp_path / "mine.png"
    PILImage.fromarray(np.random.default_rng(0).integers(0, 255, (80, 120, 3), np.uint8)).save(own)
    before = lab.drawn()
    files.set_input_files(own)
    lab.redrawn(before)
    assert "mine.png" in one.inner_text()
    before, text = lab.drawn(), one.inner_text()
    (tmp_path / "words.png").write_text("no picture at all")
    files.set_input_files(tmp_path / "words.png")
    lab.page.wait_for_function("() => document.querySelector('.maaf-message')?.innerText.includes('words.png')")
    assert "⚠" in lab.message() and lab.drawn() == before and one.inner_text() == text, "a message, and the picture before stays"
    large = tmp_path / "large.jpg"
    noise = np.random.default_rng(1).integers(0, 255, (610, 820, 3), np.uint8)
    PILImage.fromarray(noise).resize((8200, 6100), PILImage.Resampling.NEAREST).save(large, quality=97)
    assert large.stat().st_size > 6_000_000
    files.set_input_files(large)
    lab.redrawn(before, timeout=120_000)
    assert "large.jpg" in one.inner_text(), "50 megapixels are taken"
    before = lab.drawn()
    data = io.BytesIO()
    PILImage.fromarray(noise).save(data, "PNG")
    lab.page.evaluate(
        """bytes => {
        const carried = new DataTransfer();
        carried.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
        document.querySelector(".maaf-drop").dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true,
            dataTransfer: carried }));
    }""",
        list(data.getvalue()),
    )
    lab.redrawn(before)
    assert "dropped.png" in one.inner_text()
    photos = tmp_path / "photos"
    photos.mkdir()
    shipped = open_session("css-laptop")
    for name in (443, 1012, 2627, 3356, 4315, 6405, 8160, 9600, 10382, 13647, 14120, 15513):
        PILImage.fromarray(shipped.picture(name, 160)).save(photos / f"scene{name:05}.png")
    (photos / "torn.jpg").write_bytes(b"\xff\xd8\xff no more")
    before = lab.drawn()
    lab.box("your folder of images").fill(str(photos))
    lab.box("your folder of images").press("Enter")
    lab.redrawn(before)
    assert "12 images searched" in one.inner_text() and "photos: 12 images, 1 broken left out" in lab.message()
    assert lab.page.locator("summary", has_text=re.compile("^1 broken image$")).count() == 1
    before = lab.drawn()
    lab.box("change it:").fill("remove middle-left object")
    lab.redrawn(before)
    first = one.locator("[data-act='refine']").first.get_attribute("aria-label")
    assert "scene01012" in first, f"expected the scene without its yellow cylinder, found {first}"
    one.scroll_into_view_if_needed()
    shot(lab.page, "retrieval-own-folder")
    before = lab.drawn()
    lab.box("your folder of images").fill("/no/such/folder")
    lab.box("your folder of images").press("Enter")
    lab.page.wait_for_function("() => document.querySelector('.maaf-message')?.innerText.includes('/no/such/folder')")
    assert lab.drawn() == before and "12 images searched" in one.inner_text()


def test_modifiers(opened, shot):
    lab = opened("explore_modifiers", drawings=2)
    one = lab.drawing(0)
    shot(one, "modifiers")
    before = lab.drawn()
    one.locator("[data-act='type'][data-value='color']").click()
    lab.redrawn(before)
    assert "Queries of “color”" in one.inner_text()
    before = lab.drawn()
    one.locator("[data-act='sort'][data-value='second model better']").click()
    lab.redrawn(before)
    ranks = [int(x.replace(",", "")) for x in re.findall(r"target ([\d,]+)(?:st|nd|rd|th)", one.inner_text())]
    assert all(second < first for first, second in zip(ranks[::2], ranks[1::2], strict=True)), "sorted by who does better"
    query = one.locator("[data-act='query']").first.get_attribute("data-value")
    one.locator("[data-act='query']").first.click()
    lab.page.wait_for_function("() => document.querySelectorAll('.maaf-drawing').length === 4", timeout=90_000)
    assert "target" in lab.drawing(1).inner_text() and f"query {int(query):,} of" in lab.drawing(2).inner_text()
    shot(lab.page, "modifiers-query-opened")
    text = one.inner_text()
    lab.box("only with the words").fill("unicorn")
    lab.box("only with the words").press("Enter")
    lab.page.wait_for_function("() => document.querySelector('.maaf-message')?.innerText.includes('no query fits')")
    assert one.inner_text() == text
    before = lab.drawn()
    lab.box("only with the words").fill("stripes")
    lab.box("only with the words").press("Enter")
    lab.redrawn(before)
    assert "only with stripes" in one.inner_text()
    lab.page.locator(".jupyter-widgets >> text=edit the types").first.click()
    box = lab.page.locator(".jupyter-widgets textarea").first
    before = lab.drawn()
    box.fill("stripes: stripe stripes striped\nnonsense without a colon")
    box.blur()
    lab.page.wait_for_function("() => document.querySelector('.maaf-message')?.innerText.includes('line 2')")
    assert lab.drawn() == before, "a wrong line is named, the types before stay"
    box.fill("stripes: stripe stripes striped\ndark: dark darker")
    box.blur()
    lab.redrawn(before)
    assert one.locator("[data-act='type']").evaluate_all("all => all.map(e => e.dataset.value)") == ["all", "stripes", "dark"]


def test_start_here_links_the_three(opened, shot):
    lab = opened("start_here", drawings=3)
    shot(lab.page, "start-here")
    query = lab.drawing(0).locator("[data-act='query']").nth(1)
    number, before = int(query.get_attribute("data-value")), lab.drawn(2)
    query.click()
    lab.redrawn(before, 2)
    assert f"query {number:,} of" in lab.drawing(2).inner_text()
    assert lab.box("query", 0).input_value() == str(number), "retrieval shows the same query"


def test_in_the_dark(opened, shot):
    """JupyterLab's dark theme: the drawing's paper and ink turn with it."""
    lab = opened("explore_retrieval", drawings=2, run="css-laptop")
    lab.page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    paper, ink = (lab.drawing().locator(f".{name}").first.evaluate("e => getComputedStyle(e).fill") for name in ("paper", "ink"))
    light = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (paper, ink)]
    assert light[0] < 120 and light[1] > 600
    shot(lab.drawing(), "retrieval-dark")


def test_a_committed_notebook_shows_a_picture_without_a_kernel(page, folder, address):
    (folder / "kept.ipynb").write_bytes((jupyter.ROOT / "notebooks" / "explore_modifiers.ipynb").read_bytes())
    jupyter.Notebook(page, address, "kept")
    page.wait_for_selector(".jp-RenderedImage img", timeout=60_000)
    assert page.locator("text=Error displaying widget").count() == 0
    assert page.locator(".jp-RenderedImage img").first.evaluate("e => e.naturalWidth") >= 1000
