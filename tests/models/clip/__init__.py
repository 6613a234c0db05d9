"""Tests of models/clip."""
