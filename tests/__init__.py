import os

# Before anything imports torch: as many tests run at once as there are cores, one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
