/* SPDX-License-Identifier: MIT */
#include "toolstack/backends/common/backend.h"

static int blk_open(struct dev *d)
{
	return 0;
}
static int blk_features(struct dev *d)
{
	return dev_write(d, "max-ring-page-order", "%u", 4);
}
static int blk_connect(struct dev *d)
{
	return -1;
}
static bool blk_work(struct dev *d)
{
	return false;
}
static void blk_disconnect(struct dev *d)
{
}

static const struct backend pvblk = {
	.name = "pvblk",
	.class = "vbd",
	.help = "A disk from a raw image or block device.",
	.connect_at = 3,
	.state_size = 64,
	.open = blk_open,
	.features = blk_features,
	.connect = blk_connect,
	.work = blk_work,
	.arm = blk_work,
	.disconnect = blk_disconnect,
};

int main(int argc, char **argv)
{
	return backend_main(argc, argv, &pvblk);
}
