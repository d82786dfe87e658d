from __future__ import annotations

from docs_site import command_line


def test_every_command_has_a_section_with_its_options() -> None:
    text = command_line.reference()
    for heading in ("## unlearn\n", "### unlearn run\n", "### unlearn requests add\n", "### unlearn step pretrain\n"):
        assert heading in text
    assert text.count("### ") == sum(1 for _ in command_line.commands()) - 1
    assert "| `--forget-kind" in text


def test_hidden_commands_are_left_out_and_tables_are_whole() -> None:
    for line in command_line.reference().splitlines():
        if line.startswith("| `"):
            assert line.replace(r"\|", "").count("|") == 3, line
