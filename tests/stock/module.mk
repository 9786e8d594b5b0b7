# SPDX-License-Identifier: MIT
# Debian's kernel as a guest of the vtx provider (in the lab), and what runs in its user mode.
STOCK_LOAD := load processes remap signals cpu timers domain
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

# The monitor with a cache for translated code that is full again and again.
STOCK_BLOCK := $(TRANSLATE)/block
$(B)/tests/stock/block.o: $(STOCK_BLOCK).c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIE -mfsgsbase -mgeneral-regs-only -fno-tree-loop-distribute-patterns \
		-DCODE_SIZE=0x400000UL -c -o $@ $<

$(B)/tests/stock/pvdom-small-cache: $(B)/tests/stock/block.o $(PVDOM_OBJS) \
		$(filter-out $(B)/$(STOCK_BLOCK).o,$(MONITOR_OBJS)) $(B)/host-driver/libpavane.a
	$(CC) $(SANFLAGS) -pie -Wl,-z,now -o $@ $^ -lZydis -lseccomp -lpthread

ALL += $(B)/tests/stock/load $(B)/tests/stock/load32 $(B)/tests/stock/pvdom-small-cache

.PHONY: lab-linux lab-devices
lab-linux:
	@scripts/deps && $(MAKE) --no-print-directory -s all && tests/stock/run

lab-devices:
	@scripts/deps && $(MAKE) --no-print-directory -s all && tests/stock/devices
