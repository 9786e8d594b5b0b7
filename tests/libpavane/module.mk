# SPDX-License-Identifier: MIT
# Programs inside, for the lab.
LIBPAVANE_TESTS := $(addprefix $(B)/tests/libpavane/,inside rings)

$(LIBPAVANE_TESTS): $(B)/tests/libpavane/%: tests/libpavane/%.c tests/pvhost/check.h \
		host-driver/libpavane/pavane.h $(LIBPAVANE)
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -pthread -o $@ $< $(LIBPAVANE)

# What the sandbox is to hold.
$(B)/tests/libpavane/intruder: tests/libpavane/intruder.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -static -o $@ $<

ALL += $(LIBPAVANE_TESTS) $(B)/tests/libpavane/intruder
