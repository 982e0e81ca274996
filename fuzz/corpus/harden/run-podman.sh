#!/bin/sh
# Podman, as root and with its own words.
sudo podman run -d --name a --privileged docker.io/library/a:1 # all
podman run --rm --cap-add=all --userns=host --pid host -v /:/host:rslave,rw b:1 top # capitals do not matter
podman run --security-opt label=disable --security-opt unmask=ALL \
    --cgroupns host --device=/dev/kmsg c:1
podman create --name d --mount type=bind,source=/etc,target=/etc,ro=false d:1 # long mount
ÿÿÿÿ