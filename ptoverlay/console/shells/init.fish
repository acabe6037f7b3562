# What fish reads last for `ptoverlay shell`: the sandbox in front of the user's prompt.
# SPDX-License-Identifier: GPL-2.0-or-later
if status is-interactive
    functions --copy fish_prompt _ptoverlay_fish_prompt
    function fish_prompt
        set -l _ptoverlay_status $status
        printf '(%s) ' (string replace --regex '.*/' '' -- $PTOVERLAY_NAME)
        _ptoverlay_set $_ptoverlay_status
        _ptoverlay_fish_prompt
    end
    function _ptoverlay_set
        return $argv[1]
    end
    # What the last command line changed is a step, called as it is; none where nothing was changed.
    if set -q PTOVERLAY_STEPS
        function _ptoverlay_step --on-event fish_postexec
            set -l line $argv[1]
            test -n "$line"; or return
            set -l told (eval "$PTOVERLAY_STEPS --message \$line" 2>&1 >/dev/null)
            if test $status -ne 0; and not string match --quiet '*nothing has changed*' -- $told
                printf '%s\n' $told >&2
            end
        end
    end
end
