# SPDX-License-Identifier: MIT
# The lab: the same guest on real Xen (in Bochs) and on Pavane.
.PHONY: test-xen
test-xen: all
	@tests/lab/test-xen

