/* SPDX-License-Identifier: MIT */
/* The broker without guests: what it believes of clients, of guests' memory, and of pvdoms. */
#include "tests/unit/fake_pvdoms.h"

static void arena_bounds(void **state)
{
	const uint64_t base = 0x10000, size = 4 * PAGE_SIZE;
	struct client c = {0};
	int fd = memfd_create("arena", MFD_ALLOW_SEALING);
	char b[16] = "";

	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(arena_attach(&c, base, size, -1), -EINVAL);
	assert_int_equal(arena_attach(&c, base, size, fd), -EINVAL); /* it could shrink */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(arena_attach(&c, base, 2 * size, fd), -EINVAL); /* longer than the file */
	assert_int_equal(arena_attach(&c, -PAGE_SIZE, size, fd), -EINVAL); /* wraps */
	assert_int_equal(copy_in(&c, b, base, 1), -EFAULT);		   /* none yet */
	assert_int_equal(arena_attach(&c, base, size, fd), 0);
	assert_int_equal(copy_out(&c, base, "hello", 6), 0);
	assert_int_equal(copy_in(&c, b, base, 6), 0);
	assert_string_equal(b, "hello");
	assert_int_equal(copy_in(&c, b, base + size - 8, 8), 0);
	assert_int_equal(copy_in(&c, b, base + size - 8, 9), -EFAULT);
	assert_int_equal(copy_in(&c, b, base + size, 1), -EFAULT);
	assert_int_equal(copy_in(&c, b, base - 1, 1), -EFAULT);
	assert_int_equal(copy_in(&c, b, 0, 1), -EFAULT);
	assert_null(arena_ptr(&c, base + 8, UINT64_MAX - 4));
	assert_null(arena_ptr(&c, base, UINT64_MAX));
	arena_detach(&c);
	close(fd);
}

static void log_ring(void **state)
{
	static char buf[65536];
	uint32_t i = 0, n;

	log_clear();
	log_line("first %d", 1);
	n = log_read(buf, sizeof(buf), &i, false);
	assert_string_equal(buf, "(XEN) first 1\n");
	assert_int_equal(n, 14);
	assert_int_equal(log_read(buf, sizeof(buf), &i, true), 0);
	log_guest(7, "a\033[2Jb\nc\n", 9);
	n = log_read(buf, sizeof(buf), &i, true);
	buf[n] = 0;
	assert_string_equal(buf, "(d7) a.[2Jb\n(d7) c\n");
	for (int k = 0; k < 4000; k++)
		log_line("line %d of many", k);
	i = 0;
	n = log_read(buf, sizeof(buf), &i, true); /* what was there is long overwritten */
	assert_int_equal(n, 32768);
	assert_memory_equal(buf + n - 11, "99 of many\n", 11);
	log_clear();
	assert_int_equal(log_read(buf, sizeof(buf), &i, false), 0);
}

static void state_dump(void **state)
{
	static uint8_t buf[4096] __attribute__((aligned(8)));
	size_t len = store_dump(buf, sizeof(buf), 11, 12), at = 16;
	bool name = false;
	int nodes = 0;

	assert_memory_equal(buf, "xenstore\0\0\0\1\0\0\0\0", 16);
	assert_true(len < sizeof(buf));
	for (;;) {
		uint32_t *h = (uint32_t *)(buf + at);

		assert_true(at + 8 <= len);
		assert_int_equal(at % 8, 0);
		at += 8 + h[1];
		if (!h[0])
			break;
		if (h[0] == 1)
			assert_true(h[2] == 11 && h[3] == 12);
		if (h[0] == 5) {
			const char *path = (char *)h + 8 + 16 + 4;

			nodes++;
			if (!strcmp(path, "/local/domain/0/name"))
				name = !memcmp(path + strlen(path) + 1, "Domain-0", 8);
		}
	}
	assert_int_equal(at, len);
	assert_true(nodes >= 10 && name);
	assert_int_equal(store_dump(buf, 64, 1, 2), 64); /* no room: cut, not written past */
}

static long map_one(struct client *c, unsigned dom, uint32_t ref, bool write, uint64_t *mfn)
{
	struct pvd_req q = {.len = 4, .arg = {dom, write, PVD_NO_NOTIFY, PVD_NO_NOTIFY}};
	int fd;

	return grant_map(c, &q, &ref, mfn, &fd);
}

static void grant_maps(void **state)
{
	struct dom *d = doms;
	struct client c = {0};
	uint64_t mfn = 0;
	struct pvdom_req q;
	long a, b;

	entry(d, 8, GTF_permit_access, 0, PVDOM_MFN_RAM + 1);
	will_answer(1, -EINVAL); /* a page table */
	assert_int_equal(map_one(&c, 1, 8, true, &mfn), -EINVAL);
	assert_int_equal(got(1, NULL).op, CTL_HOLD);
	assert_int_equal(d->grants[8].flags, GTF_permit_access);
	will_answer(1, 1);
	a = map_one(&c, 1, 8, true, &mfn);
	assert_true(a >= 0);
	assert_int_equal(mfn, PVDOM_MFN_RAM + 1);
	q = got(1, NULL);
	assert_true(q.op == CTL_HOLD && q.arg[0] == mfn);
	assert_int_equal(d->grants[8].flags, GTF_permit_access | GTF_reading | GTF_writing);
	b = map_one(&c, 1, 8, false, &mfn);
	assert_true(b >= 0 && b != a);
	assert_true(silent(1));
	d->grants[8].frame = PVDOM_MFN_RAM; /* the guest's to write */
	will_answer(1, 0);
	assert_int_equal(grant_unmap(&c, a), 0);
	q = got(1, NULL);
	assert_true(q.op == CTL_DROP && q.arg[0] == mfn);
	assert_int_equal(d->grants[8].flags, GTF_permit_access | GTF_reading);
	assert_int_equal(grant_unmap(&c, a), -EINVAL);
	grants_of_client(&c); /* it died */
	assert_int_equal(d->grants[8].flags, GTF_permit_access);
	assert_int_equal(d->refs, 1);
}

static void held(unsigned dom, uint32_t op, uint64_t mfn, uint64_t n)
{
	const struct pvdom_req q = got(dom, NULL);

	assert_true(q.op == op && q.arg[0] == mfn && q.arg[1] == n);
}

static void holds(void **state)
{
	const uint64_t mfn = PVDOM_MFN_RAM;
	struct client c = {0};
	uint64_t a, b;

	assert_int_equal(hold_begin(&c, 3, mfn, 1, &a), -ESRCH);
	will_answer(1, 0); /* a page table */
	assert_int_equal(hold_begin(&c, 1, mfn, 4, &a), 0);
	held(1, CTL_HOLD, mfn, 4);
	will_answer(1, 5); /* a liar: as many would be mapped */
	assert_int_equal(hold_begin(&c, 1, mfn, 4, &a), -EIO);
	held(1, CTL_HOLD, mfn, 4);
	assert_null(c.holds);
	assert_int_equal(doms[0].refs, 1);
	will_answer(1, 3);
	assert_int_equal(hold_begin(&c, 1, mfn, 4, &a), 3);
	will_answer(2, 1);
	assert_int_equal(hold_begin(&c, 2, mfn + 1, 1, &b), 1);
	assert_true(a != b);
	held(1, CTL_HOLD, mfn, 4);
	held(2, CTL_HOLD, mfn + 1, 1);
	will_answer(1, 0);
	assert_int_equal(hold_end(&c, a), 0);
	held(1, CTL_DROP, mfn, 3); /* what is held, not what was asked for */
	assert_int_equal(hold_end(&c, a), -EINVAL);
	will_answer(2, 0);
	holds_of_client(&c); /* it died */
	held(2, CTL_DROP, mfn + 1, 1);
	assert_true(doms[0].refs == 1 && doms[1].refs == 1);
}

static void hostile_grants(void **state)
{
	static const struct {
		uint16_t flags, domid;
		uint32_t frame;
		bool write;
	} bad[] = {
		{0, 0, PVDOM_MFN_RAM, false},
		{GTF_accept_transfer, 0, PVDOM_MFN_RAM, false},
		{GTF_transitive, 0, PVDOM_MFN_RAM, false},
		{GTF_permit_access | GTF_sub_page, 0, PVDOM_MFN_RAM, false},
		{GTF_permit_access, 2, PVDOM_MFN_RAM, false},
		{GTF_permit_access | GTF_readonly, 0, PVDOM_MFN_RAM, true},
		{GTF_permit_access, 0, 0, false},
		{GTF_permit_access, 0, PVDOM_MFN_SHARED_INFO, false},
		{GTF_permit_access, 0, PVDOM_MFN_GRANT, true},
		{GTF_permit_access, 0, FRAMES, true},
		{GTF_permit_access, 0, UINT32_MAX, true},
	};
	struct client c = {0};
	uint64_t mfn;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		entry(doms, 8, bad[i].flags, bad[i].domid, bad[i].frame);
		assert_int_equal(map_one(&c, 1, 8, bad[i].write, &mfn), -EINVAL);
		assert_int_equal(doms->grants[8].flags, bad[i].flags); /* nothing left set */
	}
	assert_int_equal(map_one(&c, 1, NR_GRANTS, false, &mfn), -EINVAL);
	assert_int_equal(map_one(&c, 1, UINT32_MAX, false, &mfn), -EINVAL);
	assert_int_equal(map_one(&c, 3, 8, false, &mfn), -ESRCH);
	assert_null(c.maps);
	assert_int_equal(doms->refs, 1);
}

static int16_t copy_status(struct gnttab_copy op)
{
	grant_copy_domain(doms + 1, &op, 1); /* domain 2 copies */
	return op.status;
}

static void grant_copies(void **state)
{
	struct pvd_copy to = {
		.dst_ref = 8, .dst_dom = 1, .dst_off = 100, .len = 5, .dst_is_ref = 1};
	struct pvd_copy from = {
		.src_ref = 8, .src_dom = 1, .src_off = 100, .len = 5, .src_is_ref = 1};
	struct gnttab_copy op = {.len = 5, .flags = GNTCOPY_source_gref};
	char b[PAGE_SIZE] = "hello";

	entry(doms, 8, GTF_permit_access, 0, PVDOM_MFN_RAM);
	will_answer(1, 1);
	will_answer(1, 0);
	assert_int_equal(grant_copy_client(&to, b, 5), GNTST_okay);
	assert_int_equal(got(1, NULL).op, CTL_HOLD);
	assert_int_equal(got(1, NULL).op, CTL_DROP);
	memset(b, 0, 5);
	assert_int_equal(grant_copy_client(&from, b, 0), GNTST_okay);
	assert_memory_equal(b, "hello", 5);
	assert_int_equal(grant_copy_client(&to, b, 4), GNTST_bad_copy_arg); /* fewer bytes came */
	from.src_off = PAGE_SIZE - 4;
	assert_int_equal(grant_copy_client(&from, b, 0), GNTST_bad_copy_arg);
	from.src_dom = 3;
	assert_int_equal(grant_copy_client(&from, b, 0), GNTST_bad_copy_arg);
	assert_int_equal(doms->grants[8].flags, GTF_permit_access);

	entry(doms, 9, GTF_permit_access | GTF_readonly, 2, PVDOM_MFN_RAM);
	op.source.u.ref = 9;
	op.source.domid = 1;
	op.source.offset = 100;
	op.dest.u.gmfn = PVDOM_MFN_RAM + 2;
	op.dest.domid = DOMID_SELF;
	assert_int_equal(copy_status(op), GNTST_okay);
	assert_int_equal(pread(doms[1].ram_fd, b, 5, (PVDOM_MFN_RAM + 2) * PAGE_SIZE), 5);
	assert_memory_equal(b, "hello", 5);
	op.dest.u.gmfn = FRAMES;
	assert_int_equal(copy_status(op), GNTST_bad_page);
	op.dest.u.gmfn = PVDOM_MFN_RAM;
	op.dest.domid = 1; /* a frame of another domain's by its number */
	assert_int_equal(copy_status(op), GNTST_bad_domain);
	op.dest.domid = DOMID_SELF;
	op.source.domid = 9;
	assert_int_equal(copy_status(op), GNTST_bad_domain);
	op.source.domid = 1;
	op.source.u.ref = 8; /* granted to domain 0 */
	assert_int_equal(copy_status(op), GNTST_general_error);
	op.source = (struct gnttab_copy_ptr){{.gmfn = PVDOM_MFN_RAM}, DOMID_SELF, 0};
	op.dest = (struct gnttab_copy_ptr){{.ref = 9}, 1, 0};
	op.flags = GNTCOPY_dest_gref; /* read-only */
	assert_int_equal(copy_status(op), GNTST_general_error);
}

static void virqs(void **state)
{
	struct client c = {0};
	int fds[2];
	uint64_t n;

	assert_int_equal(port_bind_virq(&c, 1000, fds), -EINVAL);
	assert_true(port_bind_virq(&c, VIRQ_DOM_EXC, fds) > 0);
	virq_raise(VIRQ_CONSOLE);
	assert_true(read(fds[0], &n, 8) < 0);
	virq_raise(VIRQ_DOM_EXC);
	virq_raise(VIRQ_DOM_EXC);
	assert_int_equal(read(fds[0], &n, 8), 8);
	ports_of_client(&c);
}

/* A pvdom that lies: late, short, and oversized answers. */
static void lying_pvdom(void **state)
{
	struct pvdom_rsp r = {.ret = 0, .len = 1 << 30};
	struct pvdom_info info;
	uint32_t len = 4;
	char b[4];

	doms->stale = 1;
	will_answer(1, 111); /* to a request given up long ago */
	will_answer(1, 222);
	assert_int_equal(ctl(doms, CTL_GRANT_FRAMES, 0, 0), 222);
	assert_int_equal(doms->stale, 0);
	send(pvdom_fd[0], &r, sizeof(r), 0);
	assert_int_equal(ctl_call(doms, CTL_INFO, (uint64_t[4]){0}, NULL, 0, NULL, b, &len), 0);
	assert_int_equal(len, 0); /* what came, not what it said */
	send(pvdom_fd[0], &r, 3, 0);
	assert_int_equal(ctl(doms, CTL_GRANT_FRAMES, 0, 0), -EIO);
	will_answer(1, INT64_MIN);
	assert_int_equal(ctl(doms, CTL_GRANT_FRAMES, 0, 0), -EIO);
	will_answer(1, 0); /* no payload */
	ctl_info(doms, &info);
	assert_int_equal(info.online_vcpus, 0);
	shutdown(pvdom_fd[0], SHUT_RDWR);
	assert_int_equal(ctl(doms, CTL_GRANT_FRAMES, 0, 0), -EIO);
}

/* What it says of itself is printed. */
static void pvdom_with_a_terminal(void **state)
{
	struct {
		struct pvdom_rsp r;
		struct pvdom_info i;
	} m = {.r = {.len = sizeof(m.i)},
	       .i = {.provider = "a\033[2Jb", .sandbox = "\233c\n", .provider_why = "d\177"}};
	struct pvdom_info info;

	memset(m.i.sandbox + 3, 'x', sizeof(m.i.sandbox) - 3); /* without an end */
	assert_int_equal(send(pvdom_fd[0], &m, sizeof(m), 0), sizeof(m));
	ctl_info(doms, &info);
	assert_string_equal(info.provider, "a?[2Jb");
	assert_memory_equal(info.sandbox, "?c?xx", 5);
	assert_int_equal(strlen(info.sandbox), sizeof(info.sandbox) - 1);
	assert_string_equal(info.provider_why, "d?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_bounds),
		cmocka_unit_test(log_ring),
		cmocka_unit_test(state_dump),
		cmocka_unit_test_setup_teardown(grant_maps, setup, teardown),
		cmocka_unit_test_setup_teardown(holds, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_grants, setup, teardown),
		cmocka_unit_test_setup_teardown(grant_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(virqs, setup, teardown),
		cmocka_unit_test_setup_teardown(lying_pvdom, setup, teardown),
		cmocka_unit_test_setup_teardown(pvdom_with_a_terminal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
