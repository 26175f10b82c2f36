"""The long campaign (`make faults`): bad inputs, kills at random moments, full disks, no rights, and minutes of mutated files.

python tests/faults/campaign.py [--examples N] [--kills N] [--disks N] [--minutes M] [--seed N] [--parts kills disks ...]

examples: random values of settings, of options, and damaged files, each as often. kills, disks: of each command. minutes: of
mutated files for each reader. Prints what should not be as it comes, and in the end what came of each kind of input:

clear error, worked: as expected. traceback: an error that is not the lab's. wrong: an answer of the other kind, or without a
word a result that damage has changed. hang: over 10 seconds or 2 GB, for a whole command over three minutes and over four times
what it takes otherwise. lost: after a kill or a full disk the same command does not end in the same files, or something is left
over. crash: the interpreter ended.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

PARTS = ("kills", "disks", "rights", "battery", "values", "damage", "unpickler", "annotations", "images")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("--examples", 200), ("--kills", 50), ("--disks", 10), ("--seed", 0)):
        parser.add_argument(option, type=int, default=default)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--only", default="", help="of the commands, those whose name matches")
    asked = parser.parse_args()
    tests = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(tests), str(tests.parent)]
    home = tempfile.mkdtemp(prefix="maaf-lab-campaign-")
    Path(home).chmod(0o755)  # for a user without rights
    Path(home, "tmp").mkdir()
    around = {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "MAAF_LAB_HOME": home, "TMPDIR": f"{home}/tmp"}
    os.environ.update(around, PYTHONPATH=os.pathsep.join([*sys.path[:2], os.environ.get("PYTHONPATH", "")]))
    tempfile.tempdir = None
    os.chdir(home)
    try:
        # only now, in the folders above; and what forks first, while this process has no threads
        from faults import bad_days, inputs, jobs, kills, mutations, tally

        jobs.inputs()
        parts = {
            "kills": lambda: kills.kills(asked.kills, asked.seed, asked.only),
            "disks": lambda: bad_days.full_disks(asked.disks, asked.seed, asked.only),
            "rights": bad_days.no_rights,
            **{name: lambda name=name: mutations.for_minutes(name, asked.minutes, asked.seed) for name in mutations.READERS},
            "battery": inputs.battery,
            "values": lambda: inputs.values(asked.examples, asked.seed),
            "damage": lambda: inputs.damage(asked.examples, asked.seed),
        }
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it otherwise
        try:
            for part, tries in parts.items():
                if part in asked.parts:
                    tries()
        except KeyboardInterrupt:
            print("\nstopped before the end; until here:")
        print(f"\n{tally.table()}")
        return int(tally.failed())
    finally:
        os.chdir("/")
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
