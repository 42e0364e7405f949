"""The report in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, start_browser
from report_runs import sentence, write_report_run

from fgvp_eval.report.page import write_report

HOSTILE = (
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 2'>",
    "</script></q></h3><style>body{display:none}</style>",
    '"quotes" and \'quotes\' & &amp; onmouseover="window.hit=3"',
    "{{ 7 * 7 }} {% raw %} ${window.hit = 4}",
    "\u202emirrored\u202c, السيارة الحمراء على اليمين, 👩‍🚀 astronaut",
    "-->]]><svg onload=window.hit=5>",
)
# A row of sentences for each cause; the second row gets those of even number right.
CAUSES = ("ranked_wrong", "post_flipped", "no_candidate")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from start_browser(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of ten sentences and two rows."""
    lines = []
    for split in ("demo", "demo_location"):
        for number in range(10):
            text = f"{('left', 'right')[number % 2]} Purple thing {number}"
            for mode in ("crop", "contour+blur_reverse_mask"):
                spared = mode != "crop" and number % 2 == 0
                cause = None if spared else CAUSES[number % 3]
                lines.append(sentence(number, text, split=split, mode=mode, cause=cause))
    folder = tmp_path_factory.mktemp("runs") / "run"
    return write_report(write_report_run(folder, lines))


def shown(browser: Browser) -> list[str]:
    """The texts of the cards that can be seen."""
    return browser.run(  # type: ignore[no-any-return]
        "return [...document.querySelectorAll('.card')].filter(c => c.checkVisibility())"
        ".map(c => c.querySelector('.text').textContent)"
    )


def choose(browser: Browser, name: str, text: str) -> None:
    """Choose an option of a filter by what it says, as a person does with the keyboard."""
    field = browser.driver.find_element("css selector", f"select[name={name}]")
    field.send_keys(text)
    assert field.find_element("css selector", "option:checked").text == text


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_opens_without_complaint_network_or_sideways_scrolling(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.open(page, width=width, dark=dark)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("return document.documentElement.scrollWidth") == width
    assert len(shown(browser)) == 20
    assert browser.run("return document.getElementById('count').textContent") == "shown 20 of 20"
    # All pictures are decoded.
    assert browser.run(
        "return [...document.images].every(i => i.complete && i.naturalWidth === 16)"
    )
    ground = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == dark


def test_filters(browser: Browser, page: Path) -> None:
    browser.open(page)
    words = browser.driver.find_element("css selector", "input[name=words]")
    words.send_keys("purple LEFT")
    assert shown(browser) == [f"left Purple thing {k}" for k in (0, 2, 4, 6, 8)] * 2
    assert browser.run("return document.getElementById('count').textContent") == "shown 10 of 20"
    choose(browser, "split", "demo_location")
    assert len(shown(browser)) == 5
    choose(browser, "cause", "no candidate")
    assert shown(browser) == [f"left Purple thing {k}" for k in (2, 8)]
    choose(browser, "row", "contour+blur_reverse_mask")
    assert shown(browser) == []
    assert browser.driver.find_element("id", "nothing").is_displayed()
    browser.driver.find_element("css selector", "button[type=reset]").click()
    browser.driver.implicitly_wait(1)
    assert len(shown(browser)) == 20
    choose(browser, "row", "contour+blur_reverse_mask")
    assert shown(browser) == [f"right Purple thing {k}" for k in (1, 3, 5, 7, 9)] * 2
    assert browser.complaints() == []


def test_every_field_has_a_label(browser: Browser, page: Path) -> None:
    browser.open(page)
    names = browser.run(
        "return [...document.querySelectorAll('input, select')].map(f => f.labels[0].innerText)"
    )
    assert [name.partition("\n")[0].strip() for name in names] == [
        *("Words in the text", "Split", "Missed by", "Cause"),
    ]


def test_the_choice_of_a_row_stands_out(browser: Browser, page: Path) -> None:
    browser.open(page)
    aside = "return document.querySelectorAll('.outcome.aside').length"
    assert browser.run(aside) == 0
    choose(browser, "row", "crop")
    assert browser.run(aside) == 20


def test_markup_in_captions_is_text(browser: Browser, tmp_path: Path) -> None:
    lines = [sentence(number, text) for number, text in enumerate(HOSTILE)]
    lines.append(sentence(99, "plain", mode="<b>crop</b>"))
    unscored = {"sample_id": "demo:0:9", "image": HOSTILE[1], "reason": HOSTILE[0]}
    facts: dict[str, Any] = {"splits": {"demo": {"unscored": [unscored]}}, "complete": False}
    page = write_report(write_report_run(tmp_path / "run", lines, command=HOSTILE[2], **facts))
    browser.open(page)
    assert [text for text in shown(browser) if text != "plain"] == list(HOSTILE)
    assert browser.run("return window.hit") is None
    assert browser.run("return document.scripts.length") == 1
    assert browser.run("return document.querySelectorAll('style').length") == 1
    assert "<b>crop</b>" in browser.run("return document.body.innerText")
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]


def test_script_of_others_does_not_run(browser: Browser, page: Path, tmp_path: Path) -> None:
    """Were a text ever not escaped, the page's policy would still stop it."""
    broken = tmp_path / "broken.html"
    text = page.read_text()
    broken.write_text(text.replace("</main>", "<script>window.hit = 1</script></main>"))
    browser.open(broken)
    assert browser.run("return window.hit") is None
    assert any("Content Security Policy" in line for line in browser.complaints())


@pytest.mark.parametrize("kind", ["no misses", "no pictures"])
def test_page_of_little(browser: Browser, tmp_path: Path, kind: str) -> None:
    cause = None if kind == "no misses" else "ranked_wrong"
    folder = write_report_run(tmp_path / "run", [sentence(0, "a thing", cause=cause)])
    if kind == "no pictures":
        (folder / "misses.jsonl").unlink()
        (folder / "data" / "images" / "0.jpg").unlink()
    browser.open(write_report(folder))
    assert browser.complaints() == []
    text = browser.run("return document.getElementById('misses').innerText")
    if kind == "no misses":
        assert text.split("\n") == ["Misses", "", "No sentence was missed."]
    else:
        assert "1 are shown without their picture" in text
        assert str(folder / "data") in text
        assert "1 are shown without prompts" in text
        assert shown(browser) == ["a thing"]
