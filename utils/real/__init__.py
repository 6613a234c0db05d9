"""The room of main_test_real.py."""
