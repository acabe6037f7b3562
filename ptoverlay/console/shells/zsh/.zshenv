# What zsh reads first for `ptoverlay shell`: it gives ZDOTDIR back, so that all other files are the user's own.
# SPDX-License-Identifier: GPL-2.0-or-later
if [[ -n ${PTOVERLAY_ZDOTDIR+x} ]]; then
    ZDOTDIR=$PTOVERLAY_ZDOTDIR
else
    unset ZDOTDIR
fi
unset PTOVERLAY_ZDOTDIR
if [[ -r ${ZDOTDIR:-$HOME}/.zshenv ]]; then
    . ${ZDOTDIR:-$HOME}/.zshenv
fi
if [[ -o interactive ]]; then
    # The prompt of the user, whoever sets it and when: we are the last to be asked. A % in the name means nothing.
    _ptoverlay_tag() {
        local _ptoverlay_status=$? name=${${PTOVERLAY_NAME:t}//\%/%%}
        [[ $PROMPT == "($name) "* ]] || PROMPT="($name) $PROMPT"
        return ${1:-$_ptoverlay_status}
    }
    _ptoverlay_precmd() {
        local _ptoverlay_status=$?
        if [[ $precmd_functions[-1] != _ptoverlay_precmd ]]; then
            # Those behind us are still asked for this prompt, and what is due now after all of them.
            precmd_functions=(${precmd_functions:#_ptoverlay_precmd} _ptoverlay_precmd)
            zmodload zsh/sched 2>/dev/null && sched +0 "_ptoverlay_tag $_ptoverlay_status"
        fi
        _ptoverlay_tag
        if [[ -n $PTOVERLAY_STEPS && -n $_ptoverlay_line ]]; then
            _ptoverlay_step
            _ptoverlay_line=
        fi
    }
    _ptoverlay_preexec() { _ptoverlay_line=$1 }
    # What the last command line changed is a step, called as it is; none where nothing was changed.
    _ptoverlay_step() {
        local told
        told=$(eval "$PTOVERLAY_STEPS --message \"\$_ptoverlay_line\"" 2>&1 >/dev/null) ||
            [[ $told == *"nothing has changed"* ]] || print -r -- $told >&2
    }
    precmd_functions+=(_ptoverlay_precmd)
    preexec_functions+=(_ptoverlay_preexec)
fi
