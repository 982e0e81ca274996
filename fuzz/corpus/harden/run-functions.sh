#!/usr/bin/env bash
# Lines inside of functions, substitutions, here documents.
run() { # a function
  docker run --rm --privileged "$@" # arguments unknown
}
id=$(docker run -d --cap-add SYS_PTRACE --pid host trace:1) # substitution
cat <<'TEXT'
docker run --privileged not-this
TEXT
docker container run --volume=/run/docker.sock:/run/docker.sock --group-add 999 portainer/portainer-ce # long name
docker run --volume '/home/a b:/home/a b' --volume "/etc":/etc odd:1 # quotes and blanks
time docker run --mount 'type=bind,src=/var/lib,dst=/var/lib' --user 0 lib:1 &
wait # for it
ÿÿÿÿ