# SPDX-License-Identifier: MIT
# One image per test: the file, what all share, the runtime library, and the pv-guest kernel's
# page and grant code.
GT_SRC    := $(filter-out $(addprefix tests/guests/,common.c user.c store.c),$(wildcard tests/guests/*.c))
GT_IMAGES := $(patsubst tests/guests/%.c,$(B)/guests/%,$(GT_SRC))
GT_SHARED := $(addprefix $(B)/tests/guests/,common.o user.o store.o) \
	$(B)/pv-guest/kernel/mm.o $(B)/pv-guest/kernel/grant.o

ALL += $(GT_IMAGES)

# Vector registers are only named in assembler, never by the compiler; hence the library's flags.
$(B)/tests/guests/%.o: tests/guests/%.c tests/guests/module.mk pv-guest/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -c -o $@ $<

$(GT_IMAGES): $(B)/guests/%: $(B)/tests/guests/%.o $(GT_SHARED) $(B)/guest/libpvguest.a \
		pv-guest/arch/pv-guest.lds | $(BIN)/pvctl
	@mkdir -p $(@D)
	$(CC) $(PVG_LDFLAGS) -o $@ $< $(GT_SHARED) $(B)/guest/libpvguest.a
	@$(PVG_CHECK) $@

.SECONDARY: $(GT_SRC:%.c=$(B)/%.o)
