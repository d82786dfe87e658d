"""`python -m unlearning.cli`: the command line where `unlearn` is not on the path."""

from __future__ import annotations

from unlearning.cli import main

if __name__ == "__main__":
    main()
