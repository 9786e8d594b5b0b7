# SPDX-License-Identifier: MIT
# The porting guide's example (docs/porting-drivers.md): one kernel above two drivers, on the bare
# machine with the original, on Xen with its port.
PORT_DIR := hypercalls/examples/porting
PORT_OUT := $(B)/$(PORT_DIR)
PORT_LIB := $(B)/guest/libpvguest.a

$(PORT_OUT)/%.o: $(PORT_DIR)/%.c pv-guest/module.mk hypercalls/examples/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -c -o $@ $<

# The guide goes through the driver function by function, and so shall `pvctl scan`.
$(PORT_OUT)/ata.o: PVG_CFLAGS += -fno-inline-small-functions -fno-inline-functions-called-once

$(PORT_OUT)/%.o: $(PORT_DIR)/%.S
	@mkdir -p $(@D)
	$(CC) -c -o $@ $<

# Boot loaders want 32 bits of it; the code is 64-bit from its second page on all the same.
$(PORT_OUT)/metal.elf: $(addprefix $(PORT_OUT)/,metal_start.o metal.o main.o ata.o) $(PORT_LIB) \
		$(PORT_DIR)/metal.lds
	$(CC) -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		-Wl,-T,$(PORT_DIR)/metal.lds -o $@.64 $(filter %.o %.a,$^)
	objcopy -O elf32-i386 $@.64 $@

$(PORT_OUT)/xen.elf: $(addprefix $(PORT_OUT)/,xen.o main.o vbd.o) $(PORT_LIB) pv-guest/arch/pv-guest.lds \
		| $(BIN)/pvctl
	$(CC) $(PVG_LDFLAGS) -o $@ $(filter %.o %.a,$^)
	@$(PVG_CHECK) $@

ALL += $(PORT_OUT)/metal.elf $(PORT_OUT)/xen.elf
