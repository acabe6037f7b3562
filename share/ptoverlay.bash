# Completion of ptoverlay for bash.  Made by tools/docs from the program's own tables.
#
# SPDX-License-Identifier: GPL-2.0-or-later

_ptoverlay_names() {
    compgen -W "$(command ls "${XDG_STATE_HOME:-$HOME/.local/state}"/ptoverlay/sandboxes /var/lib/ptoverlay/sandboxes 2>/dev/null | grep -v ':$')" -- "$cur"
}

_ptoverlay() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} subcommand=run i=1 options=
    COMPREPLY=()
    if ((COMP_CWORD > 1)); then
        case ${COMP_WORDS[1]} in
        run|list|shell|fork|remove|diff|explain|stats|discard|commit|try|export|import|fsck|--check) subcommand=${COMP_WORDS[1]} i=2 ;;
        esac
    fi
    # the words of a command are its own to complete
    if [[ $subcommand == run || $subcommand == try ]]; then
        for ((; i < COMP_CWORD; i++)); do
            case $subcommand:${COMP_WORDS[i]} in
            run:-l|run:--lower|run:-u|run:--upper|run:-w|run:--work|run:-m|run:--mount|run:--direct|run:--read-only|run:--hide|run:-C|run:--chdir|run:-o|run:--overlay|run:--name|run:--trap|run:--trace|run:--report|try:--then|try:-l|try:--lower|try:-u|try:--upper|try:-w|try:--work|try:-m|try:--mount|try:--direct|try:--read-only|try:--hide|try:-C|try:--chdir|try:-o|try:--overlay|try:--name|try:--trap|try:--trace|try:--report) ((++i)) ;;
            *:--) ((++i)); break ;;
            *:-*) ;;
            *) break ;;
            esac
        done
        if ((i < COMP_CWORD)) || [[ $i == "$COMP_CWORD" && $prev == -- ]]; then
            if declare -F _command_offset >/dev/null; then
                _command_offset "$i"
            elif ((i == COMP_CWORD)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$cur")
            fi
            return
        fi
    fi
    case $subcommand:$prev in
        run:-l|run:--lower|run:-u|run:--upper|run:-w|run:--work|run:-m|run:--mount|run:--direct|run:--read-only|run:--hide|run:-C|run:--chdir)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        run:-o|run:--overlay)
            mapfile -t COMPREPLY < <(:)
            return ;;
        run:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        run:--trap)
            mapfile -t COMPREPLY < <(compgen -W 'auto ptrace notify' -- "$cur")
            return ;;
        run:--trace|run:--report)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return ;;
        shell:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        shell:-u|shell:--upper|shell:-l|shell:--lower|shell:-w|shell:--work|shell:-m|shell:--mount|shell:-C|shell:--chdir)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        diff:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        diff:-u|diff:--upper|diff:-l|diff:--lower|diff:-w|diff:--work|diff:-m|diff:--mount)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        diff:--color)
            mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur")
            return ;;
        explain:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        explain:-u|explain:--upper|explain:-l|explain:--lower|explain:-w|explain:--work|explain:-m|explain:--mount)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        stats:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        stats:-u|stats:--upper|stats:-l|stats:--lower|stats:-w|stats:--work|stats:-m|stats:--mount)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        stats:--report)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return ;;
        discard:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        discard:-u|discard:--upper|discard:-l|discard:--lower|discard:-w|discard:--work|discard:-m|discard:--mount)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        commit:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        commit:-u|commit:--upper|commit:-l|commit:--lower|commit:-w|commit:--work|commit:-m|commit:--mount)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        commit:--color)
            mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur")
            return ;;
        try:--then)
            mapfile -t COMPREPLY < <(compgen -W 'ask commit discard keep' -- "$cur")
            return ;;
        try:-l|try:--lower|try:-u|try:--upper|try:-w|try:--work|try:-m|try:--mount|try:--direct|try:--read-only|try:--hide|try:-C|try:--chdir)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        try:-o|try:--overlay)
            mapfile -t COMPREPLY < <(:)
            return ;;
        try:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        try:--trap)
            mapfile -t COMPREPLY < <(compgen -W 'auto ptrace notify' -- "$cur")
            return ;;
        try:--trace|try:--report)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return ;;
        export:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        export:-u|export:--upper|export:-l|export:--lower|export:-w|export:--work|export:-m|export:--mount|export:--oci-layout)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        export:-o|export:--output)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return ;;
        export:--tag)
            mapfile -t COMPREPLY < <(:)
            return ;;
        export:--format)
            mapfile -t COMPREPLY < <(compgen -W 'oci overlayfs' -- "$cur")
            return ;;
        export:--compress)
            mapfile -t COMPREPLY < <(compgen -W 'none gzip zstd' -- "$cur")
            return ;;
        import:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        import:-u|import:--upper|import:-l|import:--lower|import:-w|import:--work|import:-m|import:--mount)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        import:--tag)
            mapfile -t COMPREPLY < <(:)
            return ;;
        fsck:--name)
            mapfile -t COMPREPLY < <(_ptoverlay_names)
            return ;;
        fsck:-u|fsck:--upper|fsck:-l|fsck:--lower|fsck:-w|fsck:--work|fsck:-m|fsck:--mount)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        --check:-u|--check:--upper)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            return ;;
        --check:--color)
            mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur")
            return ;;
    esac
    case $subcommand in
        run) options='-l --lower -u --upper -w --work -m --mount -o --overlay --direct --read-only --hide --name -C --chdir --trap --kill-on-exit --strict --trace --stats --report -v --verbose -q --quiet --version -h --help' ;;
        list) options='-h --help --json' ;;
        shell) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr -C --chdir' ;;
        fork) options='-h --help' ;;
        remove) options='-h --help' ;;
        diff) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr -p --patch --stat --json --color' ;;
        explain) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr --json' ;;
        stats) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr --json --report' ;;
        discard) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr -n --dry-run -v --verbose' ;;
        commit) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr -i --interactive -n --dry-run -f --force --trust -v --verbose --json --color' ;;
        try) options='-h --help --then -l --lower -u --upper -w --work -m --mount -o --overlay --direct --read-only --hide --name -C --chdir --trap --kill-on-exit --strict --trace --stats --report -v --verbose -q --quiet --version -h --help' ;;
        export) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr -o --output --oci-layout --tag --format --compress --reproducible --json' ;;
        import) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr --tag' ;;
        fsck) options='-h --help --name -u --upper -l --lower -w --work -m --mount --userxattr --repair --json' ;;
        --check) options='-h --help -u --upper --json --color' ;;
    esac
    if [[ $cur == -* ]]; then
        ((COMP_CWORD > 1)) || options+=' --check'
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'run list shell fork remove diff explain stats discard commit try export import fsck' -- "$cur"
            compgen -c -- "$cur")
    elif [[ $subcommand == run || $subcommand == try ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    elif ((COMP_CWORD == 2)); then
        mapfile -t COMPREPLY < <(_ptoverlay_names)
    fi
}

complete -o bashdefault -o default -F _ptoverlay ptoverlay
