"""The versions of a model as a tree for the terminal."""

from __future__ import annotations

from rich.tree import Tree

from unlearning.ladder import RUNGS, described
from unlearning.registry import Version

_RUNGS: dict[str, str] = {rung: f" ({described(rung)})" for rung in RUNGS if rung != "first"}


def label(version: Version) -> str:
    """One version in one line."""
    tags = version.tags
    aliases = f" [{', '.join(version.aliases)}]" if version.aliases else ""
    if "kind" not in tags:
        return f"version {version.version}{aliases}: registered by something else"
    verdict = "" if tags["verdict"] == "none" else f", verdict {tags['verdict']}"
    gap = f", largest AUC gap {tags['largest_auc_gap']}" if "largest_auc_gap" in tags else ""
    # Versions from before there was a ladder have no such tags.
    made = f"{tags['kind']} by {tags['method']}{_RUNGS.get(tags.get('rung', ''), '')}"
    accepted = ", accepted all the same" if tags.get("accepted") == "yes" else ""
    return f"version {version.version}{aliases}: {made}, {tags['status']}{verdict}{accepted}{gap}"


def tree(name: str, versions: list[Version]) -> Tree:
    """Every version under the one it was made from."""
    root = Tree(name)
    nodes: dict[str, Tree] = {}
    for version in versions:
        parent = nodes.get(version.tags.get("parent", ""), root)
        nodes[version.version] = parent.add(label(version).replace("[", r"\["))
    return root
