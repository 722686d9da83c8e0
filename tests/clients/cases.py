"""The cases of a client script: listed, checked and run the same way whatever the client.

Prints `ok name` or `FAIL name: why` for each case and ends with a failure when any case failed.
"""

import sys
import time

CASES = []


def case(function):
    """Adds a function to the list; its name is the case's name."""
    CASES.append(function)
    return function


def check(condition, why):
    """Like assert, but also when Python runs with -O."""
    if not condition:
        raise AssertionError(why)


def run():
    """Runs every case in order and ends the script."""
    is_good = True
    for function in CASES:
        started = time.monotonic()
        try:
            function()
        except Exception as error:  # noqa: BLE001 - every kind of surprise fails the case, and only the case
            is_good = False
            why = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"FAIL {function.__name__}: {why}", flush=True)
        else:
            print(f"ok {function.__name__}", flush=True)
        print(f"   {time.monotonic() - started:.2f} s", flush=True)
    sys.exit(0 if is_good else 1)
