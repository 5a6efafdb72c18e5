"""How large text is, and which fonts draw it.

Widths are those of DejaVu Sans, which matplotlib brings and which is wider than the other common sans-serif fonts; a
letter that it lacks is taken as wide as the text is high, as Chinese, Japanese and Korean letters are. So a picture has
the same places on every system, and an .svg fits in whatever font a browser takes.
"""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

FAMILY = "DejaVu Sans"

# Points.
SIZES = {"value": 11.0, "derivative": 11.0, "name": 12.0, "note": 8.5, "legend": 8.5}

# Tried in this order for letters that DejaVu Sans lacks, before all other fonts of the system.
PREFERRED = (
    *("Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "Noto Sans JP", "Apple SD Gothic Neo", "Hiragino Sans"),
    *("Malgun Gothic", "Yu Gothic", "Meiryo", "NanumGothic", "IPAexGothic", "MS Gothic", "WenQuanYi Micro Hei"),
)


def size(role: str) -> float:
    """The size of a role's letters, in points."""
    return SIZES[role.split()[-1]]


def bold(role: str) -> bool:
    return role.startswith("derivative")


def line_height(role: str) -> float:
    return 1.35 * size(role)


def text_width(text: str, role: str) -> float:
    """How wide a line is at most, in points."""
    return sum(_advance(letter, bold(role)) for letter in text) * size(role)


@cache
def _advance(letter: str, heavy: bool) -> float:
    """A letter's width in units of its size."""
    font = _dejavu(heavy)
    if font.get_char_index(ord(letter)):
        return float(font.load_char(ord(letter), flags=_no_hinting()).linearHoriAdvance) / 65536 / 100
    return 0.0 if unicodedata.combining(letter) else 1.0


@cache
def _dejavu(heavy: bool) -> Any:
    import matplotlib
    from matplotlib.ft2font import FT2Font

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = FT2Font(str(folder / ("DejaVuSans-Bold.ttf" if heavy else "DejaVuSans.ttf")))
    font.set_size(100, 72)
    return font


def _no_hinting() -> Any:
    from matplotlib import ft2font

    flags = getattr(ft2font, "LoadFlags", None)  # since matplotlib 3.10
    return flags.NO_HINTING if flags else getattr(ft2font, "LOAD_NO_HINTING")  # noqa: B009


def families(texts: list[str]) -> tuple[list[str], str]:
    """(Fonts that together have the letters of these texts, the letters that no font of this system has)."""
    missing = {letter for text in texts for letter in text if not _dejavu(False).get_char_index(ord(letter))}
    found = [FAMILY]
    for name, path in _others() if missing else ():
        has = {letter for letter in missing if _has(path, letter)}
        if has:
            found.append(name)
            missing -= has
        if not missing:
            break
    return found, "".join(sorted(missing))


def _others() -> list[tuple[str, str]]:
    from matplotlib.font_manager import fontManager

    fonts = {entry.name: entry.fname for entry in sorted(fontManager.ttflist, key=lambda e: (e.name, e.fname))}
    # matplotlib's own font of empty boxes, which has one for every letter there is.
    fonts = {name: path for name, path in fonts.items() if not name.startswith("Last Resort")}
    first = [(name, fonts[name]) for name in PREFERRED if name in fonts]
    return first + [(name, path) for name, path in fonts.items() if name not in PREFERRED]


@cache
def _characters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (RuntimeError, OSError):  # a font that FreeType can't read
        return frozenset()


def _has(path: str, letter: str) -> bool:
    return ord(letter) in _characters(path)
