"""`python -m embedder.models.torch_reader SPEC FOLDER`: see embedder.models.torch_aside."""

import gc
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # What serves goes first: its threads wait for each other, and one that has to wait for a core holds up all of them.
    os.nice(5)
    os.environ["OMP_NUM_THREADS"] = "1"
    gc.disable()  # it would look for garbage among a million objects of libraries: a sixth of the time to import them
    from embedder.models.torch_reading import main

    main(sys.argv[1], Path(sys.argv[2]))
    os._exit(0)  # nothing is left to be tidied up, and it would take a second
