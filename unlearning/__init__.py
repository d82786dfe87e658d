"""Make trained encoders forget, and audit that they did. Works without a cluster."""

__version__ = "0.1.0"
