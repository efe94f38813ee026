# Copyright (c) mmbombo contributors.
"""Runs scripts as processes of their own without importing torch each time.

Importing the libraries takes far longer than most of the commands that the
tests run. This process imports them once; each request on standard input, one
JSON object per line, becomes a forked child that runs the script from its
first line as ``__main__``, with its own arguments, folder and exit status.
Requests are independent: those that arrive while others run run beside them.
"""
import gc
import json
import os
import runpy
import sys
import threading
import traceback

# Answers have standard output to themselves: some libraries print on import.
ANSWERS = os.dup(1)
os.dup2(2, 1)

import mmcv.ops  # noqa: E402,F401
import mmdet.datasets  # noqa: E402,F401
import mmdet.evaluation  # noqa: E402,F401
import mmdet.models  # noqa: E402,F401
import mmengine.runner  # noqa: E402,F401
import mmseg.datasets  # noqa: E402,F401
import mmseg.evaluation  # noqa: E402,F401
import mmseg.models  # noqa: E402,F401
import torch  # noqa: E402
import torch._dynamo  # noqa: E402,F401
import yapf.yapflib.yapf_api  # noqa: E402


def run_script(request: dict) -> int:
    """Be the script; the exit status, as Python would give it."""
    out = os.open(request['log'], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(out, stream)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.chdir(request['cwd'])
    os.environ.update(request['env'])
    script, *arguments = request['argv']
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(script)
    try:
        runpy.run_path(script, run_name='__main__')
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def report(request: dict, pid: int) -> None:
    """Wait for a child and say how it ended."""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    line = json.dumps(dict(id=request['id'], returncode=status)) + '\n'
    # Not print: a fork must not copy its lock while this thread holds it.
    os.write(ANSWERS, line.encode())


def leave_unformatted(text: str, **style) -> tuple:
    """Stands in for yapf, which formats a config for the eye of a reader,
    for seconds, at four places of each run."""
    return text, True


def main() -> int:
    torch.set_num_threads(1)
    yapf.yapflib.yapf_api.FormatCode = leave_unformatted
    # Data sets collect garbage; what is imported is none.
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return run_script(request)
        threading.Thread(target=report, args=(request, pid)).start()
    return 0


if __name__ == '__main__':
    sys.exit(main())
