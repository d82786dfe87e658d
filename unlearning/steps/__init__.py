"""One file per step: read artifacts, call the library, write artifacts, log lineage. A node of the DAG runs one step,
or several that always follow one another.

The Kubeflow components, the command line and the tests call the same functions.
"""
