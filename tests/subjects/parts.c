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

#ifdef PART_LOCK
/* Something that came to be in a directory is a change for who has missed a name in it. */
static void part(void) {
    static pto_view view = {.base = &view, .changes = 10};
    *appeared_in(&view, 3) = 5;
    (void)say("nothing missed", (long)view_changes(&view, 0));
    (void)say("missed there", (long)view_changes(&view, 3));
    (void)say("missed elsewhere", (long)view_changes(&view, 4));
}
#endif

#ifdef PART_PRIVATE
/* An owner is taken from a layer's attribute if the layer is believed; else of directories alone. */
static void part(void) {
    static pto_view view = {.own = {.fsuid = 7}};
    static const struct overlay ovl = {.view = &view, .dev = 9};
    static const struct layer layer = {.prefix = "user."};
    static const struct {
        uid_t uid;
        mode_t is, shown;
    } of[] = {{0, S_IFREG, S_IFREG}, {7, S_IFREG, S_IFREG}, {8, S_IFREG, S_IFREG},
              {8, S_IFDIR, S_IFDIR}, {8, S_IFREG, S_IFDIR}, {8, S_IFDIR, S_IFREG}};
    for (size_t i = 0; i < 2 * sizeof of / sizeof *of; i++) {
        struct shown out;
        unsigned owner = i % 2, j = (unsigned)i / 2;
        struct stat st = {.st_uid = of[j].uid, .st_mode = of[j].is};
        const char *value = text("%u:1:2:%o:0:0:9:3", owner, of[j].shown);
        const char *what =
            text("%u %o shown as %o, %s", of[j].uid, of[j].is, of[j].shown, owner ? "owned" : "not owned");
        (void)say(what, parse_shown(&ovl, &layer, value, &st, &out) ? out.owner : -1);
    }
}
#endif

#ifdef PART_PRIVATE_SET
/* A copy is ours to read and write, as a program to run; its group's bits are others' where it has another group. */
static void part(void) {
    static const mode_t modes[] = {S_IFREG | 0044, S_IFREG | 0010, S_IFREG | 0001, S_IFREG | 0461, S_IFDIR | 0044};
    for (size_t i = 0; i < 2 * sizeof modes / sizeof *modes; i++) {
        struct stat st = {.st_gid = 1};
        struct shown shown = {.mode = modes[i / 2], .gid = 1 + i % 2};
        const char *what = text("%o%s", shown.mode, i % 2 ? " of another group" : "");
        say_text(what, text("%o", private_own_mode(-1, &st, &shown)));
    }
}
#endif

#ifdef PART_STEPS
/* fs.protected_symlinks asks the directory that the link is in. */
static void part(void) {
    static pto_view view = {.base = &view, .protected_symlinks = 1};
    static const char *const paths[] = {"/open/link", "/open/shut/link", "/shut/link", "/shut/open/link", "/link"};
    static char top[PATH_MAX];
    struct cred cred = {.fsuid = 9};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        (void)say(paths[i], walk_may_follow(&view, NULL, 0, text("%s%s", getcwd(top, sizeof top), paths[i]), &cred));
}
#endif

#ifdef PART_INDEX
#define NAMES 3000u

static struct index names;

static const char *name_of(unsigned i, unsigned round) {
    return text("%0*u", (int)(5 + i % 200), i * 4 + round);
}

/* What hangs on an entry: directories of lowers with paths and bits, or a symlink's target. */
static int furnish(uint32_t d, unsigned i) {
    struct dentry *dentry = index_at(&names, d);
    struct lower_dir dirs[3] = {{.layer = 1}, {.layer = 2}, {.layer = 3}};
    if (i % 3 == 0)
        return 0;
    if (i % 3 == 1) {
        dentry->stack = index_text(&names, "the target", i % 10);
        dentry->flags |= D_TARGET;
        return dentry->stack ? 0 : -ENOMEM;
    }
    dirs[1].path = index_text(&names, "path", i % 4);
    int error = index_set_stack(&names, d, dirs, 1 + i % 3);
    struct lower_stack *stack = arena_at(&names.arena, index_at(&names, d)->stack);
    return error ? error : index_set_names(&names, &stack->names, 1 + i % 7);
}

/* How many of them are found, and no others. */
static unsigned found(uint32_t parent, unsigned round) {
    unsigned n = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        const char *name = name_of(i, round);
        char got[NAME_MAX + 1] = "";
        uint32_t d = index_find(&names, parent, name, strlen(name));
        if (d)
            index_name(&names, d, got);
        n += d && strcmp(got, name) == 0 && !index_find(&names, parent + 1, name, strlen(name));
    }
    return n;
}

/* Entries come, move with all that is below them, and go; what they took is taken again. */
static void part(void) {
    uint64_t live = 0, used = 0;
    (void)say("open", index_open(&names));
    uint32_t root = index_root(&names);
    for (unsigned round = 0; round < 4; round++) {
        uint32_t dir = index_add(&names, root, "dir", 3), moved = 0;
        for (unsigned i = 0; i < NAMES; i++) {
            const char *name = name_of(i, round);
            if (furnish(index_add(&names, dir, name, strlen(name)), i) < 0)
                (void)say("furnish", -ENOMEM);
        }
        (void)say(text("found %u", round), found(dir, round));
        (void)say(text("count %u", round), names.count);
        (void)say("move", index_move(&names, dir, root, "a longer name", 13, &moved));
        (void)say("old name", index_find(&names, root, "dir", 3));
        (void)say("found below", found(moved, round));
        index_drop(&names, moved);
        (void)say("left", names.count);
        if (round == 1) {
            live = names.arena.live;
            used = names.arena.used;
        }
    }
    (void)say("held as before", names.arena.live == live);
    (void)say("taken as before", names.arena.used == used);
    index_drop_root(&names, root);
    (void)say("nothing", names.count);
    (void)say("buckets alone", (long)(names.arena.live - names.n_buckets * sizeof(uint32_t)));
    index_close(&names);
}
#endif

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    part();
    return 0;
}
