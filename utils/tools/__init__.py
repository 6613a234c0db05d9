"""Commands: `python -m utils.tools.NAME`."""
