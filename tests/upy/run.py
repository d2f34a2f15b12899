"""Run the core's tests under MicroPython: every `test_*` function of every file named.

    MICROPYPATH=firmware:tests/unit/core:.frozen micropython tests/upy/run.py tests/unit/core/test_*.py

Ends with pytest's closing line, so that whoever reads pytest's output can read this.
"""

import gc
import sys
import time


def run(paths):
    """Run the tests of the files; return (passed, failed)."""
    passed = failed = 0
    for path in paths:
        name = path.split("/")[-1]
        if name.endswith(".py"):
            name = name[:-3]
        try:
            module = __import__(name)
        except Exception as error:
            failed += 1
            print("FAILED", name, "at import")
            sys.print_exception(error)
            continue
        tests = sorted(n for n in dir(module) if n.startswith("test_"))
        if not tests:
            failed += 1
            print("FAILED", name, "holds no test")
        for test in tests:
            gc.collect()
            try:
                getattr(module, test)()
                passed += 1
            except Exception as error:
                failed += 1
                print("FAILED", name + "::" + test)
                sys.print_exception(error)
        print(name, len(tests), "tests")
        del sys.modules[name]
    return passed, failed


start = time.ticks_ms()
totals = run(sys.argv[1:])
seconds = time.ticks_diff(time.ticks_ms(), start) / 1000
print("==== %d passed, %d failed in %.2fs (MicroPython) ====" % (totals[0], totals[1], seconds))
sys.exit(1 if totals[1] or not totals[0] else 0)
