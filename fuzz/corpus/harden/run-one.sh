# a README line
docker run -it --rm -v /var/run/docker.sock:/var/run/docker.sock wagoodman/dive:latest imgÿÿÿÿ