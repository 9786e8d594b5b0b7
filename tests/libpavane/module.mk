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

$(B)/tests/libpavane/intruder-pie: tests/libpavane/intruder.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -static-pie -o $@ $<

# The page's first program, of at most 30 lines, and what it says that it prints.
$(B)/tests/libpavane/first.c $(B)/tests/libpavane/first.txt &: docs/libpavane.md
	@mkdir -p $(@D)
	@awk '/^```/ { p = $$0 == "```c"; next } p' $< >$(B)/tests/libpavane/first.c
	@awk '/^```/ { p = $$0 == "```text"; next } p' $< >$(B)/tests/libpavane/first.txt
	@lines=$$(wc -l <$(B)/tests/libpavane/first.c); ((lines > 0 && lines <= 30)) || \
		{ echo "$<: a first program of $$lines lines, not 1 to 30" >&2; exit 1; }

$(B)/tests/libpavane/first: $(B)/tests/libpavane/first.c $(LIBPAVANE)
	$(CC) $(HOSTCFLAGS) -I host-driver/libpavane -o $@ $< $(LIBPAVANE) -pthread

ALL += $(LIBPAVANE_TESTS) $(addprefix $(B)/tests/libpavane/,intruder intruder-pie first)
