"""The room of main_test.py."""
