"""Experiment trackers beside TensorBoard: a process of its own follows the run directory and sends what it finds.

Training writes its directory as ever and waits for nobody; what the tracker has not got yet is still on the disk, so a
tracker that fails can be tried again, and a resumed run goes on where the tracker's own record ends.
"""
