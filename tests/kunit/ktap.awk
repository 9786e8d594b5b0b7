# SPDX-License-Identifier: MIT
# A kernel's log with KTAP in it becomes "ok SUITE.CASE", "not ok SUITE.CASE: why" and
# "skip SUITE.CASE: why". `want` names the suites that must be there. A suite with fewer results
# than it planned, and any complaint of the kernel's, are a "not ok" too.
function rest(text) { sub(/^[^0-9]*[0-9]+ (- )?/, "", text); return text }
function join(text) { sub(/^[ \t]+/, "", text); why = why (why == "" ? "" : " ") text }
function lost() {
	if (suite != "" && got < planned)
		print "not ok " suite ": " got " of " planned " results" (at == "" ? "" : ", the last was " at)
	suite = ""
}

{ sub(/\r$/, ""); sub(/^\[ *[0-9]+\.[0-9]+\] /, "") }
/^    # Subtest: / { lost(); suite = substr($0, 16); planned = got = 0; at = why = ""; next }
/^    1\.\.[0-9]+$/ { planned = substr($0, 8) + 0; next }
/^    # [a-z0-9_]+: / {
	collecting = why == ""
	if (collecting) join(substr($0, index($0, ": ") + 2))
	next
}
/^    (not )?ok [0-9]/ {
	at = rest($0)
	got++
	skip = index(at, " # SKIP")
	if (skip) {
		print "skip " suite "." substr(at, 1, skip - 1) ": " substr(at, skip + 8)
		at = substr(at, 1, skip - 1)
	}
	else if (/^    ok/)
		print "ok " suite "." at
	else
		print "not ok " suite "." at ": " (why == "" ? "no reason given" : why)
	bad += /^    not ok/
	why = ""
	collecting = 0
	next
}
/^(not )?ok [0-9]/ {
	name = rest($0)
	sub(/ # SKIP.*/, "", name)
	seen[name] = 1
	if (/^not ok/ && !bad && got == planned) print "not ok " name ": the suite itself failed"
	bad = 0
	lost()
	next
}
collecting { join($0) }
!said && /WARNING: CPU|BUG:|BUG |Oops|general protection fault|unchecked MSR|Kernel panic/ {
	print "not ok kernel-log: " $0 (suite == "" ? "" : " (" suite (at == "" ? "" : ", after " at) ")")
	said = 1
}
END {
	lost()
	n = split(want, names, " ")
	for (i = 1; i <= n; i++)
		if (!(names[i] in seen)) print "not ok " names[i] ": the suite did not run to its end"
}
