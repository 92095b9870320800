"""gemmac-cached and where it keeps code. Must not know what is compiled."""
import os
import shutil


def keep_code(gemmac, folder):
    """Lets `gemmac` (a name on PATH or a path) find and keep code below `folder`, in a place of this build alone."""
    stat = os.stat(shutil.which(gemmac))
    place = os.path.join(folder, f"{stat.st_size}-{stat.st_mtime_ns}")
    os.makedirs(place, exist_ok=True)
    for old in os.listdir(folder):
        if old != os.path.basename(place):
            shutil.rmtree(os.path.join(folder, old), ignore_errors=True)
    os.environ["GEMMAC_CODE_CACHE"] = place
