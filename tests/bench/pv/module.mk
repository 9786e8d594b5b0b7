# SPDX-License-Identifier: MIT
# The benchmark guest: rows.c. tests/bench/pv/run boots it on real Xen and on Pavane.
PVB_SRC := $(wildcard tests/bench/pv/*.c tests/bench/pv/*.S)
PVB_OBJ := $(patsubst %,$(B)/%.o,$(basename $(PVB_SRC))) $(B)/pv-guest/kernel/mm.o

ALL += $(B)/guest/pv-bench

$(B)/tests/bench/pv/%.o: tests/bench/pv/%.c tests/bench/pv/module.mk pv-guest/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -I. -c -o $@ $<

$(B)/tests/bench/pv/%.o: tests/bench/pv/%.S tests/bench/pv/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -I. -c -o $@ $<

$(B)/guest/pv-bench: $(PVB_OBJ) $(PVG_LIB) $(PVG_LDS) | $(BIN)/pvctl
	@mkdir -p $(@D)
	$(CC) $(PVG_LDFLAGS) -o $@ $(PVB_OBJ) $(PVG_LIB)
	@$(PVG_CHECK) $@
