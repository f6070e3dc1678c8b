"""What the documentation site has besides docs/: the Markdown files of the repository's root, and the reference.

MkDocs calls these functions (https://www.mkdocs.org/user-guide/configuration/#hooks).
"""

import re
import sys
from pathlib import Path

import licences  # MkDocs imports hooks with their folder on the path
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("beam_pipelines", "trainer", "configs")

# Files of the repository's root, and where they are on the site.
ROOT_FILES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.txt",
}

# Where the table of licences is put, of the packages that are installed here.
LICENCES_PLACE = "<!-- table of licences -->"

_LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s]+)")
_LOADED_FROM_ELSEWHERE = re.compile(r"<(?:script|img|iframe)[^>]+src=\"?https?:|<link[^>]+stylesheet[^>]+https?:")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds a page of the reference for each folder of the packages to the navigation."""
    assert config.nav is not None
    config.nav.append({"Reference": [{module: _reference_page(module)} for module in _modules()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files that are not in docs/."""
    for source, page in ROOT_FILES.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_with_site_links(text, in_docs=False)))
    for module in _modules():
        files.append(File.generated(config, _reference_page(module), content=f"::: {module}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links from docs/ to files of the repository's root into links to their pages, and adds the licences."""
    if LICENCES_PLACE in markdown:
        table = licences.table_of_lock(REPOSITORY / "requirements" / "demo.txt", Path(sys.prefix))
        markdown = markdown.replace(LICENCES_PLACE, table)
    return _with_site_links(markdown, in_docs=True)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Checks that a page works without a network."""
    loaded = _LOADED_FROM_ELSEWHERE.search(output)
    if loaded is not None:
        raise PluginError(f"{page.file.src_uri} loads something from another server: {loaded[0]}")
    return output


def _with_site_links(markdown: str, *, in_docs: bool) -> str:
    """Returns a page with its links as the site has them, e.g. docs/train.md in README.md as train.md."""

    def on_site(link: re.Match[str]) -> str:
        path = link["path"]
        if in_docs:
            return ROOT_FILES.get(path.removeprefix("../"), path) if path.startswith("../") else path
        return ROOT_FILES.get(path, path.removeprefix("docs/"))

    return _LINK.sub(on_site, markdown)


def _modules() -> list[str]:
    """Returns the folders of the packages, as modules: beam_pipelines.audio, …"""
    folders = [path.parent for name in PACKAGES for path in sorted((REPOSITORY / name).glob("*/__init__.py"))]
    return [".".join(folder.relative_to(REPOSITORY).parts) for folder in folders]


def _reference_page(module: str) -> str:
    return f"reference/{module}.md"
