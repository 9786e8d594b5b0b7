# SPDX-License-Identifier: MIT
# bash completion for pvctl
_pvctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]}
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "create list console info shutdown reboot destroy pause
			unpause vcpu-list domid domname uptime dmesg bench exec scan --help" -- "$cur")
		return
	fi
	case $cmd in
	create)
		case ${COMP_WORDS[COMP_CWORD - 1]} in
		--memory | --vcpus | --name | --cmdline) return ;;
		--provider)
			mapfile -t COMPREPLY < <(compgen -W "auto process vtx" -- "$cur")
			return
			;;
		esac
		mapfile -t COMPREPLY < <(compgen -f -W "--kernel --ramdisk --cmdline --memory --vcpus
			--name --provider --console --paused --wait --help" -- "$cur")
		;;
	console | info | shutdown | reboot | destroy | pause | unpause | vcpu-list | domid | list)
		mapfile -t COMPREPLY < <(compgen -W "$(pvctl list 2>/dev/null | awk 'NR > 2 { print $1 }')" -- "$cur")
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
	exec) mapfile -t COMPREPLY < <(compgen -c -W "xl xentop xenstore-ls xenstore-watch" -- "$cur") ;;
	esac
}
complete -o filenames -F _pvctl pvctl
