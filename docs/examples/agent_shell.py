"""The shell tool of an agent, with undo: each command is a step, and a person decides what becomes of it.

    agent_shell.py SANDBOX DIRECTORY

An agent calls `Shell.run` as its tool.  Here the agent is whoever writes commands to standard input, a line each, and
the person answers at the terminal.
"""

import sys

from ptoverlay import Client

QUESTION = "commit, undo or go on? [c,u,g] "


class Shell:
    """What an agent is given instead of a shell.  ask: how the person is asked, and answers."""

    def __init__(self, client, directory, ask):
        self.client = client
        self.directory = directory
        self.ask = ask

    def run(self, command):
        """The tool: runs a command, shows the person what it changed; what the agent is told."""
        ran = self.client.run(command, cwd=self.directory, timeout=600, patch=True)
        told = f"exit status {ran.status}\n{(ran.stdout + ran.stderr).decode(errors='replace')}"
        if ran.step is None:
            return told
        self.show(ran)
        return told + self.decide()

    def show(self, ran):
        print(f"step {ran.step}: {ran.total} changes")
        print(ran.patch.decode(errors="replace"), end="")

    def decide(self):
        answer = self.ask(QUESTION)
        if answer == "u":
            self.client.undo()
            return "The person has undone this step.\n"
        if answer == "c":
            done = self.client.commit()
            refused = "".join(f"{path}: {why}\n" for path, why in done.refused.items())
            return f"The person has committed {done.total} changes.\n{refused}"
        return ""


def main(name, directory):
    """An agent that needs no model."""

    def ask(question):
        terminal.write(question.encode())
        return terminal.readline().decode().strip()

    with open("/dev/tty", "r+b", buffering=0) as terminal, Client.start(name, "-l", directory) as client:
        shell = Shell(client, directory, ask)
        for command in sys.stdin:
            print(shell.run(command), end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
