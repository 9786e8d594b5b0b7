# SPDX-License-Identifier: MIT
# lab-bench: see bench.h. `make lab-bench` runs it in the lab.
LAB_BENCH_SRC := $(wildcard tests/bench/lab/*.c)

$(B)/tests/lab-bench: $(LAB_BENCH_SRC) tests/bench/lab/bench.h $(wildcard tests/pvhost/raw.[ch]) \
		$(wildcard tests/lab/kvm.[ch]) host-driver/libpavane/internal.h $(LIBPAVANE)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(HOSTCFLAGS)) -pthread -o $@ $(LAB_BENCH_SRC) \
		tests/pvhost/raw.c tests/lab/kvm.c $(LIBPAVANE)

ALL += $(B)/tests/lab-bench

.PHONY: lab-bench
lab-bench:
	@scripts/deps && $(MAKE) --no-print-directory -s all && tests/bench/lab/run && tests/bench/pv/run
