#!/bin/sh
# SPDX-License-Identifier: MIT
#
# kill.sh a hundred times.
TRIES=100 exec sh tests/fault/kill.sh
