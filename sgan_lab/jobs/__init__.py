"""Processes, states and signals of runs; sweeps; going on with either."""
