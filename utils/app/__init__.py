"""The page that corrects captures in a browser: `python -m utils.app`."""
