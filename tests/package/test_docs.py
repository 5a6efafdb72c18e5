"""The pages in docs/: their code runs and prints what stands below it, and their pictures can be drawn anew."""

import contextlib
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("chain_rule*.md"))
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def same(a: str, b: str) -> None:
    """The same text but for white space, and for numbers that another processor's exp may round otherwise."""
    words = [NUMBER.sub("#", text).split() for text in (a, b)]
    assert words[0] == words[1]
    numbers = [[float(each) for each in NUMBER.findall(text)] for text in (a, b)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-12)


def test_what_is_the_same() -> None:
    same("x  0.6224593312018546", "x 0.6224593312018545")
    for other in ("x 0.6224", "y 0.6224593312018546", "x 0.6224593312018546 1"):
        with pytest.raises(AssertionError):
            same("x 0.6224593312018546", other)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_of_a_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = BLOCK.findall(page.read_text("utf-8"))
    assert blocks
    for code, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page.name, "exec"), names)
        same(printed.getvalue(), expected)


def test_pages_say_the_same() -> None:
    """Translations have the same code, but for names and comments, the same pictures, headings and table rows."""
    outlines = []
    pages = sorted(DOCS.glob("chain_rule*.md"))
    for page in pages:
        text = page.read_text("utf-8")
        code = re.sub(r'#.*|"[^"]*"', "", "".join(code for code, _ in BLOCK.findall(text)))
        pictures = [re.sub(r"\.(ko|ja)\.svg", ".svg", name) for name in re.findall(r"images/[\w.]+", text)]
        outlines.append((code, pictures, text.count("\n## "), text.count("\n| ")))
    assert len(pages) == 3
    assert outlines[0] == outlines[1] == outlines[2]


def test_links_lead_somewhere() -> None:
    used = set()
    for page in [*DOCS.glob("*.md"), *DOCS.parent.glob("README*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), (page.name, link)
            used.add((page.parent / link).resolve())
    assert set(DOCS.glob("images/*")) <= used
    assert (DOCS / "chain_rule.md").resolve() in used


def content(picture: Path) -> tuple[list[str], str]:
    """The words of a picture in order, and all its sizes in points."""
    root = ET.parse(picture).getroot()
    words = ["".join(each.itertext()) for each in root.iter() if each.tag.endswith("}text")]
    return words, f"{root.get('viewBox')} {sum(1 for _ in root.iter())}"


def test_pictures_can_be_drawn_anew(tmp_path: Path) -> None:
    """Another release of matplotlib may write the same picture in other words of SVG, so bytes aren't compared."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("fast_sugiyama")
    script = [sys.executable, str(DOCS / "pictures.py"), str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    drawn = {path.name: content(path) for path in tmp_path.iterdir()}
    committed = {path.name: content(path) for path in DOCS.glob("images/*.svg")}
    assert sorted(drawn) == sorted(committed)
    for name, (words, sizes) in committed.items():
        same("\n".join(drawn[name][0]), "\n".join(words))
        same(drawn[name][1], sizes)
