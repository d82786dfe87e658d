"""Records, snapshots, splits and forget sets, and where images come from."""
