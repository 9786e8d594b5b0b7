# SPDX-License-Identifier: MIT
# The lab: the same guest on real Xen (in Bochs) and on Pavane; and Debian's kernel with VT-x (in
# Bochs). The kernel module is built for LAB_KVER with LAB_HEADERS (both empty without headers).
LAB_KVER    = $(shell tests/lab/kernel --version 2>/dev/null)
LAB_HEADERS = $(shell tests/lab/kernel --headers 2>/dev/null)
LAB_TESTS  := $(B)/tests/kvm-smoke

$(LAB_TESTS): $(B)/tests/%: tests/lab/%.c tests/lab/kvm.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -o $@ $< tests/lab/kvm.c

ALL += $(LAB_TESTS)

.PHONY: test-xen lab lab-shell
test-xen: all
	@tests/lab/test-xen

lab:
	@scripts/deps && $(MAKE) --no-print-directory -s all && tests/lab/run

lab-shell:
	@scripts/deps && $(MAKE) --no-print-directory -s all && tests/lab/shell
