"""`unlearn`: run the pipelines here, look at results, follow lineage, or take single steps.

Exit codes: 0 done; 1 a programming error; 2 bad input or a missing service, told in one line;
3 the run finished but nothing was promoted, `ledger verify` found problems, or a certificate is not verified.
"""

from __future__ import annotations

from unlearning.cli.main import main

__all__ = ["main"]
