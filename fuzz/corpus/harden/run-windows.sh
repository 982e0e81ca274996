#!/bin/sh
# Windows
docker run -d --privileged --name w win:1
ÿÿÿÿ