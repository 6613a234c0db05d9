"""What MkDocs is told besides mkdocs.yml: README as the home page, files of the code, formulas.

The pages link to files of the repository as they do where the repository is browsed. On the site
those files lie in `repository/`; a link to one that is not there is left as it is, which MkDocs
reports. Formulas become MathML, which browsers draw without a script.
"""

import html
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\s*(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])\s*</\1>', re.DOTALL
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README as `index.md`, and every file of the repository that a page links to."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=_moved(readme, "README.md")))
    pages = ["README.md", *(f"docs/{file.src_uri}" for file in files if file.src_uri != "index.md")]
    while pages:
        page = pages.pop()
        if not page.endswith(".md") or not (ROOT / page).exists():
            continue
        text = (ROOT / page).read_text(encoding="utf-8")
        for _, link, _ in _LINK.findall(text):
            target = _in_repository(link, page)
            place = f"repository/{target}"
            if not target.startswith(("docs/", "../", "README.md")) and (ROOT / target).is_file():
                if files.get_file_from_path(place) is not None:
                    continue
                files.append(_copied(config, place, target))
                pages.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links from pages of `docs/` to files of the repository to their place on the site."""
    if page.file.src_uri == "index.md" or page.file.src_uri.startswith("repository/"):
        return markdown
    return _moved(markdown, f"docs/{page.file.src_uri}")


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn LaTeX into MathML."""

    def drawn(match: re.Match[str]) -> str:
        display = "inline" if match[1] == "span" else "block"
        return convert(html.unescape(match[2]).strip(), display=display)

    return _FORMULA.sub(drawn, content)


def _copied(config: MkDocsConfig, place: str, target: str) -> File:
    if target.endswith(".md"):
        text = (ROOT / target).read_text(encoding="utf-8")
        return File.generated(config, place, content=_moved(text, target))
    return File.generated(config, place, abs_src_path=str(ROOT / target))


def _in_repository(link: str, page: str) -> str:
    """Path in the repository of what a link on a page, itself a path there, leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _on_site(path: str) -> str:
    """Path on the site of a file of the repository."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}"


def _moved(text: str, page: str) -> str:
    """Text of a page whose links fit where the site has its pages."""
    folder = posixpath.dirname(_on_site(page))

    def led(match: re.Match[str]) -> str:
        target = _in_repository(match[2], page)
        if match[2].startswith(("http:", "https:", "mailto:")) or not (ROOT / target).is_file():
            return match[0]
        return f"{match[1]}{posixpath.relpath(_on_site(target), folder or '.')}{match[3]}"

    return _LINK.sub(led, text)
