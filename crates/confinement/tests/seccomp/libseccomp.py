"""Builds filters with the real libseccomp, for the tests that compare it with the model.

Reads one request a line from standard input, {"default": …, "architectures": […], "syscalls": [OCI rules]}, and
answers one line: {"program": [[code, jt, jf, k], …], "numbers": {architecture: {name: number}}}, or
{"refused": reason} where libseccomp refuses a rule. Rules are added the way runc and crun add them.
"""

import json
import os
import signal
import struct
import sys
import tempfile

import seccomp

OPERATORS = {
    "SCMP_CMP_NE": seccomp.NE,
    "SCMP_CMP_LT": seccomp.LT,
    "SCMP_CMP_LE": seccomp.LE,
    "SCMP_CMP_EQ": seccomp.EQ,
    "SCMP_CMP_GE": seccomp.GE,
    "SCMP_CMP_GT": seccomp.GT,
    "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}


def action(rule):
    name = rule["action"]
    if name == "SCMP_ACT_ERRNO":
        return seccomp.ERRNO(rule.get("errnoRet", 1))
    return {
        "SCMP_ACT_ALLOW": seccomp.ALLOW,
        "SCMP_ACT_LOG": seccomp.LOG,
        "SCMP_ACT_TRAP": seccomp.TRAP,
        "SCMP_ACT_KILL_PROCESS": seccomp.KILL_PROCESS,
    }[name]


def architecture(name):
    return getattr(seccomp.Arch, name.removeprefix("SCMP_ARCH_"))


def build(request):
    default = seccomp.ERRNO(request["default"])
    program = seccomp.SyscallFilter(default)
    for name in request["architectures"]:
        if not program.exist_arch(architecture(name)):
            program.add_arch(architecture(name))
    if int(seccomp.Arch()) not in [int(architecture(name)) for name in request["architectures"]]:
        program.remove_arch(seccomp.Arch())
    for rule in request["syscalls"]:
        if action(rule) == default:
            continue
        for name in rule["names"]:
            conditions = [
                seccomp.Arg(a["index"], OPERATORS[a["op"]], a["value"], a["valueTwo"]) for a in rule["args"]
            ]
            indices = [a["index"] for a in rule["args"]]
            if len(set(indices)) < len(indices):
                for condition in conditions:
                    program.add_rule(action(rule), name, condition)
            else:
                program.add_rule(action(rule), name, *conditions)
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        text = os.read(file.fileno(), 1 << 24)
    return [list(struct.unpack_from("=HBBI", text, at)) for at in range(0, len(text), 8)]


def main():
    for line in sys.stdin:
        request = json.loads(line)
        names = {name for rule in request["syscalls"] for name in rule["names"]}
        # libseccomp's list of comparisons can become a ring; the signal then ends the process.
        signal.alarm(2)
        try:
            answer = {
                "program": build(request),
                "numbers": {
                    a: {n: seccomp.resolve_syscall(architecture(a), n) for n in names}
                    for a in request["architectures"]
                },
            }
        except (RuntimeError, OSError) as error:
            answer = {"refused": str(error)}
        signal.alarm(0)
        print(json.dumps(answer), flush=True)


main()
