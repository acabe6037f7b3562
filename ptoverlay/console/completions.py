"""Completions for bash, zsh and fish, made from the tables that the command line is parsed by.

Rules: nothing is said here that a table says already; names of sandboxes are read from the state directory by the shell
itself, and only for paths of a view, which nobody else knows, the shell runs ptoverlay (`candidates`).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from ptoverlay import cli
from ptoverlay.commands import dispatch
from ptoverlay.layer.changes import absolute
from ptoverlay.layer.view import View
from ptoverlay.sandboxes.sandbox import Sandbox

_T = TypeVar("_T")
NAMES = '"${XDG_STATE_HOME:-$HOME/.local/state}"/ptoverlay/sandboxes /var/lib/ptoverlay/sandboxes'
NAMES_FISH = '(set -q XDG_STATE_HOME; and echo $XDG_STATE_HOME; or echo ~/.local/state)'
#: Subcommands whose words after the options are a command.
RUNNERS = ("run", "try")
#: The files below share/, where the shells look for them.
FILES = {"bash": "bash-completion/completions/ptoverlay", "zsh": "zsh/site-functions/_ptoverlay",
         "fish": "fish/vendor_completions.d/ptoverlay.fish"}
HEAD = "Made by tools/docs from the program's own tables.\n#\n# SPDX-License-Identifier: GPL-2.0-or-later\n"


@dataclass(frozen=True)
class Opt:
    """One option.  kind of its argument: "" for none, dir, file, name, place (a directory of the
    view), any, or words to choose from with spaces."""

    names: tuple[str, ...]
    kind: str
    help: str


def kind_of(argument: str, dest: str = "") -> str:
    """By how the help names the argument."""
    if not argument:
        return ""
    if dest == "name" or argument == "NAME":
        return "name"
    if "|" in argument:
        return argument.replace("|", " ")
    return "dir" if argument.startswith("DIR") else "file" if argument.startswith("FILE") else "any"


def run_options() -> list[Opt]:
    """Of `run`."""
    return [Opt(tuple([f"-{o.short}"] * bool(o.short) + [f"--{o.long}"] * bool(o.long)), kind_of(o.argument), o.help)
            for o in cli.OPTIONS if o.long != "check"]


def parsed_options(name: str) -> list[Opt]:
    """Of a subcommand."""
    parser, _ = dispatch.make_parser(name)
    found = []
    for action in parser._actions:
        if action.option_strings:
            takes = action.nargs != 0
            kind = " ".join(action.choices) if action.choices else kind_of(str(action.metavar or action.dest),
                                                                           action.dest) if takes else ""
            if (name, action.dest) == ("shell", "chdir"):
                kind = "place"
            help_ = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
            found.append(Opt(tuple(action.option_strings), kind, help_))
    return found


def words_of(name: str) -> str:
    """What the words of a subcommand are: path (paths of the view after a NAME), choices with spaces, or name."""
    if name not in cli.SUBCOMMANDS:
        return "name"
    for action in dispatch.make_parser(name)[0]._actions:
        if not action.option_strings and (action.choices or "PATH" in str(action.metavar)):
            return " ".join(action.choices or ["path"])
    return "name"


def table() -> dict[str, tuple[str, list[Opt]]]:
    """Every subcommand: its line in the help, its options."""
    rows = {"run": ("run a command (the default)", run_options())}
    rows |= {name: (text, parsed_options(name)) for name, text in cli.SUBCOMMANDS.items()}
    rows["try"] = (rows["try"][0], [*rows["try"][1], *run_options()])
    rows["--check"] = ("what this machine allows", parsed_options("--check"))
    return rows


def text(shell: str) -> str:
    """The completions for a shell of FILES."""
    makers: dict[str, Callable[[dict[str, tuple[str, list[Opt]]]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
    return makers[shell](table())


# ---- paths of a view ----


def candidates(words: list[str]) -> list[str]:
    """What completes the last of the words of a command line, which begin with the subcommand: paths of the view, with
    a slash behind directories; for what is about changes only what the upper has; sandboxes where none is named yet."""
    name, *given, word = words
    if {"-h", "--help"} & {*given}:
        return []
    directories = given[-1:] in (["-C"], ["--chdir"])
    parsed = dispatch.make_parser(name)[0].parse_intermixed_args(given[:-1] if directories else given)
    if parsed.name is None and parsed.upper is None and not parsed.words:
        return [each for each in Sandbox.names() if each.startswith(word)]
    box = Sandbox.open(parsed)
    head = word[:word.rfind("/") + 1]
    with box.view() as view:
        changed = words_of(name) == "path" and name != "explain"
        found = _names(view, absolute(head or ".", box.mount), box.mount, changed)
        shown = [head + each for each in sorted(found) if (head + each).startswith(word)]
        shown = [f"{each}/" if _is_directory(view, absolute(each, box.mount)) else each for each in shown]
    return [each for each in shown if each.endswith("/") or not directories]


def _names(view: View, directory: str, mount: str, changed: bool) -> set[str]:
    """What is to be named in a directory: of those above the mount point only the next one on the way."""
    top = f"{directory.rstrip('/')}/"
    if directory != mount and f"{mount.rstrip('/')}/".startswith(top):
        return {mount[len(top):].partition("/")[0]}
    if not top.startswith(f"{mount.rstrip('/')}/"):
        return set()
    found = {name for name, _ in _listed(lambda: view.upper_list(directory))}
    return found if changed else found | {*_listed(lambda: view.list(directory))}


def _listed(call: Callable[[], Iterable[_T]]) -> Iterable[_T]:
    try:
        return call()
    except OSError:  # nothing there, or not for us to know
        return ()


def _is_directory(view: View, path: str) -> bool:
    try:
        return view.stat(path, follow=True).is_dir
    except OSError:
        return False


# ---- bash ----


def bash(rows: dict[str, tuple[str, list[Opt]]]) -> str:
    options, arguments, taking, choices = [], [], [], []
    paths = [name for name in rows if words_of(name) == "path"]
    actions = {"dir": 'compgen -d -- "$cur"', "file": 'compgen -f -- "$cur"', "name": "_ptoverlay_names",
               "any": ":", "place": None}
    for name, (_, opts) in rows.items():
        options.append(f"        {name}) options='{' '.join(word for opt in opts for word in opt.names)}' ;;")
        by_kind: dict[str, list[str]] = {}
        if words_of(name) not in ("path", "name"):
            choices.append(f"    elif [[ $subcommand == {name} ]]; then\n"
                           f"        mapfile -t COMPREPLY < <(compgen -W '{words_of(name)}' -- \"$cur\")\n")
        for opt in opts:
            if opt.kind:
                by_kind.setdefault(opt.kind, []).extend(f"{name}:{word}" for word in opt.names)
        for kind, words in by_kind.items():
            action = actions.get(kind, f"compgen -W '{kind}' -- \"$cur\"")
            does = f"mapfile -t COMPREPLY < <({action})" if action else "_ptoverlay_paths"
            arguments.append(f"        {'|'.join(words)})\n            {does}\n            return ;;")
            if name in RUNNERS:
                taking += words
    return f"""# Completion of ptoverlay for bash.  {HEAD}
_ptoverlay_names() {{
    compgen -W "$(command ls {NAMES} 2>/dev/null | grep -v ':$')" -- "$cur"
}}

# A word without its quotes.
_ptoverlay_plain() {{
    local word=$1 plain=
    case $word in
    \\'*) word=${{word#?}} plain=${{word%\\'}} word= ;;
    '"'*) word=${{word#?}} word=${{word%'"'}} ;;
    '~/'*) word=$HOME${{word#?}} ;;
    esac
    while [[ $word == *\\\\?* ]]; do
        plain+=${{word%%\\\\*}} word=${{word#*\\\\}}
        plain+=${{word:0:1}} word=${{word:1}}
    done
    printf '%s' "$plain$word"
}}

# Paths of a view, which ptoverlay itself knows.
_ptoverlay_paths() {{
    local program=${{COMP_WORDS[0]/#\\~\\//"$HOME"/}} words=() plain=() line=$COMP_LINE word last
    # bash has cut the words at : and =, and wants what completes the last piece
    for word in "${{COMP_WORDS[@]:0:COMP_CWORD+1}}"; do
        if [[ ${{#words[@]}} == 0 || $line == [[:space:]]* ]]; then
            words+=("$word")
        else
            words[-1]+=$word
        fi
        line=${{line#*"$word"}}
    done
    for word in "${{words[@]:1}}"; do
        plain+=("$(_ptoverlay_plain "$word")")
    done
    last=${{COMP_WORDS[COMP_CWORD]}}
    [[ $last == [:=] ]] && last=
    compopt -o filenames +o default +o bashdefault
    mapfile -d '' -t COMPREPLY < <(command "$program" completion --words "${{plain[@]}}" 2>/dev/null)
    [[ ${{#COMPREPLY[@]}} == 1 && ${{COMPREPLY[0]}} == */ ]] && compopt -o nospace
    word=$(_ptoverlay_plain "${{words[-1]%"$last"}}")
    COMPREPLY=("${{COMPREPLY[@]#"$word"}}")
}}

_ptoverlay() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} subcommand=run i=1 options=
    COMPREPLY=()
    if ((COMP_CWORD > 1)); then
        case ${{COMP_WORDS[1]}} in
        {'|'.join(rows)}) subcommand=${{COMP_WORDS[1]}} i=2 ;;
        esac
    fi
    # the words of a command are its own to complete
    if [[ $subcommand == {' || $subcommand == '.join(RUNNERS)} ]]; then
        for ((; i < COMP_CWORD; i++)); do
            case $subcommand:${{COMP_WORDS[i]}} in
            {'|'.join(taking)}) ((++i)) ;;
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
{chr(10).join(arguments)}
    esac
    case $subcommand in
{chr(10).join(options)}
    esac
    if [[ $cur == -* ]]; then
        ((COMP_CWORD > 1)) || options+=' --check'
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '{' '.join(name for name in rows if name[0] != '-')}' -- "$cur"
            compgen -c -- "$cur")
    elif [[ $subcommand == {' || $subcommand == '.join(RUNNERS)} ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
{''.join(choices)}    elif ((COMP_CWORD == 2)); then
        mapfile -t COMPREPLY < <(_ptoverlay_names)
    elif [[ $subcommand == {' || $subcommand == '.join(paths)} ]]; then
        _ptoverlay_paths
    fi
}}

complete -o bashdefault -o default -F _ptoverlay ptoverlay
"""


def zsh(rows: dict[str, tuple[str, list[Opt]]]) -> str:
    actions = {"dir": ":directory:_files -/", "file": ":file:_files", "name": ":sandbox:_ptoverlay_names",
               "place": ":directory:_ptoverlay_paths", "any": ":argument: ", "": ""}
    rest_of = {"path": "'*:path:_ptoverlay_paths'", "name": "'1:sandbox:_ptoverlay_names' '*:path:_files'"}
    parts = []
    for name, (_, opts) in rows.items():
        lines = []
        for opt in opts:
            action = actions.get(opt.kind, f":choice:({opt.kind})")
            text = _zsh_text(opt.help)
            excluded = " ".join(opt.names)
            for word in opt.names:
                lines.append(f"        '({excluded}){word}{'=' if word[:2] == '--' and opt.kind else ''}"
                             f"[{text}]{action}' \\")
        rest = "'(-)1:command: _command_names -e' '*::argument: _normal'" if name in RUNNERS else \
            "'*:word: '" if name == "--check" else rest_of.get(words_of(name), f"'1:choice:({words_of(name)})'")
        parts.append(f"    {name})\n        _arguments -s -S \\\n" + "\n".join(lines) + f"\n        {rest} ;;")
    subcommands = "\n".join(f"        '{name}:{_zsh_text(text)}'" for name, (text, _) in rows.items() if name[0] != "-")
    return f"""#compdef ptoverlay
# Completion of ptoverlay for zsh.  {HEAD}
_ptoverlay_names() {{
    local -a names
    names=({NAMES.replace('sandboxes', 'sandboxes/*(N/:t)')})
    _wanted sandboxes expl sandbox compadd -a names
}}

# Paths of a view, which ptoverlay itself knows.
_ptoverlay_paths() {{
    local -a given found
    local head
    if (( CURRENT == 2 )); then
        _ptoverlay_names
        return
    fi
    given=("${{(@Q)words[1,CURRENT-1]}}" "${{${{(Q)PREFIX}}/#\\~\\//$HOME/}}")
    found=("${{(@0)$(command $program completion --words "${{given[@]}}" 2>/dev/null)}}")
    found=("${{(@)found:#}}")
    head=${{(M)given[-1]##*/}}
    compset -P '*/'
    found=("${{(@)found#$head}}")
    compadd -S '' -- "${{(@M)found:#*/}}"
    compadd -- "${{(@)found:#*/}}"
}}

_ptoverlay() {{
    local subcommand=run program=${{words[1]/#\\~\\//$HOME/}}
    local -a subcommands
    subcommands=(
{subcommands}
    )
    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
        _describe -t subcommands subcommand subcommands
        _command_names -e
        return
    fi
    if (( CURRENT > 2 )) && [[ $words[2] == ({'|'.join(rows)}) ]]; then
        subcommand=$words[2]
        shift words
        (( CURRENT-- ))
    fi
    case $subcommand in
{chr(10).join(parts)}
    esac
}}

# called by the completion system, or read by eval "$(ptoverlay completion zsh)"
if [[ $funcstack[1] == _ptoverlay ]]; then
    _ptoverlay "$@"
else
    compdef _ptoverlay ptoverlay
fi
"""


def _zsh_text(text: str) -> str:
    return text.replace("'", "’").replace("[", "(").replace("]", ")").replace(":", " -")


def fish(rows: dict[str, tuple[str, list[Opt]]]) -> str:
    subcommands = [name for name in rows if name not in ("run", "--check")]
    actions = {"dir": " -r -a '(__fish_complete_directories)'", "file": " -r -F",
               "name": " -x -a '(__ptoverlay_names)'", "place": " -x -a '(__ptoverlay_paths)'", "any": " -x", "": ""}
    rest_of = {"path": " -f -k -a '(__ptoverlay_paths)'", "name": " -a '(__ptoverlay_names)' -d sandbox"}
    lines = [f"complete -c ptoverlay -n __fish_use_subcommand -a {name} -d {_fish_text(text)}"
             for name, (text, _) in rows.items() if name != "--check"]
    lines.append(f"complete -c ptoverlay -n __fish_use_subcommand -l check -d {_fish_text(rows['--check'][0])}")
    for name, (_, opts) in rows.items():
        if name == "--check":
            condition = "'contains -- --check (commandline -opc)'"
        elif name == "run":
            condition = f"'not __fish_seen_subcommand_from {' '.join(subcommands)}'"
        else:
            condition = f"'__fish_seen_subcommand_from {name}'"
        for opt in opts:
            names = "".join(f" -l {word[2:]}" if word[:2] == "--" else f" -s {word[1:]}" for word in opt.names)
            action = actions.get(opt.kind, f" -x -a '{opt.kind}'")
            lines.append(f"complete -c ptoverlay -n {condition}{names}{action} -d {_fish_text(opt.help)}")
        if name not in (*RUNNERS, "--check"):
            rest = rest_of.get(words_of(name), f" -x -a '{words_of(name)}'")
            lines.append(f"complete -c ptoverlay -n {condition}{rest}")
    command = f"'not __fish_seen_subcommand_from {' '.join(n for n in subcommands if n != 'try')}'"
    lines.append(f"complete -c ptoverlay -n {command} -x -a '(__fish_complete_subcommand)'")
    return f"""# Completion of ptoverlay for fish.  {HEAD}
function __ptoverlay_names
    for directory in {NAMES_FISH}/ptoverlay/sandboxes /var/lib/ptoverlay/sandboxes
        command ls $directory 2>/dev/null
    end
end

# Paths of a view, which ptoverlay itself knows.
function __ptoverlay_paths
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l program (string replace -r '^~/' ~/ -- $words[1])
    if test (count $words) -eq 2
        __ptoverlay_names
    else
        command $program completion --words $words[2..-1] (string unescape -- "$word"; or echo "$word") 2>/dev/null |
            string split0
    end
end

""" + "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
