#!/bin/bash
# Starts the services of this host.
set -euo pipefail
NAME=web # the name

# the engine's own
docker run -d --name agent --privileged -v /var/run/docker.sock:/var/run/docker.sock agent:1 # one line

# many lines
docker run -d \
  --name "$NAME" \
  --pid=host --cap-add SYS_ADMIN \
  --cap-add=NET_ADMIN \
  -v /:/host:rw \
  -v "$PWD/data":/data \
  -p 80:80 \
  web:2 --serve --port 80

if [ "${1:-}" = debug ]; then # on demand
    docker run --rm -it --network host --security-opt seccomp=unconfined --security-opt=apparmor=unconfined \
        --device /dev/sda:/dev/sda debug sh -c 'docker run --privileged x' # nested words are no line
fi

for i in 1 2 3; do docker run --rm -u root -v /etc:/etc worker:1 "$i"; done # in a loop
echo "started" && docker run --rm -v/root:/root --uts host --ipc host tool # after a word
ÿÿÿÿ