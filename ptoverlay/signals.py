"""Signals while CMD runs: what reaches us goes on to CMD, and nothing ends us before the layers are put away.

Every signal that would end or stop us is blocked, and one thread takes them with sigwaitinfo(2).  What another
process sent to us goes on to CMD.  What the kernel sent because of the terminal (Ctrl-C, Ctrl-Z, a hang-up) is
dropped: CMD is in the same process group and has got it too.  When CMD has stopped because of it, the core stops us as
well, so that the shell that waits for us sees it.

Rules: no handler in Python runs while CMD does, so none can raise; the mask is put back only when nothing is pending.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import _thread
import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Receiver(Protocol):
        """Who gets the signals.  send: to CMD, False when there is none (yet) that could take it; over: whether CMD has
        ended, and something else is still running; end: ends that; tell: says so, True: nothing to say yet."""

        def send(self, number: int) -> bool: ...
        def over(self) -> bool: ...
        def end(self) -> None: ...
        def tell(self) -> bool: ...

# Signals that tell of a fault of our own, or that are harmless: they keep their meaning.
_LEFT_ALONE = {
    signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGSEGV, signal.SIGBUS,
    signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS, signal.SIGPIPE, signal.SIGXFSZ,
}
_OF_TERMINAL = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_SI_KERNEL = 0x80
_DONE = signal.SIGRTMIN  # we send it to ourselves to end the waiting
_RETRY = 0.01  # seconds
_LOOK = 0.2  # seconds
_ENDING = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}


class Signals:
    """Holds the signals back for as long as the context lasts, which must be the main thread's."""

    __slots__ = ("_blocked", "_child", "_done", "_mask", "_running")

    def __enter__(self) -> Signals:
        self._done = False
        # A signal that was ignored when we started is ignored by CMD too, and stays so.
        self._blocked = {number for number in signal.valid_signals() - _LEFT_ALONE
                         if signal.getsignal(number) is not signal.SIG_IGN} | {_DONE}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._blocked)
        # With SIGCHLD ignored the kernel would throw CMD's exit status away.
        self._child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._running = _thread.allocate_lock()
        return self

    def forward(self, running: Receiver, *, look: bool) -> None:
        """Starts handing signals on.  look: `tell` is called every now and then, on the same thread, for as long as it
        returns True."""
        self._running.acquire()
        _thread.start_new_thread(self._forward, (running, look))

    def stop(self) -> None:
        """Ends the handing on: nothing of `Receiver` is called any more."""
        if self._running.locked():
            self._done = True
            os.kill(os.getpid(), _DONE)
            self._running.acquire()
            self._running.release()

    def _forward(self, running: Receiver, look: bool) -> None:
        ending = False
        try:
            while not self._done:
                pause = _RETRY if ending else _LOOK if look else None
                info = signal.sigwaitinfo(self._blocked) if pause is None else signal.sigtimedwait(self._blocked, pause)
                if info is None:
                    look = look and not ending and running.tell()
                elif info.si_signo in _ENDING and running.over():
                    ending = True
                elif info.si_signo != _DONE and (info.si_signo not in _OF_TERMINAL or info.si_code != _SI_KERNEL):
                    ending = self._hand_on(info.si_signo, running)
                if ending:
                    running.end()
        finally:
            self._running.release()

    def _hand_on(self, number: int, running: Receiver) -> bool:
        """True when nobody is there who could take it, and what is left is to end."""
        while not running.send(number) and not self._done:
            if running.over():
                return number in _ENDING
            time.sleep(_RETRY)  # CMD is about to come
        return False

    def __exit__(self, *_: object) -> None:
        self.stop()
        while signal.sigtimedwait(self._blocked, 0):
            pass  # came after CMD had ended
        signal.signal(signal.SIGCHLD, self._child)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
