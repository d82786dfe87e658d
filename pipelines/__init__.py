"""Wiring of the components into DAGs; the same functions compile for a cluster and run here."""
