/* internal.h - what the handlers share.
 *
 * Rules: a handler reads the tracee's memory and takes its credentials first, then enters the view (resolve() does
 * that), decides, and leaves the view before it writes to the tracee: nothing that another process can hold up
 * happens inside.  call_begin() leaves a view that a handler has not left.
 * Only reading is ever passed; what changes a place that no overlay covers the supervisor does for the tracee (host.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CALLS_INTERNAL_H
#define PTOVERLAY_CALLS_INTERNAL_H

#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../process/descriptor.h"
#include "../process/family.h"
#include "../process/memory.h"
#include "../process/object.h"
#include "../process/rlimit.h"
#include "call.h"

/* linux/stat.h and sys/stat.h both have struct statx only under conditions; AT_* of linux/fcntl.h clash with
 * fcntl.h in old headers, so what may be missing is given here (include/uapi/linux/fcntl.h). */
#ifndef AT_FDCWD
#define AT_FDCWD (-100)
#endif
#ifndef AT_SYMLINK_NOFOLLOW
#define AT_SYMLINK_NOFOLLOW 0x100
#endif
#ifndef AT_EACCESS
#define AT_EACCESS 0x200
#endif
#ifndef AT_REMOVEDIR
#define AT_REMOVEDIR 0x200
#endif
#ifndef AT_SYMLINK_FOLLOW
#define AT_SYMLINK_FOLLOW 0x400
#endif
#ifndef AT_NO_AUTOMOUNT
#define AT_NO_AUTOMOUNT 0x800
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef AT_STATX_SYNC_TYPE
#define AT_STATX_SYNC_TYPE 0x6000
#endif
#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif

#define O_KERNEL_LARGEFILE 0100000  /* O_LARGEFILE, which is 0 in the C library */

/* ---- args.c: from arguments to a location ---- */
struct given {
    bool by_fd;             /* the descriptor itself is meant */
    bool bare;              /* … by a call that takes no O_PATH descriptor */
    bool absolute;
    int fd;                 /* the descriptor that the path is relative to, or AT_FDCWD */
    int kind;               /* of what fd leads to: enum object_kind */
    size_t length;
    char path[PATH_MAX];    /* as the tracee gave it */
    char real[PATH_MAX];    /* where fd leads, as /proc shows it */
};
struct target {
    struct location *loc;
    bool by_fd;
    int kind;               /* by_fd: enum object_kind */
    bool pass;              /* loc->pass; false while there has been no walk */
};
/* Reads path and directory of operand i into the scratch. -EFAULT, -ENOENT, -EBADF, -ENAMETOOLONG. */
int fetch(struct call *call, unsigned i);
/* The directory alone, which an absolute path makes meaningless and fetch() does not look at then. -EBADF. */
int fetch_directory(struct call *call, unsigned i);
/* WALK_FOLLOW or 0, from the AT_* flags of the row; -EINVAL. */
int walk_flags(const struct call *call, unsigned *flags);
/* Walks what fetch() has read.  The view must be entered. */
int walk_given(struct call *call, unsigned i, unsigned flags, struct target *target);
/* Walks a path from the tracee's current directory. */
int walk_path(struct call *call, const char *path, unsigned flags, struct location *loc);
/* fetch(), view_enter() and walk_given() of the first operand. */
int resolve(struct call *call, struct target *target);
/* The first argument behind the first operand. */
unsigned after_operand(const struct call *call);
/* The tracee's current directory as a path in the view, into out.  The view must be entered. -ENOENT: removed. */
int current_directory(struct call *call, const char **path, bool *pass);

/* ---- verdicts.c ---- */
void view_enter(struct call *call);
void view_leave(struct call *call);
void answer(struct call *call, long value);
/* Leaves the view, writes to the tracee, and answers value, or -EFAULT. */
void answer_bytes(struct call *call, uint64_t address, const void *data, size_t size, long value);
/* Answers -error because the call cannot be carried out; counted, and the end of the tracee with --strict. */
void refuse(struct call *call, int error, const char *reason);
void substitute_value(struct call *call, unsigned arg, uint64_t value);
void substitute_bytes(struct call *call, unsigned arg, const void *data, size_t size);
void substitute_string(struct call *call, unsigned arg, const char *string);
/* Answers when the host's object, or with `makes` the name, must stay as it is: a read-only or fixed place. */
bool host_keeps(struct call *call, const struct location *loc, bool makes);
/* What a reading call of an uncovered place gets: PASS, or the same call with its canonical path. */
void host_verdict(struct call *call, unsigned i, struct location *loc);
/* The overlay place that a reading call asks about, the view entered; NULL: the verdict is there. */
struct location *reading(struct call *call);
/* The same for a target that has been walked, with what the walk returned. */
struct location *settle_read(struct call *call, int error, const struct target *target);
/* The f… calls take no O_PATH descriptor (AT_EMPTY_PATH does). True: the verdict is there. */
bool refuse_path_descriptor(struct call *call);
/* The place that a call changes, as settle_change(), the view entered; NULL: the verdict is there. */
struct location *changing(struct call *call);
/* Settles a hidden place and errors of the walk, for a change of target.  What is returned has an overlay, or is on
 * the host and held by us (host_held()), an object without a name too. */
struct location *settle_change(struct call *call, unsigned i, int error, const struct target *target);
/* PASS with call_finish() at the exit; afterwards *generation is raised, and *pending is up meanwhile. */
void watch(struct call *call, uint64_t *generation, unsigned *pending);

/* ---- task.c ---- */
/* Credentials of the task, NULL with the verdict set when they cannot be had. */
const struct cred *task_cred(struct call *call);
/* The same with a umask that is right. */
const struct cred *task_cred_umask(struct call *call);
/* For access(2): those of the real ids. */
const struct cred *task_real_cred(struct call *call, struct cred *out);
/* Does the task run under a seccomp filter of its own, which may kill it for a call that it does not make? */
bool task_filtered(const struct call *call);
/* -errno: not to be had. */
int task_pidfd(struct task *task);
/* A descriptor of the tracee, as ours; -errno. */
int task_descriptor(struct call *call, int fd);
struct identity *identity_new(void);
void identity_free(struct identity *identity);
bool identity_privileged(const struct session *session);
/* Has the supervisor CAP_SYS_PTRACE, for which no process is closed? */
bool identity_traces_all(const struct session *session);
/* Are all ids of a process the real ones of the task, whose credentials are known? */
bool task_same_ids(const struct task *task, pid_t pid);
/* The supervisor's own; the groups belong to the session.  False: they are not known. */
bool identity_cred(const struct session *session, struct cred *cred);

/* ---- prctl.c ---- */
/* The task executes another program; threads that its process had may be known still. */
void dumpable_again(struct task *task);

/* ---- busy.c ---- */
void tasks_enter(struct session *session, struct task *task);
void tasks_leave(struct task *task);
/* arg: the session. -ETXTBSY when a task executes the file that the view shows with this identity, else 0. */
int busy_executed(void *arg, const struct statx *file);
/* Has a thread with this id, or one of this process or of one that it descends from, called? */
bool task_in_run(struct session *session, pid_t pid);

/* ---- nest.c: views within the view of the run ---- */
/* Chooses the view that the task is in; false: the verdict is there. */
bool nest_enter(struct call *call);
void nest_leave(struct call *call);
/* PTO_STRICT: of the run or the nest. */
unsigned call_flags(const struct call *call);
/* The view is entered. */
void nests_hide(struct session *session, const char *path);
void nests_clear(struct session *session);

/* ---- cwd.c: directories that the supervisor keeps for tasks ---- */
bool cwd_kept(const struct session *session, pid_t tid);
/* The link that leads to the task's directory: the kernel's, or to a descriptor of ours. */
void cwd_link(const struct session *session, pid_t tid, char out[PROC_LINK]);
/* From now on the process of the call is there for the view.  The view is entered; 0 or -errno. */
int cwd_keep(struct call *call, const char *real);
void cwds_clear(struct session *session);

/* ---- watches.c ---- */
void instances_clear(struct session *session);

/* ---- magic.c ---- */
int magic_link(void *arg, const char *link, char *target);
/* Text that readlink of a magic link shows in the view, into out[PATH_MAX]; 0: it is no such link. -errno. */
int magic_text(struct call *call, const char *link, char *out);
/* What follows "/proc/PID/" or "/proc/PID/task/TID/"; NULL: path is not of that form. */
const char *magic_process(const char *path, pid_t *pid);
/* From a real path, without " (deleted)", to what the view has there, both in path[PATH_MAX]; *kind: OBJECT_NAMED or
 * OBJECT_DELETED; *same: the kernel comes to the same object by that path.  -errno. */
int magic_shown(struct call *call, char *path, int *kind, bool *same);

/* ---- maps.c ---- */
/* Is the call's location, to be opened with these flags, a file of /proc that tells real paths which the view has elsewhere?  Then
 * the plan is to open its text with the view's paths.  The view is entered, and left meanwhile. */
bool maps_plan(struct call *call, int flags);

/* ---- outside.c: descriptors that came from outside and are opened again; the view is entered ---- */
/* Does link, which is …/fd/N in /proc, lead to a lower's file that such a descriptor may write? */
bool outside_leads(struct call *call, const char *link);
/* Opens that file for the caller: a descriptor of ours, or -errno; -ENOENT: it is none. */
int outside_open(struct call *call, const char *link, int flags);
/* False: it is none. */
bool outside_truncate(struct call *call, const char *link, off_t length);

/* ---- programs.c: the directory of a run, for what must exist under a name of its own ---- */
struct programs;
/* Its path, made when first needed; NULL when it cannot be made. */
const char *run_directory(struct session *session);
void programs_clear(struct session *session);
/* A name in it, of the given last component, that leads to target; into out[PATH_MAX]. -errno. */
int programs_link(struct session *session, const char *name, const char *target, char *out);
/* A copy of the program whose PT_INTERP is interpreter; into out[PATH_MAX]. -errno. */
int programs_copy(struct session *session, const char *view_path, const char *real, const char *interpreter, char *out);
/* View path of the program of which real is a copy; NULL: it is none. Valid as long as the session. */
const char *programs_original(struct session *session, const char *real);
/* A short name for a path that is too long for a socket address; out[SHORT_NAME]. Number to give to
 * programs_unshorten. */
#define SHORT_NAME 92
int programs_shorten(struct session *session, const char *path, char out[SHORT_NAME]);
void programs_unshorten(struct session *session, int number);
int write_all(int fd, const char *text, size_t length);
/* A file that only the owner of cred may read, under such a name. */
int programs_text(struct session *session, const struct cred *cred, const char *text, size_t length,
                  char out[SHORT_NAME]);

/* ---- script.c, elf.c: what an executable asks for ---- */
#define SCRIPT_LINE 256     /* BINPRM_BUF_SIZE */
struct script {
    char interpreter[SCRIPT_LINE];
    char argument[SCRIPT_LINE];     /* "" without one: has_argument tells */
    bool has_argument;
};
/* The first line of a script, from the first SCRIPT_LINE bytes of the file, padded with NULs.  0: no script. 1.
 * -ENOEXEC. */
int script_parse(const char line[SCRIPT_LINE], struct script *script);
/* PT_INTERP of an ELF file into out[PATH_MAX]: its length, 0 without one or when fd is no ELF file. */
int elf_interpreter(int fd, char *out);
/* A program of the 32-bit architecture that this one can run too, all of whose calls would be refused. */
bool elf_is_foreign(int fd);
/* Makes the copy in fd ask for another interpreter. -errno. */
int elf_set_interpreter(int fd, const char *interpreter);

/* ---- sockets.c: what AF_UNIX sockets are called, where the kernel has another name for them ---- */
struct address {
    socklen_t length;
    struct sockaddr_un un;
};
/* bound: what the kernel has; asked: what the tracee gave, and is to be told. */
int sockets_record(struct session *session, const struct address *bound, const struct address *asked);
bool sockets_find(struct session *session, const struct address *bound, struct address *asked);
bool sockets_any(struct session *session);
void sockets_clear(struct session *session);

/* ---- socket.c ---- */
#define ADDRESS_PATH_AT offsetof(struct sockaddr_un, sun_path)
/* Looks up the peer that an address names.  1: the tracee is to use the scratch's `address`; 0: its own; -errno. */
int socket_peer(struct call *call, uint64_t at, uint64_t length);
/* Writes an address as the kernel does: cut to the tracee's buffer of `size` bytes, its true length beside. -EFAULT. */
int socket_tell(struct call *call, uint64_t at, uint64_t length_at, int size, const struct address *address);

/* ---- host.c ---- */
struct host {               /* what is to be changed on the host */
    int dir;                /* the directory of the name, -1: it was not found by one */
    int object;             /* O_PATH, -1: the name is meant */
    char name[NAME_MAX + sizeof "/."];
};

/* ---- what a call holds from call_begin to call_end ---- */
struct call_scratch {
    struct call_scratch *next;
    bool entered;               /* we hold view_lock */
    bool exec_patch;            /* exec: AT_EXECFN is to be changed */
    int short_name;             /* in the run's directory: of a socket address, of a text; -1: none */
    uint64_t *generation;       /* watch() */
    unsigned *pending;
    void *owned[2];             /* freed by call_end */
    const struct cred *cred;    /* who walks, NULL: the task as it is */
    struct walker walker;
    struct given given[2];
    struct location loc[2];
    struct location start;
    struct location spare;      /* of magic_link() */
    struct host host[2];
    const char *link;           /* of /proc, by which the object to open was found; NULL: by its path … */
    struct stat leads;          /* … and what it was */
    struct open_plan plan;
    struct open_how how;
    char real[PATH_MAX];
    char text[PATH_MAX];
    struct address asked;       /* of a socket, as the tracee gave it */
    struct address address;     /* … and as the kernel gets it */
    int size;                   /* of the tracee's buffer for an address */
};

/* ---- the handlers ---- */
handler_fn do_open, do_openat2;
/* An open with these flags may change something, or would if another process made or removed a name meanwhile. */
bool open_may_change(int flags);
handler_fn do_stat, do_statx, do_access;
handler_fn do_chmod, do_chown, do_truncate, do_utime, do_utimes, do_utimensat, do_ioctl;
handler_fn do_mkdir, do_mknod, do_unlink, do_rename, do_link, do_symlink, do_readlink;
handler_fn do_getxattr, do_listxattr, do_setxattr, do_removexattr;
handler_fn do_getxattrat, do_listxattrat, do_setxattrat, do_removexattrat;
handler_fn do_getdents, do_chdir, do_fchdir, do_getcwd, do_chroot;
handler_fn do_execve;
handler_fn do_bind, do_connect, do_sendto, do_sendmsg, do_sendmmsg, do_socket_name, do_accept, do_recvfrom, do_recvmsg,
    do_recvmmsg;
handler_fn do_sync;
handler_fn do_statfs, do_inotify_add_watch, do_inotify_rm_watch, do_fanotify_mark;
handler_fn do_umask, do_set_credentials, do_prctl, do_rlimit, do_nest;
handler_fn do_refuse, do_unknown, do_fanotify_init, do_pidfd_getfd, do_clone, do_unshare, do_setns;
/* What unshare(2) may be asked for. */
#define UNSHARE_KNOWN                                                                                                  \
    (CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWCGROUP |              \
     CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME)

#endif
