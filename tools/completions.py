"""Completions for bash, zsh and fish, made from the tables that the command line is parsed by.

Rules: nothing is said here that a table says already; completing never runs ptoverlay, names of sandboxes are read from
the state directory.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
from dataclasses import dataclass

from ptoverlay import cli, commands

NAMES = '"${XDG_STATE_HOME:-$HOME/.local/state}"/ptoverlay/sandboxes /var/lib/ptoverlay/sandboxes'
NAMES_FISH = '(set -q XDG_STATE_HOME; and echo $XDG_STATE_HOME; or echo ~/.local/state)'
#: Subcommands whose words after the options are a command.
RUNNERS = ("run", "try")
HEAD = "Made by tools/docs from the program's own tables.\n#\n# SPDX-License-Identifier: GPL-2.0-or-later\n"


@dataclass(frozen=True)
class Opt:
    """One option.  kind of its argument: "" for none, dir, file, name, any, or words to choose from with spaces."""

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
    parser, _ = commands.make_parser(name)
    found = []
    for action in parser._actions:
        if action.option_strings:
            takes = action.nargs != 0
            kind = " ".join(action.choices) if action.choices else kind_of(str(action.metavar or action.dest),
                                                                           action.dest) if takes else ""
            help_ = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
            found.append(Opt(tuple(action.option_strings), kind, help_))
    return found


def table() -> dict[str, tuple[str, list[Opt]]]:
    """Every subcommand: its line in the help, its options."""
    rows = {"run": ("run a command (the default)", run_options())}
    rows |= {name: (text, parsed_options(name)) for name, text in cli.SUBCOMMANDS.items()}
    rows["try"] = (rows["try"][0], [*rows["try"][1], *run_options()])
    rows["--check"] = ("what this machine allows", parsed_options("--check"))
    return rows


def files() -> dict[str, str]:
    """The files' names and texts."""
    rows = table()
    return {"ptoverlay.bash": bash(rows), "_ptoverlay": zsh(rows), "ptoverlay.fish": fish(rows)}


def bash(rows: dict[str, tuple[str, list[Opt]]]) -> str:
    options, arguments, taking = [], [], []
    actions = {"dir": 'compgen -d -- "$cur"', "file": 'compgen -f -- "$cur"', "name": "_ptoverlay_names",
               "any": ":"}
    for name, (_, opts) in rows.items():
        options.append(f"        {name}) options='{' '.join(word for opt in opts for word in opt.names)}' ;;")
        by_kind: dict[str, list[str]] = {}
        for opt in opts:
            if opt.kind:
                by_kind.setdefault(opt.kind, []).extend(f"{name}:{word}" for word in opt.names)
        for kind, words in by_kind.items():
            action = actions.get(kind, f"compgen -W '{kind}' -- \"$cur\"")
            arguments.append(f"        {'|'.join(words)})\n            mapfile -t COMPREPLY < <({action})\n"
                             "            return ;;")
            if name in RUNNERS:
                taking += words
    return f"""# Completion of ptoverlay for bash.  {HEAD}
_ptoverlay_names() {{
    compgen -W "$(command ls {NAMES} 2>/dev/null | grep -v ':$')" -- "$cur"
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
    elif ((COMP_CWORD == 2)); then
        mapfile -t COMPREPLY < <(_ptoverlay_names)
    fi
}}

complete -o bashdefault -o default -F _ptoverlay ptoverlay
"""


def zsh(rows: dict[str, tuple[str, list[Opt]]]) -> str:
    actions = {"dir": ":directory:_files -/", "file": ":file:_files", "name": ":sandbox:_ptoverlay_names",
               "any": ":argument: ", "": ""}
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
            "'*:word: '" if name == "--check" else "'1:sandbox:_ptoverlay_names' '*:path:_files'"
        parts.append(f"    {name})\n        _arguments -s -S \\\n" + "\n".join(lines) + f"\n        {rest} ;;")
    subcommands = "\n".join(f"        '{name}:{_zsh_text(text)}'" for name, (text, _) in rows.items() if name[0] != "-")
    return f"""#compdef ptoverlay
# Completion of ptoverlay for zsh.  {HEAD}
_ptoverlay_names() {{
    local -a names
    names=({NAMES.replace('sandboxes', 'sandboxes/*(N/:t)')})
    _wanted sandboxes expl sandbox compadd -a names
}}

_ptoverlay() {{
    local subcommand=run
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

_ptoverlay "$@"
"""


def _zsh_text(text: str) -> str:
    return text.replace("'", "’").replace("[", "(").replace("]", ")").replace(":", " -")


def fish(rows: dict[str, tuple[str, list[Opt]]]) -> str:
    subcommands = [name for name in rows if name not in ("run", "--check")]
    actions = {"dir": " -r -a '(__fish_complete_directories)'", "file": " -r -F",
               "name": " -x -a '(__ptoverlay_names)'", "any": " -x", "": ""}
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
            lines.append(f"complete -c ptoverlay -n {condition} -a '(__ptoverlay_names)' -d sandbox")
    command = f"'not __fish_seen_subcommand_from {' '.join(n for n in subcommands if n != 'try')}'"
    lines.append(f"complete -c ptoverlay -n {command} -x -a '(__fish_complete_subcommand)'")
    return f"""# Completion of ptoverlay for fish.  {HEAD}
function __ptoverlay_names
    for directory in {NAMES_FISH}/ptoverlay/sandboxes /var/lib/ptoverlay/sandboxes
        command ls $directory 2>/dev/null
    end
end

""" + "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
