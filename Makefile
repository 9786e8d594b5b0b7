# SPDX-License-Identifier: MIT
# Pavane: one non-recursive build. Each folder adds its targets in a module.mk.
# `make help` lists what a person calls.
SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

B       := build
BIN      = $(B)/bin
LIB      = $(B)/lib/pavane
PREFIX  ?= /usr/local
DESTDIR ?=

CC      ?= cc
ifeq ($(origin CC),default)
CC      := gcc
endif
WARN    := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes \
	   -Wpointer-arith -Wvla -Wno-unused-parameter
CFLAGS  ?= $(if $(filter 1,$(SAN)),-O1,-O2) -g
# SAN=1 builds user space with ASan and UBSan into its own tree.
ifeq ($(SAN),1)
B       := build/san
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
endif
HOSTCFLAGS = $(CFLAGS) $(WARN) $(SANFLAGS) -std=gnu11 -D_GNU_SOURCE -I. -fno-common -MMD -MP

# What modules add to: `make all`, `make install`. Suites are in scripts/test.
ALL      :=
INSTALLS :=

include $(wildcard */module.mk */*/module.mk */*/*/module.mk)

# On all processors, what each has to say in one piece.
BUILD = $(MAKE) --no-print-directory -s -j$$(nproc) --output-sync all

.PHONY: all deps run test bench lint loc install clean help
all: $(ALL)

help:
	@sed -n 's/^##  //p' Makefile

##  make          build everything under build/
##  make deps     install what is missing (apt-get, needs root or sudo)
##  make run      build, create the demo guest, attach to its shell
##  make test     every test; ends with "N passed, N failed"
##  make lab      the VT-x tests: Debian's kernel in an emulated machine with VT-x
##  make lab-shell  a shell in that machine
##  make lab-linux  Debian's kernel as a guest in that machine
##  make lab-devices  its own disk and network drivers on our backends
##  make lab-bench  speed with VT-x against plain Linux, KVM and real Xen, in instructions
##  make bench    speed, as ratios, in a table and as JSON
##  make bench-linux  Debian's kernel: native, QEMU (TCG), real Xen on it, Pavane
##  make lint     format, clang-tidy, cppcheck, sparse
##  make loc      lines of the host driver in the kernel
##  make install  DESTDIR= PREFIX=/usr/local
##  make clean
deps:
	@scripts/deps

run:
	@scripts/deps && $(BUILD) && scripts/run-demo

test:
	@scripts/deps && $(BUILD) translate-tests && scripts/test

bench:
	@scripts/deps fio qemu-system-x86 && $(BUILD) && tests/bench/run

lint:
	@scripts/deps && scripts/lint

loc:
	@scripts/loc

install: all $(INSTALLS)

clean:
	rm -rf build

-include $(shell find $(B) -name kunit -prune -o -name '*.d' -print 2>/dev/null)
