#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# The first program of docs/libpavane.md prints what the page says. Runs in the lab.
out=$(build/tests/libpavane/first 2>&1)
want=$(cat build/tests/libpavane/first.txt)
[ -n "$want" ] && [ "$out" = "$want" ] && echo "ok the first program of docs/libpavane.md" ||
	echo "not ok the first program of docs/libpavane.md: $out"
