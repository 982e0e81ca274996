# docker commands kept for later
docker run \
    --rm \
    --privileged \
    --volume /dev:/dev \
    builder:3 \
    make all   # build
ÿÿÿÿ