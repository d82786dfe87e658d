"""What the law asks for beside the learning: requests, their ledger, and signed certificates."""
