"""Evaluation: used by main_test.py."""
