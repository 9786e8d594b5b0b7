# SPDX-License-Identifier: MIT
# Debian's kernel as a guest of the vtx provider (in the lab), and what runs in its user mode.
STOCK_LOAD := load processes signals cpu timers domain
STOCK_OBJS := $(STOCK_LOAD:%=$(B)/tests/stock/%.o)

$(STOCK_OBJS): $(B)/tests/stock/%.o: tests/stock/%.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -c -o $@ $<

$(B)/tests/stock/load: $(STOCK_OBJS)
	$(CC) $(HOSTCFLAGS) -static -pthread -o $@ $^

$(B)/tests/stock/load32: tests/stock/load32.S
	@mkdir -p $(@D)
	$(CC) -m32 -c -o $@.o $<
	ld -m elf_i386 -o $@ $@.o

ALL += $(B)/tests/stock/load $(B)/tests/stock/load32

.PHONY: lab-linux lab-devices
lab-linux:
	@scripts/deps && $(MAKE) --no-print-directory -s all && tests/stock/run

lab-devices:
	@scripts/deps && $(MAKE) --no-print-directory -s all && tests/stock/devices
