"""Figures as SVG text that fits light and dark pages."""
