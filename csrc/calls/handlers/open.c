/* open.c - open, openat, creat, openat2.
 *
 * Rules: only an open that reads an untouched path is passed.  Everything else on an overlay place is prepared by the
 * view and opened by its real path, which holds no symlink; one that is put into it between the check and the open is
 * not followed.  open(2), openat2(2), fs/open.c build_open_flags().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../../process/proc.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../fixed/random.h"
#include "../fixed/texts.h"
#include "../flags.h"
#include "../host/acting.h"
#include "../host/host.h"
#include "../host/keeps.h"
#include "../host/mapping.h"
#include "../host/outside.h"
#include "../scoped.h"
#include "../reach.h"
#include "../scratch.h"
#include "../session.h"
#include "../settle.h"
#include "../shown/maps.h"
#include "../shown/mounts.h"
#include "../table.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"
#include "open.h"

#define O_KNOWN                                                                                                        \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_ASYNC |          \
     O_DIRECT | O_KERNEL_LARGEFILE | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH |         \
     O_TMPFILE)
#define O_WITH_PATH (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC)
#define O_ONLY_TMPFILE (O_TMPFILE & ~O_DIRECTORY)

struct opening {
    int flags;
    mode_t mode;
};

/* What the kernel makes of the arguments before it looks at the path. */
static int check_flags(struct opening *opening) {
    int *flags = &opening->flags;
    opening->mode &= 07777;
    if (!(*flags & (O_CREAT | O_ONLY_TMPFILE)))
        opening->mode = 0;
    if ((*flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
        return -EINVAL;
    if (*flags & O_ONLY_TMPFILE) {
        if ((*flags & O_TMPFILE) != O_TMPFILE || (*flags & O_ACCMODE) == O_RDONLY)
            return -EINVAL;
        return 0;
    }
    if (*flags & O_PATH)
        *flags &= O_WITH_PATH;
    return 0;
}

bool open_may_change(int flags) {
    return !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC | O_ONLY_TMPFILE)));
}

static unsigned open_walk_flags(int flags) {
    bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    /* With O_CREAT a trailing slash demands nothing of what is there: it is EISDIR in any case. */
    return (follow ? WALK_FOLLOW : 0) | (flags & O_CREAT ? WALK_PARENT : 0);
}

static long opened(struct call *call, long result) {
    if (result < 0)
        return result;
    verdict_enter_view(call);
    int error = view_open_done(call->view, &call->scratch->plan);
    return error < 0 ? error : result;
}

static bool openat2_found;

static void find_openat2(void) {
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
    CLOSE_DESCRIPTOR fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
    openat2_found = fd >= 0;
}

/* Linux 5.6, and not refused by a container's profile. */
static bool has_openat2(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, find_openat2);
    return openat2_found;
}

/* The tracee gets a descriptor of path. */
static void open_real(struct call *call, const char *path, int flags, mode_t mode) {
    call->open_path = path;
    call->open_flags = flags;
    call->open_mode = mode;
    call->new_nr = SYS_openat;
    verdict_substitute(call, 0, (uint64_t)AT_FDCWD);
    if (call->session->opens && !(flags & O_PATH))   /* it hardly ever comes to that */
        verdict_substitute_string(call, 1, path);
    else
        reach_substitute(call, 1, path);
    if (call->verdict == VERDICT_RETURN)
        return;
    verdict_substitute(call, 2, (uint64_t)(unsigned)flags);
    verdict_substitute(call, 3, mode);
}

static void follow_none(struct call *call) {
    const struct open_plan *plan = &call->scratch->plan;
    struct open_how *how = &call->scratch->how;
    *how =
        (struct open_how){.flags = (uint64_t)(unsigned)(plan->flags & ~plan->unasked), .resolve = RESOLVE_NO_SYMLINKS};
    if (plan->flags & (O_CREAT | O_ONLY_TMPFILE))
        how->mode = plan->mode;
    call->new_nr = SYS_openat2;
    call->n_replacements = 2;   /* what is in front is the same */
    verdict_substitute_bytes(call, 2, how, sizeof *how);
    verdict_substitute(call, 3, sizeof *how);
}

/* Where a tracee that opens for itself could be led elsewhere, or has no path.  An open that may wait is its own, and
 * so is all of one that may be killed for a call that it does not make. */
static bool is_handed(const struct call *call) {
    struct stat st;
    const struct open_plan *plan = &call->scratch->plan;
    if (call->session->opens || call->scratch->host[0].object >= 0 || task_filtered(call) ||
        (has_openat2() && !reach_is_far(plan->path)))
        return false;
    CLOSE_DESCRIPTOR fd = view_open_exact(plan->path, O_PATH | O_NOFOLLOW, 0);
    return fd == -ENOENT || (fd >= 0 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)));
}

static void hand_planned(struct call *call) {
    const struct open_plan *plan = &call->scratch->plan;
    call->verdict = VERDICT_OPEN;
    call->handed = true;
    call->open_path = plan->path;
    call->open_flags = plan->flags;
    call->open_mode = plan->mode;
}

/* The same for what was prepared: a symlink that another task has put into its path since is not followed where
 * something is changed.  Where nothing is, the flags stay in a register, which no other thread can change. */
static void open_planned(struct call *call) {
    const struct open_plan *plan = &call->scratch->plan;
    bool changes = open_may_change(plan->flags);
    if (changes && is_handed(call))
        return hand_planned(call);
    if (changes && !call->session->opens && reach_is_far(plan->path))
        return verdict_answer(call, -ENAMETOOLONG);
    open_real(call, plan->path, plan->flags, plan->mode);
    if (call->verdict == VERDICT_RETURN)
        return;
    if (changes && call->scratch->host[0].object < 0 && has_openat2() && !task_filtered(call))
        follow_none(call);
    call->verdict = VERDICT_OPEN;
    call->alone = changes;
}

int open_call_stat(const struct call *call, struct stat *st) {
    if (host_held(call, 0))
        return host_stat(call, st);
    if (lstat(call->open_path, st) == 0)
        return 0;
    if (errno != ENAMETOOLONG)
        return -errno;
    CLOSE_DESCRIPTOR fd = view_open_exact(call->open_path, O_PATH | O_NOFOLLOW, 0);
    return fd < 0 ? fd : fstat(fd, st) < 0 ? -errno : 0;
}

/* Who makes a file without a name is its owner. */
static int open_unnamed(const struct call *call) {
    ACTING acting;
    int error = acting_begin(&acting, call, true);
    return error < 0 ? error : view_open_plan(&call->scratch->plan, O_NOCTTY);
}

int open_call(const struct call *call) {
    const struct open_plan *plan = &call->scratch->plan;
    if (plan->fd < 0 && host_held(call, 0))
        return host_open(call, plan->flags | O_NOCTTY, plan->mode);
    return plan->flags & O_ONLY_TMPFILE ? open_unnamed(call) : view_open_plan(&call->scratch->plan, O_NOCTTY);
}

static void open_overlay(struct call *call, const struct location *loc, const struct opening *opening) {
    struct open_plan *plan = &call->scratch->plan;
    plan->opens = call->session->opens;
    int error = view_open(call->view, loc, opening->flags, opening->mode, &call->task->cred, plan);
    if (error < 0)
        return verdict_answer(call, error);
    if (open_may_change(opening->flags) && (S_ISREG(loc->type) || !loc->type))
        verdict_writes(call);   /* not a fifo, which may wait for ever */
    open_planned(call);
    call->made = plan->fd >= 0;
    if (plan->fix_mode)
        call->finish = opened;
}

/* /proc/PID/mem, /proc/PID/task/TID/mem: whoever writes there obeys no page protection, and a tracee that opens files
 * itself has their paths in memory that nobody may write. */
static bool is_memory(const struct location *loc, pid_t *pid) {
    const char *name = proc_process(loc->path, pid);
    return name && strcmp(name, "mem") == 0;
}

/* That of a process outside of the run, the supervisor's too, is the host's: who writes there acts as that process. */
static bool keeps_memory(struct call *call, const struct location *loc) {
    pid_t pid;
    if (!is_memory(loc, &pid))
        return false;
    if (!call->session->opens)
        verdict_refuse(call, EACCES, "memory of tracees is written by ptrace(2) and process_vm_writev(2) alone");
    else if (!task_in_run(call->session, pid))
        verdict_refuse(call, EACCES, "the process is not one of the run");
    else
        return false;
    return true;
}

/* The host's own places and read-only ones: devices and fifos are written as ever, sb_permission(), fs/namei.c.  Where
 * the kernel has something else to say (EEXIST, ENOTDIR, EISDIR) it does. */
static bool kept_from_open(struct call *call, const struct location *loc, int flags) {
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    if (flags & O_PATH || (loc->type && (flags & O_EXCL)))
        return false;
    if (writes && keeps_memory(call, loc))
        return true;
    if (loc->type == 0 ? flags & O_CREAT : loc->type == S_IFDIR && (flags & O_ONLY_TMPFILE))
        return host_keeps(call, loc, loc->type == 0);
    return loc->read_only && writes && loc->type == S_IFREG && !(flags & O_DIRECTORY) && host_keeps(call, loc, false);
}

static void note_link(struct call *call, const struct location *loc, int fd) {
    if (fstat(fd, &call->scratch->leads) == 0)
        call->scratch->link = loc->path;
}

bool open_leads_there(const struct call *call) {
    const struct call_scratch *scratch = call->scratch;
    struct stat now;
    if (!scratch || !scratch->link)
        return true;
    return stat(scratch->link, &now) == 0 && now.st_dev == scratch->leads.st_dev && now.st_ino == scratch->leads.st_ino;
}

/* What came from outside, opened by us: the number may lead elsewhere when the tracee opens it. */
static bool open_outside(struct call *call, const struct location *loc, const struct opening *opening) {
    int fd = outside_open(call, loc->path, opening->flags);
    if (fd == -ENOENT)
        return false;
    if (fd < 0) {
        verdict_answer(call, fd);
        return true;
    }
    open_real(call, loc->path, opening->flags & ~O_CREAT, 0);
    note_link(call, loc, fd);
    call->verdict = VERDICT_OPEN;
    call->alone = true;
    call->made = call->session->opens;
    if (call->made)
        call->scratch->plan.fd = fd;
    else
        close(fd);
    return true;
}

/* The tracee gets a descriptor of what is held, by the path where it was found. */
static void open_held(struct call *call, const struct location *loc, const struct opening *opening) {
    struct open_plan *plan = &call->scratch->plan;
    memcpy(plan->path, loc->path, loc->length + 1);
    plan->flags = opening->flags | (loc->magic ? 0 : O_NOFOLLOW);
    plan->unasked = opening->flags & (O_NOFOLLOW | O_PATH) ? 0 : O_NOFOLLOW;
    plan->mode = opening->mode;
    plan->fix_mode = false;
    open_planned(call);
}

static void hold_and_open(struct call *call, const struct location *loc, const struct opening *opening) {
    int flags = opening->flags;
    if (loc->type == S_IFLNK && !loc->magic && !(flags & O_EXCL))
        return verdict_answer(call, flags & O_DIRECTORY ? -ENOTDIR : -ELOOP);
    int error = loc->magic ? host_hold_link(call, 0, loc->path) : host_hold_name(call, 0, loc);
    if (error < 0)
        return verdict_answer(call, error);
    if (loc->magic)
        note_link(call, loc, call->scratch->host[0].object);
    open_held(call, loc, opening);
}

/* What was opened as the task itself would have done it. */
static void open_mapping(struct call *call, const struct location *loc, const struct opening *opening) {
    int fd = mapping_open(call, loc->path, opening->flags);
    if (fd < 0)
        return verdict_answer(call, fd);
    open_real(call, loc->path, opening->flags & ~O_CREAT, 0);
    call->verdict = VERDICT_OPEN;
    call->alone = true;
    call->made = true;
    call->scratch->plan.fd = fd;
}

static void open_host(struct call *call, struct location *loc, const struct opening *opening, bool as_asked) {
    bool changes = open_may_change(opening->flags);
    if (changes && call->session->opens && mapping_is_of(call, loc))
        return open_mapping(call, loc, opening);
    if (changes && (loc->magic ? open_outside(call, loc, opening) : kept_from_open(call, loc, opening->flags)))
        return;
    if (changes || !(as_asked || loc->magic || (opening->flags & O_PATH)))
        hold_and_open(call, loc, opening);
    else if (as_asked)
        settle_host(call, 0, loc);
    else
        open_real(call, loc->path, opening->flags, opening->mode);
}

/* as_asked: the kernel may be given the call itself. */
static void open_location(struct call *call, struct location *loc, const struct opening *opening, bool as_asked) {
    int flags = opening->flags;
    if ((flags & O_CREAT) && loc->slash)
        return verdict_answer(call, -EISDIR);
    if (loc->hidden)
        return verdict_answer(call, flags & O_CREAT ? -EACCES : -ENOENT);
    if (!loc->overlay)
        return open_host(call, loc, opening, as_asked);
    open_overlay(call, loc, opening);
}

/* False: the file tells nothing that has to be told otherwise. */
static bool open_maps(struct call *call, const struct opening *opening) {
    struct open_plan *plan = &call->scratch->plan;
    if (random_plan(call, opening->flags))
        return true;
    if (!texts_plan(call, opening->flags) && !maps_plan(call, opening->flags) && !mounts_plan(call, opening->flags))
        return false;
    open_real(call, plan->path, plan->flags, 0);
    call->verdict = VERDICT_OPEN;
    call->made = plan->fd >= 0;
    return true;
}

/* The kernel is left to open what is there for reading. */
static void open_passed(struct call *call, int error, int flags) {
    const struct location *loc = &call->scratch->loc[0];
    if (!error && !(flags & O_PATH))
        view_opened(call->view, loc);
    if (!error && loc->type && loc->type != S_IFREG && loc->type != S_IFDIR)
        call->repeat = NULL;   /* its open may wait */
}

/* Before the path is looked at: the file is neither made nor cut for who cannot be given a descriptor. */
static bool has_room(struct call *call, int flags) {
    if (!(flags & (O_CREAT | O_TRUNC)) || descriptor_is_left(call->task->tid))
        return true;
    verdict_answer(call, -EMFILE);
    return false;
}

/* "." of a removed directory, which is left to the kernel, or opened by its link: for reading, or for a file without a
 * name. */
static void open_removed(struct call *call, const struct opening *opening, bool as_asked) {
    struct location *loc = &call->scratch->loc[0];
    if (opening->flags & O_ONLY_TMPFILE) {   /* the file system says whether it makes one there */
        args_own_directory(call, 0);
        loc->magic = true;
        return hold_and_open(call, loc, opening);
    }
    if (open_may_change(opening->flags)) {
        bool makes = (opening->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
        return verdict_answer(call, makes ? -EEXIST : -EISDIR);
    }
    if (as_asked)
        return;
    args_own_directory(call, 0);
    open_real(call, loc->path, opening->flags & ~O_NOFOLLOW, 0);
}

/* as_asked: no other thread can change the flags that the kernel would find. */
static void open_path(struct call *call, struct opening *opening, bool as_asked) {
    struct target target;
    struct location *loc = &call->scratch->loc[0];
    int error = check_flags(opening);
    if (error == 0)
        error = args_fetch(call, 0);
    if (error < 0)
        return verdict_answer(call, error);
    if (!has_room(call, opening->flags) || (opening->flags & (O_CREAT | O_ONLY_TMPFILE) && !task_cred_umask(call)))
        return;
    verdict_enter_view(call);
    error = args_walk(call, 0, open_walk_flags(opening->flags), &target);
    if (error == 0 && !target.by_fd && open_maps(call, opening))
        return;
    bool faked = seen_wanted(call->session) && (error < 0 || loc->overlay);
    if (target.pass && as_asked && !open_may_change(opening->flags) && !faked)
        return open_passed(call, error, opening->flags);
    if (error < 0)
        return verdict_answer(call, error);
    if (target.by_fd)
        return open_removed(call, opening, as_asked);
    open_location(call, loc, opening, as_asked);
}

void do_open(struct call *call) {
    unsigned at = args_after(call);
    struct opening opening = {.flags = O_CREAT | O_WRONLY | O_TRUNC, .mode = (mode_t)call->arg[at]};
    if (call->row->detail != OPEN_CREAT) {
        opening.flags = (int)call->arg[at] & O_KNOWN;
        opening.mode = (mode_t)call->arg[at + 1];
    }
    open_path(call, &opening, true);
}

/* ---- openat2: what it is asked for lies in memory, so it is never passed ---- */

#define RESOLVE_KNOWN                                                                                                  \
    (RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED)
#define HOW_SIZE_FIRST 24u      /* OPEN_HOW_SIZE_VER0 */

/* copy_struct_from_user() */
static int read_how(struct call *call, struct open_how *how) {
    if (call->arg[3] < HOW_SIZE_FIRST)
        return -EINVAL;
    return memory_read_struct(&call->memory, call->arg[2], call->arg[3], how, sizeof *how);
}

/* openat2 is strict where open ignores. */
static int check_how(const struct open_how *how) {
    if (how->flags & ~(uint64_t)O_KNOWN || how->resolve & ~(uint64_t)RESOLVE_KNOWN)
        return -EINVAL;
    if ((how->resolve & RESOLVE_BENEATH) && (how->resolve & RESOLVE_IN_ROOT))
        return -EINVAL;
    bool makes = how->flags & (O_CREAT | O_ONLY_TMPFILE);
    if (makes ? how->mode & ~07777ull : how->mode)
        return -EINVAL;
    if ((how->flags & O_PATH) && (how->flags & ~(uint64_t)(O_WITH_PATH | O_KERNEL_LARGEFILE)))
        return -EINVAL;
    /* "Not from the cache" is always a true answer, and callers ask again without the flag. */
    return how->resolve & RESOLVE_CACHED ? -EAGAIN : 0;
}

static void open_scoped(struct call *call, struct opening *opening, uint64_t resolve) {
    struct location *loc = &call->scratch->loc[0];
    int error = check_flags(opening);
    if (error == 0)
        error = args_fetch(call, 0);
    if (error == 0)
        error = args_fetch_directory(call, 0);
    if (error < 0)
        return verdict_answer(call, error);
    if (!has_room(call, opening->flags) || (opening->flags & (O_CREAT | O_ONLY_TMPFILE) && !task_cred_umask(call)))
        return;
    verdict_enter_view(call);
    error = scoped_walk(call, resolve, open_walk_flags(opening->flags));
    if (error < 0)
        return verdict_answer(call, error);
    if (error == SCOPED_REMOVED)
        return open_removed(call, opening, false);
    if (open_maps(call, opening))
        return;
    open_location(call, loc, opening, false);
}

void do_openat2(struct call *call) {
    struct open_how how;
    int error = read_how(call, &how);
    if (error == 0)
        error = check_how(&how);
    if (error < 0)
        return verdict_answer(call, error);
    struct opening opening = {.flags = (int)how.flags, .mode = (mode_t)how.mode};
    if (how.resolve)
        open_scoped(call, &opening, how.resolve);
    else
        open_path(call, &opening, false);
}
