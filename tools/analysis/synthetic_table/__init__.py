"""The parts of ``reproduce_synthetic.py``: rows, the jobs that fill them, choices, and what is made of the results."""
