"""The pipelines on one machine, through kfp.local."""
