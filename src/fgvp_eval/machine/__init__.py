"""What a run needs of the machine: devices, memory, processes, caches, clocks."""
