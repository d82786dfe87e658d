"""MkDocs' hooks: see mkdocs.yml. Each does its part of a page, and the modules beside this one say how."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs_site import command_line, diagrams, links, maths, parameters

ROOT = Path(__file__).parents[1]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Pictures that lie outside docs/ belong to the site too."""
    wanted = {
        path for each in files.documentation_pages() for path in links.pictures(each.src_uri, each.content_string)
    }
    for path in sorted(wanted):
        files.append(File.generated(config, f"{links.OUTSIDE}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links out of docs/ become text, diagrams pictures, and the command line and all parameters are described."""
    del config, files
    if command_line.PLACE in markdown:
        markdown = markdown.replace(command_line.PLACE, command_line.reference())
    markdown = parameters.replaced(markdown)
    return diagrams.replaced(links.without_outside(page.file.src_uri, markdown))


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Equations become MathML."""
    del page, config, files
    return maths.drawn(html)
