# SPDX-License-Identifier: MIT
$(B)/tests/porting/liar: tests/porting/liar.c $(ABI_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -Ihypercalls/abi -o $@ $< -lxengnttab -lxenevtchn

ALL += $(B)/tests/porting/liar
