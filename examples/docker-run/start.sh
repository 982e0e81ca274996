#!/bin/sh
# Two debuggers. The command lines are read as they stand in the script; nothing runs.
set -eu

# Reaches the host: SYS_PTRACE, the host's processes in view, and AppArmor told to stand aside. It can write into
# the memory of a process of the host that runs as root.
docker run --detach --name host-debugger \
    --pid host \
    --cap-add SYS_PTRACE \
    --security-opt apparmor=unconfined \
    registry.example/debugger:2

# Does not: the same capability, with only the processes of the container to be debugged in view.
docker run --detach --name web-debugger \
    --pid container:web \
    --cap-drop ALL \
    --cap-add SYS_PTRACE \
    registry.example/debugger:2
