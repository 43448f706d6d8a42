"""Every link leads to a page, and to a heading of it; every page is reached from the site."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_IDS = [str(path.relative_to(ROOT)) for path in PAGES]


def _text(path: Path) -> str:
    """A page without its code, in which brackets are no links."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    return re.sub(r"`[^`\n]*`", lambda code: re.sub(r"[\[\]()]", "", code.group()), text)


def _anchors(path: Path) -> set[str]:
    """Of its headings, as the site and the repository's own pages make them."""
    headings = re.findall(r"^#+ (.*)$", _text(path), re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in plain}


@pytest.mark.parametrize("path", PAGES, ids=_IDS)
def test_links_lead_somewhere(path):
    text = _text(path)
    links = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", text, re.M)
    for link in (inline or reference for inline, reference in links):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link
    for label in re.findall(r"\]\[([^\]]+)\]", text):
        assert f"\n[{label}]: " in text, label


def test_every_page_is_in_the_table_of_contents():
    index = ROOT / "docs" / "index.md"
    trees = re.findall(r"```\{toctree\}\n(.*?)```", index.read_text(encoding="utf-8"), re.DOTALL)
    listed = {
        line for tree in trees for line in tree.split("\n") if line and not line.startswith(":")
    }
    pages = {
        str(path.relative_to(ROOT / "docs").with_suffix(""))
        for path in (ROOT / "docs").rglob("*.md")
    }
    assert pages - listed == {"index"}
    # What is listed besides is made by the build, or lies elsewhere in the repository.
    others = listed - pages - {"api/index"}
    assert all(list((ROOT / "docs").glob(f"{page}.*")) for page in others), others
