# SPDX-License-Identifier: MIT
# libpavane runs in exceptions and at exits, with the vector registers of what they interrupted.
PVLIB_SRC  := $(wildcard host-driver/libpavane/*.c)
PVLIB_OBJ  := $(PVLIB_SRC:%.c=$(B)/%.o) $(B)/host-driver/libpavane/asm.o
LIBPAVANE  := $(B)/host-driver/libpavane.a

$(PVLIB_OBJ): CFLAGS_EXTRA := -mgeneral-regs-only

$(B)/host-driver/libpavane/%.o: host-driver/libpavane/%.c host-driver/libpavane/module.mk
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIE $(CFLAGS_EXTRA) -c -o $@ $<

$(B)/host-driver/libpavane/asm.o: host-driver/libpavane/asm.S host-driver/libpavane/internal.h
	@mkdir -p $(@D)
	$(CC) -I. -c -o $@ $<

$(LIBPAVANE): $(PVLIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

ALL += $(LIBPAVANE)
