"""One file per node of the DAG: read artifacts, call the library, write artifacts, log lineage.

The Kubeflow components, the command line and the tests call the same functions.
"""
