"""One number for everything that happened in a run.

    python tests/fingerprint.py SCENARIO SEED

prints it: from two processes, machines or Python versions it must be the same.
"""

import hashlib
import sys

from attrs import evolve

import flashwick as fw


def fingerprint(run: fw.Run, *, words: bool = True) -> str:
    """SHA-256 over all fills, messages, results and other events, with their ids.

    Without ``words``, what events say in text is left out, and every number stays.
    """
    digest = hashlib.sha256()
    for table in (*run.log.fills(), *run.log.messages()):
        digest.update(table.tobytes())
    for event in run.log.single():
        digest.update(repr(event if words else evolve(event, text="")).encode())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(fingerprint(fw.load(sys.argv[1]).run(seed=int(sys.argv[2]))))
