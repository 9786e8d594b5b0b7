# SPDX-License-Identifier: MIT
$(BIN)/bench-host: tests/bench/host.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -o $@ $<

ALL += $(BIN)/bench-host
