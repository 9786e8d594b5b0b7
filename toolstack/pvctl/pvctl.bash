# SPDX-License-Identifier: MIT
# bash completion for pvctl
_pvctl_domains() {
	pvctl list 2>/dev/null | awk 'NR > 2 { print $1 }'
}
# block-*, cd-*, network-*: a domain, then one of its devices or what is to become one
_pvctl_device() {
	local cmd=$1 cur=$2 domain=${COMP_WORDS[2]}
	if [ "$COMP_CWORD" = 2 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_pvctl_domains) --help" -- "$cur")
		return
	fi
	case $cmd:$COMP_CWORD in
	block-attach:*) mapfile -t COMPREPLY < <(compgen -f -W "format= vdev=xvd access=ro devtype=cdrom" -- "$cur") ;;
	network-attach:*) mapfile -t COMPREPLY < <(compgen -W "mode= mac= bridge= host=no hostfwd=tcp: rate=" -- "$cur") ;;
	block-list:* | network-list:*) mapfile -t COMPREPLY < <(compgen -W "--json" -- "$cur") ;;
	network-detach:3)
		mapfile -t COMPREPLY < <(compgen -W "$(pvctl network-list "$domain" 2>/dev/null |
			awk 'NR > 1 { print $1 }') --force" -- "$cur")
		;;
	*:3)
		mapfile -t COMPREPLY < <(compgen -W "$(pvctl block-list "$domain" 2>/dev/null |
			awk 'NR > 1 { print $3 }')" -- "$cur")
		;;
	cd-insert:4) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "--force --shrink" -- "$cur") ;;
	esac
}
_pvctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]} options=
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "create list console info shutdown reboot destroy pause
			unpause vcpu-list domid domname uptime dmesg bench exec gdb trace check scan block-attach block-detach
			block-list block-resize cd-insert cd-eject network-attach network-detach
			network-list --help --version" -- "$cur")
		return
	fi
	case $cmd in
	create)
		case ${COMP_WORDS[COMP_CWORD - 1]} in
		--memory | --vcpus | --name | --cmdline) return ;;
		--net)
			mapfile -t COMPREPLY < <(compgen -W "mode=slirp mode=tap mode=bridge mac= bridge=
				host=no hostfwd=tcp: rate= vifname= mtu=" -- "$cur")
			return
			;;
		--provider)
			mapfile -t COMPREPLY < <(compgen -W "auto process translate vtx" -- "$cur")
			return
			;;
		esac
		mapfile -t COMPREPLY < <(compgen -f -W "--kernel --ramdisk --cmdline --memory --vcpus
			--name --provider --disk --net --trace --check --dry-run --console --paused --wait --help" -- "$cur")
		;;
	block-* | cd-* | network-*) _pvctl_device "$cmd" "$cur" ;;
	console | info | list | uptime | vcpu-list | shutdown | reboot | destroy | pause | unpause | domid)
		case $cmd in
		console) options="--read-only --log" ;;
		info | list | uptime | vcpu-list) options=--json ;;
		shutdown) options=--wait ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$(_pvctl_domains) $options --help" -- "$cur")
		;;
	scan)
		case ${COMP_WORDS[COMP_CWORD - 1]} in
		--severity)
			mapfile -t COMPREPLY < <(compgen -W "note emulated faults silent" -- "$cur")
			return
			;;
		--symbol | --allow) return ;;
		esac
		mapfile -t COMPREPLY < <(compgen -f -W "--severity --symbol --allow --baseline
			--print-baseline --summary --quiet --all --verbose --json --help" -- "$cur")
		;;
	gdb)
		if [ "$COMP_CWORD" = 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_pvctl_domains) --help" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -f -W "--port --unix --stdio --" -- "$cur")
		fi
		;;
	trace | check)
		if [ "$COMP_CWORD" = 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_pvctl_domains) --help" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -f -W "off" -- "$cur")
		fi
		;;
	exec) mapfile -t COMPREPLY < <(compgen -c -W "xl xentop xenstore-ls xenstore-watch" -- "$cur") ;;
	esac
}
complete -o filenames -F _pvctl pvctl
