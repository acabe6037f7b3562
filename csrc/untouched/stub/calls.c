/* calls.c - answers calls about what the view shows as it is, by making them.
 *
 * Rules: the call is made first, and what it says is shown if afterwards nothing that it names is touched; so a bad
 * pointer is the kernel's EFAULT, nothing is read that the kernel has not read, and no change is missed that came
 * before.  What is not known is left to the trap.  No C library, general registers only, nothing written but the state,
 * the notes and the little stack that is used; a signal handler may leave by siglongjmp at any instruction.  openat2
 * never: its flags lie in memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "inside.h"

#define LINK_ROOM 256u
#define R_MASK 5u /* R_OK | X_OK: who may write is the view's to say */
#define AT_SYNC_FLAGS 0x6000u
#define SEEK_CUR 1
#define MOVED_ROOM 512u
#define O_ANSWERED (O_CLOEXEC | O_NOCTTY | O_LARGEFILE | O_DIRECTORY | O_NONBLOCK | O_NOFOLLOW | O_PATH | O_NOATIME)

static inline int done(long *value, long result) {
    *value = result;
    return 1;
}

static inline int is_absent(long value) {
    return value == -ENOENT || value == -ENOTDIR;
}

static inline int is_link(word mode) {
    return (mode & S_IFMT) == S_IFLNK;
}

/* A file or a symlink: of the upper's part of a directory nothing else is as it shows. */
static inline int is_file(const struct stat *st) {
    return (st->st_mode & S_IFMT) == S_IFREG || is_link(st->st_mode);
}

static long stat_asked(const struct asked *asked, struct stat *st, word flags) {
    return stub_pass(__NR_newfstatat, (word)(long)asked->fd, (word)asked->text, (word)st, flags, 0);
}

/* From our own memory: nothing is left behind in the program's where the view says otherwise. */
static int show_stat(const struct request *request, const struct stat *st, long *value) {
    return ((word)st == request->out || copy_out(request->out, st, sizeof *st)) && done(value, 0);
}

/* What is noted of a name has been noted of its inode, too.  plain: it is no symlink. */
static void note_shown(const struct asked *asked, const struct stat *st, int shown, int plain) {
    if (plain && is_plain(asked))
        return;
    note_seen(st, asked->inodes, shown);
    if (plain)
        note_plain(asked, st);
}

static int ordinary_shown(struct asked *asked, const struct stat *st, int whole) {
    int shown = may_show(asked, whole);
    return shown && is_ordinary(st, shown) ? shown : NOT_SHOWN;
}

static int do_stat(const struct request *request, long *value) {
    struct asked asked;
    struct stat room, *st = write_to(request->out, &room);
    asked_begin(&asked, request);
    long result = stat_asked(&asked, st, request->flags | AT_SYMLINK_NOFOLLOW);
    int merged = request->is_moved && request->moved->merged;
    if (is_absent(result))
        return !merged && may_show(&asked, 0) && done(value, result);
    if (result || (merged && !is_file(st)))
        return 0;
    int whole = !(request->flags & AT_SYMLINK_NOFOLLOW) && is_link(st->st_mode);
    int shown = !whole && (st->st_mode & S_IFMT) == S_IFDIR ? may_show_directory(&asked, st)
                                                            : ordinary_shown(&asked, st, whole);
    if (!shown || (whole && (stat_asked(&asked, st, request->flags) != 0 || !ordinary_shown(&asked, st, 1))))
        return 0;
    note_shown(&asked, st, shown, !whole && !is_link(st->st_mode));
    return show_stat(request, st, value);
}

static int is_shown(const struct stat *st) {
    if (was_taught(st) || (was_seen(st, SHOWN_LOWER) && is_ordinary(st, SHOWN_LOWER)))
        return 1;
    return was_seen(st, SHOWN_OWN) && is_ordinary(st, SHOWN_OWN) && !(load_word(&TABLE->options) & STUB_KEPT);
}

static int do_fstat(const struct request *request, long *value) {
    struct stat room, *st = write_to(request->out, &room);
    return request->fd >= 0 && stub_pass(__NR_fstat, (word)(long)request->fd, (word)st, 0, 0, 0) == 0 && is_shown(st) &&
           show_stat(request, st, value);
}

/* With an empty path, which is read after the kernel has. */
static int do_fstatat(const struct request *request, long *value) {
    struct stat room, *st = write_to(request->out, &room);
    return request->fd >= 0 && request->text &&
           stub_pass(__NR_newfstatat, (word)(long)request->fd, (word)request->text, (word)st, AT_EMPTY_PATH, 0) == 0 &&
           !*request->text && is_shown(st) && show_stat(request, st, value);
}

static int do_newfstatat(const struct request *request, long *value) {
    if (request->flags == AT_EMPTY_PATH)
        return do_fstatat(request, value);
    return !(request->flags & ~(word)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) && do_stat(request, value);
}

static void from_statx(const struct statx *stx, struct stat *st) {
    st->st_dev = (stx->stx_dev_minor & 0xff) | stx->stx_dev_major << 8 | (stx->stx_dev_minor & ~0xffu) << 12;
    st->st_ino = stx->stx_ino;
    st->st_mode = stx->stx_mode;
    st->st_nlink = stx->stx_nlink;
    st->st_size = (long)stx->stx_size;
}

static int statx_asked(const struct request *request, word flags, struct statx *stx, struct stat *st, long *result) {
    *result = stub_pass(__NR_statx, (word)(long)request->fd, (word)request->text, flags, request->mode, (word)stx);
    if (*result || (~stx->stx_mask & (STATX_TYPE | STATX_NLINK | STATX_SIZE | STATX_INO)))
        return 0;
    from_statx(stx, st);
    return 1;
}

static int show_statx(const struct request *request, const struct statx *stx, long *value) {
    return copy_out(request->out, stx, sizeof *stx) && done(value, 0);
}

static int do_fstatx(const struct request *request, long *value) {
    struct statx room, *stx = write_to(request->out, &room);
    struct stat st;
    long result;
    return request->fd >= 0 && request->text && statx_asked(request, request->flags, stx, &st, &result) &&
           !*request->text && !was_seen(&st, SHOWN_OWN) && is_shown(&st) && show_statx(request, stx, value);
}

/* Not of what only the upper has: the supervisor tells of that in the same words as of a copy. */
static int do_statx(const struct request *request, long *value) {
    struct asked asked;
    struct stat st;
    struct statx room, *stx = write_to(request->out, &room);
    long result;
    word flags = request->flags;
    if (!(flags & ~(word)(AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_SYNC_FLAGS)) && flags & AT_EMPTY_PATH)
        return do_fstatx(request, value);
    if (flags & ~(word)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_SYNC_FLAGS))
        return 0;
    asked_begin(&asked, request);
    if (!statx_asked(request, flags | AT_SYMLINK_NOFOLLOW, stx, &st, &result))
        return is_absent(result) && may_show(&asked, 0) && done(value, result);
    int whole = !(flags & AT_SYMLINK_NOFOLLOW) && is_link(st.st_mode);
    int shown = ordinary_shown(&asked, &st, whole);
    if (!shown || shown == SHOWN_OWN ||
        (whole && (!statx_asked(request, flags, stx, &st, &result) || !ordinary_shown(&asked, &st, 1))))
        return 0;
    note_shown(&asked, &st, shown, !whole && !is_link(st.st_mode));
    return show_statx(request, stx, value);
}

/* What is longer than our own room goes into the program's when it is known that it may. */
static int do_readlink(const struct request *request, long *value) {
    struct asked asked;
    struct stat st;
    char text[LINK_ROOM];
    word size = request->size < sizeof text ? request->size : sizeof text;
    if ((int)request->size <= 0)
        return 0;
    asked_begin(&asked, request);
    long result = stub_pass(__NR_readlinkat, (word)(long)request->fd, (word)request->text, (word)text, size, 0);
    int shown = result < 0 && result != -EINVAL && !is_absent(result) ? NOT_SHOWN : may_show(&asked, 0);
    if (!shown)
        return 0;
    if (result == -EINVAL && is_plain(&asked))
        return done(value, result);
    if (!is_absent(result) && (result < 0 || load_word(&TABLE->options) & STUB_LINKED)) {
        if (stat_asked(&asked, &st, AT_SYMLINK_NOFOLLOW) != 0 || !is_ordinary(&st, shown) ||
            is_link(st.st_mode) != (result >= 0))
            return 0;
        if (result < 0)
            note_shown(&asked, &st, shown, 1);
    }
    if (result >= 0 && (result == (long)sizeof text || !copy_out(request->out, text, (uint32_t)result))) {
        result =
            stub_pass(__NR_readlinkat, (word)(long)request->fd, (word)request->text, request->out, request->size, 0);
        return result >= 0 && may_show(&asked, 0) && done(value, result);
    }
    return done(value, result);
}

/* Is what is there, a symlink only if it is not followed, ordinary, and may it be shown?  *result: of the call that has
 * been made. */
static int is_ordinary_there(struct asked *asked, int follows, long result) {
    struct stat st;
    if (may_show(asked, 0) && is_plain(asked))
        return SHOWN_LOWER;
    long there = stat_asked(asked, &st, AT_SYMLINK_NOFOLLOW);
    if (is_absent(there))
        return there == result ? may_show(asked, 0) : NOT_SHOWN;
    if (there || is_absent(result))
        return 0;
    int shown = ordinary_shown(asked, &st, follows && is_link(st.st_mode));
    if (shown && !is_link(st.st_mode))
        note_shown(asked, &st, shown, 1);
    return shown;
}

/* First without following, so that what is not there is known to be no symlink into nothing. */
static int do_access(const struct request *request, long *value) {
    struct asked asked;
    if (request->mode & ~(word)R_MASK || request->flags & ~(word)AT_EACCESS)
        return 0;
    asked_begin(&asked, request);
    long result = stub_pass(__NR_faccessat2, (word)(long)request->fd, (word)request->text, request->mode,
                            request->flags | AT_SYMLINK_NOFOLLOW, 0);
    if (is_absent(result))
        return may_show(&asked, 0) && done(value, result);
    if (result == 0 && may_show(&asked, 0) && is_plain(&asked))
        return done(value, 0);
    result =
        stub_pass((long)request->nr, (word)(long)request->fd, (word)request->text, request->mode, request->flags, 0);
    return result == 0 && is_ordinary_there(&asked, 1, result) && done(value, 0);
}

static int begins(const char *text, const char *with) {
    while (*with)
        if (*text++ != *with++)
            return 0;
    return 1;
}

/* An attribute, or the list of them. */
static long attribute(const struct request *request, word out, word size) {
    word text = (word)request->text;
    return request->name ? stub_pass((long)request->nr, text, (word)request->name, out, size, 0)
                         : stub_pass((long)request->nr, text, out, size, 0, 0);
}

/* Nothing is written before it is known that it may be. */
static int do_attribute(const struct request *request, long *value) {
    struct asked asked;
    int follows = request->nr == __NR_getxattr || request->nr == __NR_listxattr;
    asked_begin(&asked, request);
    long result = attribute(request, 0, 0);
    if (result < 0 && result != -ENODATA && result != -EOPNOTSUPP && !is_absent(result))
        return 0;
    int shown = is_ordinary_there(&asked, follows, result);
    if (!shown || (shown == SHOWN_OWN && !request->name) ||
        (!is_absent(result) && request->name &&
         (begins(request->name, "user.overlay.") || begins(request->name, "trusted.overlay."))))
        return 0;
    if (result > 0 && request->size) {
        result = attribute(request, request->out, request->size);
        return result >= 0 && may_show(&asked, 0) && done(value, result);
    }
    return done(value, result);
}

/* Of what the upper has nothing is copied up. */
static int find_to_open(struct asked *asked, struct stat *st, int whole, int opens) {
    int shown = ordinary_shown(asked, st, whole);
    if (shown && whole && (stat_asked(asked, st, 0) != 0 || !is_ordinary(st, shown)))
        return NOT_SHOWN;
    if (shown == SHOWN_LOWER && opens && (st->st_mode & S_IFMT) == S_IFREG)
        note_opened(st);
    return shown;
}

#define STRANGE_MANY 8u
#define STRANGE_OF 8u

/* Is it a file that was asked about before?  Then it is noted, and need not be asked about again.  Who opens each but
 * once is not made to pay for the look. */
static int is_known_file(struct asked *asked) {
    uint32_t strange = __atomic_load_n(&STATE->strange, __ATOMIC_RELAXED);
    word file = 0;
    int looks = strange < STRANGE_MANY || strange % STRANGE_OF == 0;
    if (looks && can_read(asked->text) && may_show(asked, 0) == SHOWN_LOWER)
        file = plain_file(asked);
    if (file)
        note_opened_bit((uint32_t)file - 1);
    if (strange || !file)
        __atomic_store_n(&STATE->strange, file ? 0 : strange + 1, __ATOMIC_RELAXED);
    return file != 0;
}

static int open_known(struct asked *asked, long *value) {
    const struct request *request = asked->request;
    long result =
        stub_pass(__NR_openat, (word)(long)request->fd, (word)request->text, request->flags, request->mode, 0);
    if (result < 0 && result != -ENOTDIR)
        return 0;
    if (may_show(asked, 0) == SHOWN_LOWER)
        return done(value, result);
    if (result >= 0)
        (void)close_again(result);
    return 0;
}

/* Slashes at the end demand a directory and follow a symlink: the text without them, in room, that it has none.  0: it
 * does not fit. */
static int take_slashes(struct asked *asked, char room[MOVED_ROOM]) {
    uint32_t length = 0;
    const char *text = asked->text;
    while (text[length])
        if (++length == MOVED_ROOM)
            return 0;
    if (length < 2 || text[length - 1] != '/')
        return 1;
    while (length > 1 && text[length - 1] == '/')
        length--;
    for (uint32_t i = 0; i < length; i++)
        ((volatile char *)room)[i] = text[i];
    room[length] = 0;
    asked->text = room;
    return 1;
}

/* Is there no symlink at the end of the text, by which the kernel has come to this directory? */
static int is_straight(struct asked *asked, const struct stat *st) {
    struct stat there;
    if ((asked->request->flags & O_NOFOLLOW && asked->text == asked->request->text) || is_plain(asked))
        return 1;
    return stat_asked(asked, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_dev == st->st_dev &&
           there.st_ino == st->st_ino && may_show(asked, 0);
}

/* Whoever opens a directory has no effect on it: so it is opened first, and then it says what it is. */
static int do_open_directory(const struct request *request, long *value) {
    struct asked asked;
    struct stat st;
    char room[MOVED_ROOM];
    asked_begin(&asked, request);
    long fd = stub_pass(__NR_openat, (word)(long)request->fd, (word)request->text, request->flags, request->mode, 0);
    if (fd == -ENOENT)
        return is_ordinary_there(&asked, 1, fd) && done(value, fd);
    if (fd < 0)
        return 0;
    int shown =
        stat_descriptor((int)fd, &st) && take_slashes(&asked, room) ? may_show_directory(&asked, &st) : NOT_SHOWN;
    if (!shown || !is_straight(&asked, &st)) {
        (void)close_again(fd);
        return 0;
    }
    note_shown(&asked, &st, shown, 1);
    return done(value, fd);
}

static int do_open(const struct request *request, long *value) {
    struct asked asked;
    struct stat st;
    word flags = request->flags;
    if ((uint32_t)flags & ~(uint32_t)O_ANSWERED)
        return 0;
    if (flags & O_DIRECTORY && !(flags & O_PATH))
        return do_open_directory(request, value);
    asked_begin(&asked, request);
    if (is_known_file(&asked))
        return open_known(&asked, value);
    long result = stat_asked(&asked, &st, AT_SYMLINK_NOFOLLOW);
    if (is_absent(result))
        return may_show(&asked, 0) && done(value, result);
    int link = !result && is_link(st.st_mode), whole = link && !(flags & O_NOFOLLOW);
    if (result || (link && !whole && !(flags & O_PATH)))
        return 0;
    int shown = find_to_open(&asked, &st, whole, !(flags & O_PATH));
    if (!shown)
        return 0;
    result = stub_pass(__NR_openat, (word)(long)request->fd, (word)request->text, flags, request->mode, 0);
    if (result < 0 && result != -ENOTDIR)
        return 0;
    if (may_show(&asked, whole) != shown) {
        if (result >= 0)
            (void)close_again(result);
        return 0;
    }
    note_shown(&asked, &st, shown, !link);
    return done(value, result);
}

/* Of what is not there, as most directories of $PATH say; a program is the supervisor's to begin. */
static int do_execve(const struct request *request, long *value) {
    struct asked asked;
    struct stat st;
    asked_begin(&asked, request);
    long result = stat_asked(&asked, &st, AT_SYMLINK_NOFOLLOW);
    return is_absent(result) && may_show(&asked, 0) && done(value, result);
}

/* A list that the supervisor has begun is its own. */
static int lists_natively(const struct stat *st, int fd) {
    const struct stub_entry *entry = find_inode(st, load_word(&TABLE->generation));
    if (!entry || !entry->need || load_word(&TABLE->options) & STUB_KEPT)
        return 0;
    word at = (word)stub_ask(__NR_lseek, (word)(long)fd, 0, SEEK_CUR, 0, 0);
    return at / STUB_POSITIONS != 1 && at / STUB_POSITIONS_NEAR != 1;
}

/* What was published before it began is seen here; the list itself is the lower's in any case. */
static int do_getdents(const struct request *request, long *value) {
    struct stat st;
    if (request->fd < 0 || !stat_descriptor(request->fd, &st) || (st.st_mode & S_IFMT) != S_IFDIR ||
        !(was_seen(&st, SHOWN_LOWER) || lists_natively(&st, request->fd)))
        return 0;
    return done(value,
                stub_pass(__NR_getdents64, (word)(long)request->fd, request->out, (uint32_t)request->size, 0, 0));
}

/* The kernel's struct begins with the handler, flags and the rest follow.  It is looked at here before the kernel
 * looks: so only on our own page, where a C library has it.  SIG_DFL and SIG_IGN interrupt no call, nor does what
 * restarts. */
#define SIG_IGN 1u
#define SA_RESTART 0x10000000u
#define ACTION_SIZE 32u

static int do_sigaction(const struct request *request, long *value) {
    const word *action = (const word *)(const void *)request->text;
    if (!is_on_page((word)action, ACTION_SIZE) || (action[0] > SIG_IGN && !(action[1] & SA_RESTART)))
        return 0;
    return done(value,
                stub_pass(__NR_rt_sigaction, (word)(long)request->fd, (word)action, request->out, request->size, 0));
}

/* Where the current directory is the lower's own place, the kernel's name for it is the view's. */
static int do_getcwd(const struct request *request, long *value) {
    struct asked asked;
    char room[LINK_ROOM];
    asked_begin(&asked, request);
    long result = stub_pass(__NR_getcwd, (word)room, sizeof room, 0, 0, 0);
    if (result <= 0 || room[0] != '/' || !may_show_current(&asked))
        return 0;
    if ((word)result > request->size)
        return done(value, -ERANGE);
    return copy_out(request->out, room, (uint32_t)result) && done(value, result);
}

/* ---- */

static int answer_as(const struct request *request, long *value) {
    switch (request->nr) {
    case __NR_execve:
        return do_execve(request, value);
    case __NR_openat:
        return do_open(request, value);
    case __NR_fstat:
        return do_fstat(request, value);
    case __NR_newfstatat:
        return do_newfstatat(request, value);
    case __NR_statx:
        return do_statx(request, value);
    case __NR_faccessat:
    case __NR_faccessat2:
        return do_access(request, value);
    case __NR_readlinkat:
        return do_readlink(request, value);
    case __NR_getdents64:
        return do_getdents(request, value);
    case __NR_rt_sigaction:
        return do_sigaction(request, value);
    case __NR_getcwd:
        return do_getcwd(request, value);
    default:
        return do_attribute(request, value);
    }
}

/* What takes its place meanwhile the view shows, too. */
static int is_file_there(const char *text) {
    struct stat st;
    return stub_pass(__NR_newfstatat, AT_FDCWD, (word)text, (word)&st, AT_SYMLINK_NOFOLLOW, 0) == 0 && is_file(&st);
}

/* The same of what the text means. */
static __attribute__((noinline)) int answer_moved(const struct request *request, long *value) {
    char text[MOVED_ROOM];
    const struct moved *moved = request->moved;
    struct request there = *request;
    uint32_t length = moved->real_length, i = 0;
    if (length + 1 + moved->name_length >= sizeof text)
        return 0;
    for (; i < length; i++)
        ((volatile char *)text)[i] = moved->real[i];
    ((volatile char *)text)[i++] = '/';
    for (uint32_t j = 0; j < moved->name_length; j++)
        ((volatile char *)text)[i++] = moved->name[j];
    text[i] = 0;
    there.fd = AT_FDCWD;
    there.text = text;
    there.is_moved = 1;
    if (moved->merged && request->nr != __NR_newfstatat && !is_file_there(text)) /* stat sees for itself */
        return 0;
    return answer_as(&there, value);
}

int answer(struct request *request, long *value) {
    struct moved moved = {.real = 0};
    request->moved = &moved;
    int answered = answer_as(request, value);
    if (!answered && moved.real)
        answered = answer_moved(request, value);
    request->moved = 0;
    return answered;
}

/* Who asks in vain is left alone but for one call of some, so that what cannot be answered costs little more than
 * without a stub.  Inlined, and no more than counters: what is answered must not pay for it. */
#define MISSED_MANY 32u
#define MISSED_OF 16u

static inline int is_hopeless(uint32_t *missed, word options) {
    uint32_t count = __atomic_load_n(missed, __ATOMIC_RELAXED);
    if (count < MISSED_MANY || count % MISSED_OF == 0 || options & STUB_CHECKS)
        return 0;
    __atomic_store_n(missed, count + 1, __ATOMIC_RELAXED);
    return 1;
}

static inline int note_missed(uint32_t *missed, int answered) {
    uint32_t count = __atomic_load_n(missed, __ATOMIC_RELAXED);
    if (!answered || count)
        __atomic_store_n(missed, answered ? 0 : count + 1, __ATOMIC_RELAXED);
    return answered;
}

/* Once; another thread may do it, too. */
static inline void report_answer(void) {
    uint32_t report = __atomic_load_n(&STATE->report, __ATOMIC_RELAXED);
    if (!report)
        return;
    uint32_t answered = __atomic_load_n(&STATE->answered, __ATOMIC_RELAXED) + 1;
    __atomic_store_n(&STATE->answered, answered, __ATOMIC_RELAXED);
    if (answered < STUB_MANY)
        return;
    __atomic_store_n(&STATE->report, 0, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&NOTES->reached[(report - 1) % STUB_PROGRAMS], 1, __ATOMIC_RELAXED);
}

long stub_decide(struct frame *frame) {
    struct request request;
    word options = load_word(&TABLE->options);
    uint32_t *missed = &STATE->missed[frame->nr % STUB_KINDS];
    long value;
    if (options & STUB_OFF || __atomic_load_n(&STATE->off, __ATOMIC_RELAXED) || is_hopeless(missed, options) ||
        !request_of(frame, &request) || !note_missed(missed, answer(&request, &value)) ||
        (options & STUB_CHECKS && !compare(frame, &request, &value)))
        return 0;
    report_answer();
    if (options & STUB_COUNTS)
        (void)__atomic_fetch_add(&NOTES->answered[frame->nr % STUB_CALLS], 1, __ATOMIC_RELAXED);
    frame->nr = (word)value;
    return 1;
}
