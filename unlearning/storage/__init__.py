"""The store of snapshots, splits, ledgers and certificates: a folder or S3."""
