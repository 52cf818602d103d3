"""Renders: terminal tables, HTML, CSV and SVG."""
