# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# What xen-run and linux-run share. Both give `die`, and `dir`, a directory of the run's own with
# the files of a CD in $dir/iso and a menu in $dir/isolinux.cfg.
for tool in bochs xorriso; do
	command -v $tool >/dev/null || die "$tool is missing (make deps)"
done
# Instructions in a second of the machine's clock. The fewer, the cheaper are waits for that clock:
# Xen's boot waits for a second of it in loops. BOCHS_IPS: of benchmarks, into whose loops the timer's
# interrupts must not fall too often.
ips=${BOCHS_IPS:-40000000}
bochs_pid="" spent=0 bochs_hz=$(getconf CLK_TCK)

# bochs_start CPUS MIB CONFIG...: boots the CD; more lines of Bochs's own follow.
bochs_start() {
	local cpus=$1 mib=$2 own=("display_library: nogui") args=(-q -f bochsrc) emulator
	shift 2
	emulator=$("${BASH_SOURCE[0]%/*}/emulator" "$cpus") || die "no Bochs (make deps)"
	# Debian's has plugins, a display that is a port, and the debugger, which is to continue, and again
	# after a stray signal.
	if [[ $emulator != */build/lab/bochs ]]; then
		own=('display_library: rfb, options="timeout=0"'
			"sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy")
		args+=(-rc rc)
		printf 'c\n%.0s' {1..100} >"$dir/rc"
	fi
	mkdir -p "$dir/iso/isolinux"
	cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/{ldlinux,libcom32,mboot}.c32 \
		"$dir/iso/isolinux/" || die "isolinux is missing (make deps)"
	mv "$dir/isolinux.cfg" "$dir/iso/isolinux/" || die "cannot write $dir"
	xorriso -as mkisofs -quiet -R -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
		-boot-load-size 4 -boot-info-table -o "$dir/boot.iso" "$dir/iso" >"$dir/xorriso.log" 2>&1 ||
		die "xorriso: $(tail -n 1 "$dir/xorriso.log")"
	cat >"$dir/bochsrc" <<CFG
cpu: model=${cpu:-corei7_skylake_x}, count=$cpus, ips=$ips, reset_on_triple_fault=0
memory: guest=$mib, host=$mib
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=boot.iso, status=inserted
boot: cdrom
clock: sync=none, time0=1000000000
com1: enabled=1, mode=file, dev=serial
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
$(printf '%s\n' "${own[@]}" "$@")
CFG
	: >"$dir/serial"
	# Whoever connects to a display and leaves must not end it (SIGPIPE).
	(cd "$dir" && trap "" PIPE && exec "$emulator" "${args[@]}") </dev/null >"$dir/bochs.out" 2>&1 &
	bochs_pid=$!
}

bochs_running() { kill -0 "$bochs_pid" 2>/dev/null; }

# bochs_spent: sets `spent`, the processor time in seconds that Bochs has had. It is what the
# machine's own time costs, idle or not, however much else there is to do here: what limits are in.
bochs_spent() {
	local -a stat=()
	read -r -a stat 2>/dev/null <"/proc/$bochs_pid/stat"
	spent=$(((${stat[13]:-0} + ${stat[14]:-0}) / bochs_hz))
}

bochs_stop() {
	[ -n "$bochs_pid" ] && kill -9 "$bochs_pid" 2>/dev/null
	wait 2>/dev/null
}
