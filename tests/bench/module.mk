# SPDX-License-Identifier: MIT
# The host's side of `make bench`.
$(BIN)/bench-%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -o $@ $< -lpthread

ALL += $(BIN)/bench-host $(BIN)/bench-net $(BIN)/bench-own-mm
