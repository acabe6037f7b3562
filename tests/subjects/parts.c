/* parts.c - functions of the core whose mistakes a run meets in a race alone, called here with all that they are to tell
 * apart: `parts`, compiled with one file of csrc/ (-DPART="FILE", -DPART_NAME) and what that calls.
 *
 * Rules: a line is `what = result`; nothing is traced, and nothing of the rest is called.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include PART

#ifdef PART_COPY_AHEAD
/* A copy that was made ahead is for the very object, unchanged. */
static void part(void) {
    const struct overlay *ovl = (const struct overlay *)&ovl, *other = (const struct overlay *)&other;
    struct stat st = {.st_dev = 1, .st_ino = 2, .st_size = 3, .st_mtim = {4, 5}};
    struct copy_ahead ahead = {.ovl = ovl, .of = st};
    (void)say("the same", is_of(&ahead, ovl, &st));
    (void)say("another overlay", is_of(&ahead, other, &st));
    int64_t *const fields[] = {(int64_t *)&st.st_dev, (int64_t *)&st.st_ino, &st.st_size, &st.st_mtim.tv_sec,
                               &st.st_mtim.tv_nsec};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        ++*fields[i];
        (void)say(text("another field %zu", i), is_of(&ahead, ovl, &st));
        --*fields[i];
    }
}
#endif

#ifdef PART_CALLERS
/* A call that went on in the kernel is told from another one of the same number. */
static void part(void) {
    static struct callers callers = {.lock = LOCK_INITIALIZER};
    struct caller caller = {.task = {.tid = 7}, .call = {.nr = 3, .arg = {1, 2, 3, 4, 5, 6}}, .continued = true};
    uint64_t arg[6] = {1, 2, 3, 4, 5, 6};
    link_caller(&callers, &caller);
    (void)say("the same", callers_continued(&callers, 7, 3, arg, false));
    (void)say("another task", callers_continued(&callers, 8, 3, arg, false));
    (void)say("another call", callers_continued(&callers, 7, 4, arg, false));
    for (unsigned i = 0; i < 6; i++) {
        arg[i]++;
        (void)say(text("another argument %u", i), callers_continued(&callers, 7, 3, arg, false));
        arg[i]--;
    }
    (void)say("of 32 bits", callers_continued(&callers, 7, 3, arg, true));
    caller.continued = false;
    (void)say("answered", callers_continued(&callers, 7, 3, arg, false));
}
#endif

#ifdef PART_RESTART
/* What the kernel does not restart is made again; close(2) has closed. */
static void part(void) {
    static const struct {
        const char *what;
        int nr;
        long result;
    } calls[] = {{"epoll_wait", __NR_epoll_pwait, -EINTR},
                 {"another error", __NR_epoll_pwait, -EAGAIN},
                 {"close", __NR_close, -EINTR},
                 {"no call", -1, -EINTR}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct registers regs = {0};
        int nr = calls[i].nr;
        registers_set_ip(&regs, 1000);
        registers_set_result(&regs, calls[i].result);
        (void)restart_after_stop(getpid(), &regs, &nr, UINT64_MAX);
        (void)say(calls[i].what, registers_ip(&regs) != 1000);
    }
}
#endif

#ifdef PART_INTERRUPTED
/* An open waits when it is of a fifo, a device or a socket, or when nobody can tell. */
static void part(void) {
    static const char *const paths[] = {"file", "dir", "fifo", "absent", "link-to-fifo", "link-to-file"};
    static char top[PATH_MAX];
    struct registers regs = {0};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *path = text("%s/%s", getcwd(top, sizeof top), paths[i]);
        registers_set_arg(&regs, 0, (uintptr_t)path);
        registers_set_arg(&regs, 1, (uintptr_t)"relative");
#ifdef __NR_open
        (void)say(text("open %s", paths[i]), opens_what_waits(getpid(), __NR_open, &regs));
#endif
        registers_set_arg(&regs, 0, 0);
        registers_set_arg(&regs, 1, (uintptr_t)path);
        (void)say(text("openat %s", paths[i]), opens_what_waits(getpid(), __NR_openat, &regs));
        (void)say(text("openat2 %s", paths[i]), opens_what_waits(getpid(), __NR_openat2, &regs));
    }
    registers_set_arg(&regs, 1, (uintptr_t)"file");
    (void)say("relative", opens_what_waits(getpid(), __NR_openat, &regs));
    registers_set_arg(&regs, 1, 8);
    (void)say("unreadable", opens_what_waits(getpid(), __NR_openat, &regs));
}
#endif

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    part();
    return 0;
}
