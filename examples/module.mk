# SPDX-License-Identifier: MIT
# The demo guest's disk: an ext4 image with the user programs and a text.
DEMO_IMG  := $(B)/guest/demo.img
DEMO_TREE := $(B)/guest/demo-tree

# The ramdisk is made of the same programs; their list is not known yet where this is read.
$(DEMO_IMG): $(B)/guest/ramdisk examples/demo.txt examples/module.mk
	rm -rf $@ $(DEMO_TREE)
	mkdir -p $(DEMO_TREE)
	cp $(PVG_USER_BIN) $(DEMO_TREE)/
	cp examples/demo.txt $(DEMO_TREE)/readme.txt
	PATH=$$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -L demo -d $(DEMO_TREE) $@ 8M >$@.log 2>&1 || \
		{ cat $@.log >&2; false; }

ALL += $(DEMO_IMG)
