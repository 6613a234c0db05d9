"""Processes, devices, random numbers, log and signals."""
