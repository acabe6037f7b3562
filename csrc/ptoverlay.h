/* ptoverlay.h - the core as the Python package sees it.
 *
 * The lines between "cdef begin" and "cdef end" are also read by cffi, so they hold plain
 * declarations only: no include, no expression, no macro with an argument.
 *
 * Every function that can fail returns 0 or a positive value, or -errno.  Those that take
 * `char *message, size_t size` write one line "what: why" there when they fail.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_H
#define PTOVERLAY_H

#include <stddef.h>
#include <stdint.h>

/* cdef begin */
typedef struct pto_view pto_view;

/* flags of one overlay (mount options of overlayfs, Documentation/filesystems/overlayfs.rst) */
#define PTO_READ_ONLY                                                                                                  \
    1          /* "ro": nothing may be changed; an upper is then only looked at: neither it nor its work
                                  * directory, which may be NULL, is locked, so a run may be using them */
#define PTO_VOLATILE 2           /* "volatile": no sync; a crashed upper is refused */
#define PTO_USERXATTR 4          /* "userxattr": user.overlay.* instead of trusted.overlay.* */
#define PTO_TEMPORARY 8          /* upper and work were made for this run and go away with it */
#define PTO_NO_REDIRECT 16       /* "redirect_dir=off": EXDEV for the rename of a merged directory */
#define PTO_METACOPY 32          /* "metacopy=on": changes of attributes leave the data in the lower */
#define PTO_TRUST 64             /* redirects and kept owners count whoever has set them */
#define PTO_NUMBERS                                                                                                    \
    128        /* lowers that were uppers show the inode numbers that they keep, as steps of one history
                                  * do; the kernel shows those that their objects have */

#define PTO_BASES 256            /* texts of the last lower are kept in the work directory when the upper gets them */

/* One overlay.  lowers: n_lowers directories, topmost first; upper and work: NULL for a read-only
 * view, else existing directories; mount: where it appears, an existing directory. */
struct pto_overlay {
    const char *const *lowers;
    size_t n_lowers;
    const char *upper;
    const char *work;
    const char *mount;
    unsigned flags;
    size_t n_data;                   /* of the lowers, the last ones: data-only ("lower::data"), not merged */
};

/* kinds of places that are treated otherwise than the overlay around them */
#define PTO_DIRECT 1             /* seen and written as it is on the host */
#define PTO_PLACE_READ_ONLY 2    /* EROFS for every change */
#define PTO_HIDDEN 3             /* ENOENT, and not listed */
#define PTO_PLACE_FIXED 4        /* of the host, down to the next direct place: names and attributes stay (EPERM) */

pto_view *pto_view_new(void);
void pto_view_free(pto_view *view);
/* -EBUSY: upper or work in use by another run; -EROFS: on a read-only file system; -EINVAL: upper and
 * lower or work overlap in a way that cannot work; -ENOTDIR, -ENOENT, -EACCES as open(2). */
int pto_view_add_overlay(pto_view *view, const struct pto_overlay *overlay, char *message, size_t size);
/* 1: PTO_HIDDEN of what is not there. */
int pto_view_add_place(pto_view *view, int kind, const char *path, char *message, size_t size);
/* The host's source, a directory or a file, is shown and written at path, which is one of the view or a name that a
 * directory of it may have.  Not within a run.  0, or -errno: -EINVAL: a layer shows the source. */
int pto_view_add_bind(pto_view *view, const char *source, const char *path, char *message, size_t size);

/* Shows what a run with PTO_FEATURE_FAKE_ROOT shows of the layers: what our user owns is root's, and what was kept for
 * root is there. */
void pto_view_fake_root(pto_view *view);
/* For tools, whose user owns the layers: owners and modes that are only shown keep nothing from being looked at.
 * What the kernel forbids stays so. */
void pto_view_read_all(pto_view *view);

/* ---- running a command ---- */
#define PTO_TRAP_AUTO 0
#define PTO_TRAP_PTRACE 1
#define PTO_TRAP_NOTIFY 2
#define PTO_TRAP_OUTER 3         /* in a result only: that of the run which this one is inside */

#define PTO_KILL_ON_EXIT 1
#define PTO_STRICT 2
#define PTO_NO_NETWORK 8 /* CMD can make sockets of AF_UNIX alone */
#define PTO_BY_PYTHON 128 /* SIGPIPE and SIGXFSZ are ignored, but not for the command */
#define PTO_BECOME 64 /* the command runs as another user, for who may become one */
#define PTO_INSIDE 4 /* calls about what only a lower has are answered inside of programs that make many */

/* What a run can have that others have not, and pay nothing for: features of a command. */
#define PTO_FEATURE_FAKE_ROOT 1 /* CMD sees itself as root */
#define PTO_FEATURE_BUILD 2 /* what CMD sees depends on its inputs alone */
#define PTO_FEATURE_RECORD 4 /* what CMD asks for is recorded */
#define PTO_FEATURE_ROOTS 8 /* chroot(2) */
#define PTO_FEATURE_NAMESPACES 16 /* mount namespaces of CMD's own */
#define PTO_FEATURE_LIMIT 32 /* pto_view_set_limit() has been called */

/* What of a build is not as it is on this machine: switches of a command with PTO_FEATURE_BUILD. */
#define PTO_BUILD_LISTINGS 1     /* names of directories come sorted */
#define PTO_BUILD_ADDRESSES 2    /* no randomisation of addresses */
#define PTO_BUILD_CLOCK 4        /* time begins at epoch and goes on by use */
#define PTO_BUILD_RANDOM 8       /* random bytes come from seed */
#define PTO_BUILD_MACHINE 16     /* host name, kernel, processors and memory */
#define PTO_BUILD_FILES 32       /* times and numbers of files */
#define PTO_BUILD_INPUTS 64 /* what was asked for and is not there is told to missing_fd: paths, each with a NUL */
#define PTO_BUILD_REVERSED 128   /* with LISTINGS: … from behind */
#define PTO_BUILD_SHUFFLED 256   /* … in an order of chance that is always the same */
#define PTO_BUILD_OTHER_HOST 512 /* the host name is neither this machine's nor the one of MACHINE */
#define PTO_BUILD_WATCHED 1024   /* without CLOCK: that the time was asked for is recorded (PTO_INPUT_CLOCK) */

/* where a run failed, if it did (the exit status follows from it: 125, 126, 127) */
#define PTO_STAGE_NONE 0
#define PTO_STAGE_SETUP 1
#define PTO_STAGE_CHDIR 2
#define PTO_STAGE_EXEC 3
#define PTO_STAGE_LOST 4 /* CMD ran, and the supervisor lost it */

/* argv: NULL-terminated, argv[0] is searched in PATH of envp, in the view; envp: NULL-terminated;
 * chdir: directory in the view to start in, or NULL for the one we are in; trace_fd: -1, or where
 * struct pto_trace records are written; record_fd: with PTO_FEATURE_RECORD, where struct pto_input records are
 * written at the end; message_fd: where warnings go, or -1; data_limit: most bytes of memory of its own that each
 * process may have (RLIMIT_DATA), 0: as many as we; uid, gid, groups: with PTO_BECOME whom the command runs as;
 * blocked: the signals that it begins with blocked, bit n - 1 for
 * signal n; features: PTO_FEATURE_*; build: PTO_BUILD_*, with epoch in seconds since 1970. */
struct pto_command {
    const char *const *argv;
    const char *const *envp;
    const char *chdir;
    int trap;
    unsigned flags;
    int trace_fd;
    int record_fd;
    int message_fd;
    int verbose;
    uint64_t data_limit;
    uint64_t blocked;
    unsigned features;
    uint32_t uid, gid;
    const uint32_t *groups;
    size_t n_groups;
    unsigned build;
    int64_t epoch;
    uint64_t seed;
    int missing_fd;
};

#define PTO_VERDICT_PASS 0
#define PTO_VERDICT_RETURN 1
#define PTO_VERDICT_OPEN 2
#define PTO_VERDICT_SUBSTITUTE 3
#define PTO_VERDICTS 4
#define PTO_CALLS 512

/* One trapped call, followed in the stream by path_length bytes: the view's path it named, if any. */
struct pto_trace {
    uint64_t nanoseconds; /* CLOCK_MONOTONIC at the stop */
    uint64_t args[6];
    int64_t value; /* RETURN: value or -errno */
    int32_t pid;
    int32_t nr;
    uint32_t verdict;
    uint32_t path_length;
};

/* How CMD came to depend on a path of the view. */
#define PTO_INPUT_PROGRAM 0 /* no question: the path is what `program` means in later records */
#define PTO_INPUT_LOOKED 1 /* its attributes, or whether it is there */
#define PTO_INPUT_READ 2 /* opened for reading: a directory may have been listed */
#define PTO_INPUT_TARGET 3 /* where the symlink leads, asked or followed */
#define PTO_INPUT_EXECUTED 4 /* a program, or a script */
#define PTO_INPUT_LOADER 5 /* what the kernel ran beside it: the interpreter of a script or of an ELF file */
#define PTO_INPUT_CHANGED 6 /* made, written, removed or given other attributes: what was there before mattered */
#define PTO_INPUT_SOCKET 7 /* a socket with this name was talked to; "": one of another family than AF_UNIX was made */
#define PTO_INPUT_CLOCK 8 /* the time was asked for, which is not fixed; no path */
/* flags */
#define PTO_INPUT_OWN 1 /* no directory, and the upper had it: it was made by CMD, or by a run before */
#define PTO_INPUT_FAILED 2 /* the walk ended there: it is not there, no directory, or not to be searched */
#define PTO_INPUT_HOST 4 /* no overlay covers it */
#define PTO_INPUT_LOST 8 /* a record without a path: there was no memory, and some are missing */

/* One dependency, followed in the stream by path_length bytes: a canonical path of the view.  Each is told once for a
 * program. */
struct pto_input {
    uint32_t kind;
    uint32_t flags;
    uint32_t program; /* number of a PTO_INPUT_PROGRAM record before; 0: not known */
    uint32_t path_length;
};

struct pto_stats {
    uint64_t calls[512][4]; /* by call number and verdict */
    uint64_t nanoseconds[512]; /* spent by the supervisor, by call number */
    uint64_t refused; /* calls answered with an errno because they cannot be carried out */
    uint64_t processes;
    uint64_t copy_ups;
    uint64_t copied_bytes;
    uint64_t whiteouts;
    uint64_t repointed; /* descriptors of lower files that were replaced when the file was copied up … */
    uint64_t left_lower; /* … and that were to be, but still are of the lower file */
    uint64_t inside_programs; /* programs that got a stub … */
    uint64_t inside_calls; /* … and calls that were answered there, without a trap */
    uint64_t inside_compared; /* of these: with PTOVERLAY_INJECT=check … */
    uint64_t inside_different; /* … and those to which the supervisor had another answer */
    uint64_t no_room; /* calls that got ENOSPC by the limit of the uppers */
    uint64_t closed; /* times that a fake root met a file or a directory that only root may read */
};

struct pto_result {
    int status; /* of CMD, as waitpid(2) gives it */
    int stage; /* PTO_STAGE_*: anything but NONE and LOST means CMD never ran */
    int error; /* errno that belongs to stage */
    int trap; /* PTO_TRAP_PTRACE, PTO_TRAP_NOTIFY or PTO_TRAP_OUTER: the one used */
    int landlock; /* the kernel forbids tracees to change names (1), and contents too (2), by themselves */
    int inside; /* -errno: no program could answer calls itself; 0: one did, or none was to */
    char message[1024]; /* "what: why" when stage is not NONE */
    struct pto_stats stats;
};

/* Runs the command over the view and waits for it and (without PTO_KILL_ON_EXIT) for all that it
 * started.  Call it with the GIL released: it blocks.  0, or -errno with result->stage set. */
int pto_run(pto_view *view, const struct pto_command *command, struct pto_result *result);
/* Several commands over one view, each started by a process of its own (join.h).  channel: of a pair of SOCK_SEQPACKET
 * sockets, whose other end that process has; of the command only trap, flags, trace_fd, message_fd and verbose count.
 * It blocks as pto_run() does, and any number may be under way in threads of this process, which does nothing else. */
int pto_host(pto_view *view, int channel, const struct pto_command *command, struct pto_result *result);
/* The other end: starts the command and waits for it, as pto_run() does.  Of the command trap and trace_fd do not
 * count.  ask: of another such pair, whose other end answers each 'L' and 'E' with what pto_left() and pto_end() have
 * there: 65 numbers of 32 bits, how many and the first ids. */
int pto_join(int channel, int ask, const struct pto_command *command, struct pto_result *result);
/* The overlay of spec->mount gets another upper while commands run in it, and its own one becomes its topmost lower:
 * spec is as the overlay is to be then.  Files that are open for writing go to the new upper, copies of them stay.
 * Everything waits from the one to the other call, which the same thread makes.  NULL: with *error -errno, and nothing
 * has changed; -EBUSY: not now. */
typedef struct pto_relay pto_relay;
pto_relay *pto_relay_begin(pto_view *view, const struct pto_overlay *spec, int *error, char *message, size_t size);
/* go 0: all is as it was.  How many of these files could not go along. */
int pto_relay_end(pto_relay *relay, int go);
/* Frees what a change of uppers has left; it may take a while. */
void pto_relay_clean(pto_view *view);
/* Before commands run: all uppers and work directories that the first overlay may get lie in this directory. 0, or
 * -errno. */
int pto_view_set_room(pto_view *view, const char *path);
/* Before commands run, when all overlays are laid: the uppers may take so many bytes together, of which `used` are
 * taken.  An object counts by its length in blocks of 4096 bytes, and for one of them at least, whiteouts for nothing.
 * Commands then have PTO_FEATURE_LIMIT. 0, or -ENOMEM. */
int pto_view_set_limit(pto_view *view, uint64_t limit, uint64_t used);
/* What they take now. */
uint64_t pto_view_used(pto_view *view);
/* run, here and below: the view or the pto_nested that is being run; the result of pto_host() and pto_join().
 * From another thread or a signal handler: send this signal to CMD. */
int pto_signal(const void *run, int signal);
/* From another thread: milliseconds since CMD has ended, while what it has started is waited for; else -1. */
int64_t pto_ended(const void *run);
/* From another thread, when CMD has ended: how many processes of the run are still there; `found` gets the ids of the
 * first. */
int pto_left(const void *run, int *found, int room);
/* SIGKILL to these: how many there were.  To be called again, since they may have started others meanwhile, until it is
 * over. */
int pto_end(const void *run);
/* From another thread while pto_run lasts: 1 when CMD has become the command (execve(2) has succeeded), 0 when it has
 * not, or will not.  Where the kernel does not tell (pidfd_getfd(2)), 1 as soon as there is a CMD. */
int pto_began(const void *run);

/* ---- a run inside a run ---- */
/* Its calls are trapped by the supervisor of the run that we are in, and answered in a view within the view of that
 * run: paths of layers, mount points and places are paths of the outer view. */
typedef struct pto_nested pto_nested;
/* Is this process in a run? */
int pto_is_nested(void);
/* NULL: the supervisor, or the memory, does not allow it; message says why. */
pto_nested *pto_nested_new(char *message, size_t size);
/* When nothing runs in it any more. */
void pto_nested_free(pto_nested *nested);
/* As pto_view_add_overlay(); -EXDEV: an upper or a work directory that the outer view merges with a lower, or a lower
 * in which another overlay of the outer run lies; -EPERM: the run belongs to another user. */
int pto_nested_add_overlay(pto_nested *nested, const struct pto_overlay *overlay, char *message, size_t size);
int pto_nested_add_place(pto_nested *nested, int kind, const char *path, char *message, size_t size);
/* As pto_run(); trap, trace_fd and message_fd of the command have no effect, and of the statistics only
 * processes is set, to 1. */
int pto_nested_run(pto_nested *nested, const struct pto_command *command, struct pto_result *result);

/* ---- the table, for tests and for --trace ---- */
int pto_table_size(void);
/* name of row i of the call table and its number on this machine (-1: not a call here). */
const char *pto_table_name(int i, int *nr);

/* ---- the view without a tracee: absolute paths, our own credentials ---- */
struct pto_stat {
    uint64_t dev, ino, nlink, size, blocks, rdev;
    uint32_t mode, uid, gid, blksize;
    int64_t mtime_sec, atime_sec, ctime_sec;
    uint32_t mtime_nsec, atime_nsec, ctime_nsec;
};
/* where a path is from: bits */
#define PTO_FROM_UPPER 1
#define PTO_FROM_LOWER 2
#define PTO_FROM_HOST 4
int pto_stat(pto_view *view, const char *path, int follow, struct pto_stat *out);
/* writes the real path; returns PTO_FROM_* bits */
int pto_real(pto_view *view, const char *path, int follow, char *out, size_t size);
/* maps a real path (of a layer) back to the view's path; -ESTALE: it has no name in the view */
int pto_map_back(pto_view *view, const char *real, char *out, size_t size);
/* flags and mode as open(2); returns a descriptor */
int pto_open(pto_view *view, const char *path, int flags, unsigned mode);
int pto_mkdir(pto_view *view, const char *path, unsigned mode);
int pto_mknod(pto_view *view, const char *path, unsigned mode, uint64_t dev);
int pto_symlink(pto_view *view, const char *target, const char *path);
int pto_link(pto_view *view, const char *from, const char *to);
int pto_unlink(pto_view *view, const char *path);
int pto_rmdir(pto_view *view, const char *path);
int pto_rename(pto_view *view, const char *from, const char *to, unsigned flags);
int pto_chmod(pto_view *view, const char *path, unsigned mode);
int pto_truncate(pto_view *view, const char *path, int64_t size);
/* follow 0: a symlink itself.  (uint32_t)-1: as it is. */
int pto_chown(pto_view *view, const char *path, int follow, uint32_t uid, uint32_t gid);
/* nsec may be UTIME_NOW or UTIME_OMIT of utimensat(2) */
int pto_utimens(pto_view *view, const char *path, int follow, int64_t atime_sec, uint32_t atime_nsec, int64_t mtime_sec,
                uint32_t mtime_nsec);
int pto_readlink(pto_view *view, const char *path, char *out, size_t size);
int64_t pto_getxattr(pto_view *view, const char *path, const char *name, void *value, size_t size);
int pto_setxattr(pto_view *view, const char *path, const char *name, const void *value, size_t size, int flags);
int64_t pto_listxattr(pto_view *view, const char *path, char *list, size_t size);
int pto_removexattr(pto_view *view, const char *path, const char *name);
/* names of a directory, each ended by a NUL, into list; returns bytes, or bytes needed if size is 0 */
int64_t pto_list(pto_view *view, const char *path, char *list, size_t size);
/* ---- what the layers hold under a path of the view, for tools that review, commit or ship a layer ---- */
#define PTO_WHITEOUT 14 /* DT_WHT: the upper hides the name */
#define PTO_ENTRY_OPAQUE 1 /* an upper directory that merges nothing below it */
#define PTO_ENTRY_REDIRECT 2 /* an upper directory that merges lowers of another name */
#define PTO_ENTRY_HIDDEN 4 /* a hidden place, or the view's own layer directory */
#define PTO_ENTRY_DIRECT 8 /* no overlay covers it, or a direct place */
struct pto_entry {
    uint32_t upper; /* DT_* of readdir(3) of what the upper has, PTO_WHITEOUT, 0: nothing */
    uint32_t lower; /* DT_* of what lowers would show there without the upper, 0: nothing */
    uint32_t layer; /* topmost lower that has it, 1: the first of the list; 0: none */
    uint32_t flags; /* PTO_ENTRY_* */
    char upper_path[4096]; /* real path in the upper, whether it exists or not; "" without an upper */
    char lower_path[4096]; /* real path of what the topmost lower has, or "" */
};
/* Symlinks are followed in all but the last component. -ENOENT: not even a whiteout has the name. */
int pto_entry(pto_view *view, const char *path, struct pto_entry *out);
/* Names that the upper has in a directory of the view, whiteouts included: for each a byte (the kind as in
 * struct pto_entry) and the name ended by a NUL.  Returns bytes, or bytes needed if size is 0; 0 when the directory is
 * not in the upper. */
int64_t pto_upper_list(pto_view *view, const char *path, char *list, size_t size);
/* pto_stat() of each of these names, in the same order; mode 0: a whiteout, or pto_stat() fails.  Returns how many
 * there are; -ERANGE: more than count. */
int64_t pto_upper_stats(pto_view *view, const char *path, struct pto_stat *stats, size_t count);

/* The directories of lowers that a directory of the view merges, topmost first: for each "LAYER PATH" and a NUL, the
 * number of the lower, 1: the first of the list, and the real path.  Returns bytes, or bytes needed if size is 0. */
int64_t pto_lower_dirs(pto_view *view, const char *path, char *list, size_t size);

/* ---- around a run ---- */
/* Signals are held back from now on, so that none ends this process before what was made for a run is put away, until
 * they are released, by the same thread; NULL: no memory. */
typedef struct pto_signals pto_signals;
pto_signals *pto_signals_hold(void);
/* Those that were blocked before, as blocked of struct pto_command. */
uint64_t pto_signals_blocked(const pto_signals *signals);
/* Starts handing signals on to the CMD of a run (the view or the pto_nested).  command: what it is called where a
 * person is told that it has ended, and others are still running; NULL: nothing is told. */
int pto_signals_forward(pto_signals *signals, const void *run, const char *command);
/* Ends that; after it nothing asks about the run any more. */
void pto_signals_stop(pto_signals *signals);
void pto_signals_release(pto_signals *signals);

/* Row i of the places that every run has, in the order in which they are to be added, before all others: its path, and
 * in *kind what it is.  NULL: there are no more.  A view without such a directory has none there. */
const char *pto_usual_place(int i, int *kind);

/* Gives a new upper the owner, mode and times of the lower that it lies on: those of the view's root are the upper's
 * own, as in the kernel.  An owner that this user may not give is kept as that of a copy is. */
int pto_copy_root(const char *lower, const char *upper);
/* Makes an upper and a work directory that go away with the run, "TOP/upper" and "TOP/work", below $TMPDIR or /tmp. */
int pto_make_temporary(const char *lower, char *top, size_t size);
/* Removes a directory and all below it; `failed` gets the name of what could not be removed. */
int pto_remove_tree(const char *path, char *failed, size_t size);

/* Gives a directory its name, if nothing has that name: -EEXIST.  As renameat2(2) with RENAME_NOREPLACE. */
int pto_put_new(const char *made, const char *name);

/* entries held by the index and the bytes they take */
void pto_index_size(pto_view *view, uint64_t *entries, uint64_t *bytes);
/* cdef end */

/* A plain run, from its command line (without the program's name) to its exit status: what csrc/front/main.c finds in
 * the module.  0: it is more than that, or cannot be done, and CMD has not run; it may also end the process by the
 * signal that CMD died of. */
__attribute__((visibility("default"))) int pto_plain(char *const *argv, int *status);

#endif
