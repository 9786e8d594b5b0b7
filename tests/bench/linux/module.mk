# SPDX-License-Identifier: MIT
# bench-linux: see bench.h. `make bench-linux` runs it natively and under four machines.
BENCH_LINUX_SRC := $(wildcard tests/bench/linux/*.c)

# Loops stay loops: a C library's memset or strlen is another one on each CPU.
$(B)/tests/bench-linux: $(BENCH_LINUX_SRC) tests/bench/linux/bench.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(HOSTCFLAGS)) -fno-tree-loop-distribute-patterns -static \
		-o $@ $(BENCH_LINUX_SRC)

# What the gcc row compiles.
$(B)/tests/compile.i: $(BENCH_LINUX_SRC) tests/bench/linux/bench.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(HOSTCFLAGS)) -E -P \
		-include tests/bench/linux/memory.c -include tests/bench/linux/system.c \
		-o $@ tests/bench/linux/main.c

ALL += $(B)/tests/bench-linux $(B)/tests/compile.i

.PHONY: bench-linux
bench-linux:
	@scripts/deps qemu-system-x86 && $(MAKE) --no-print-directory -s all && tests/bench/linux/run
