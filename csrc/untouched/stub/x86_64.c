/* x86_64.c - runs inside of tracees: answers calls about what the view shows as it is, by making them itself.
 *
 * A trampoline beside a patched call site (sites.c) comes here with the registers of the call.  What is answered needs
 * no trap; else the call is made where it stands, and is trapped as ever.
 *
 * Rules: the call is made first, and what it says is shown if afterwards nothing that it names is touched; so a bad
 * pointer is the kernel's EFAULT, nothing is read that the kernel has not read, and no change is missed that came
 * before.  What is not known is left to the trap.  No C library, general registers only, nothing written but the state,
 * the notes and the little stack that is used; a signal handler may leave by siglongjmp at any instruction.  openat2
 * never: its flags lie in memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifdef __x86_64__
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "../layout.h"

#define R_MASK 5u           /* R_OK | X_OK: who may write is the view's to say */
#define PATH_ROOM STUB_PATH
#define MADV_WIPEONFORK 18
#define MAP_SHARED_HERE 0x100001    /* with MAP_FIXED_NOREPLACE */
#define MAP_PRIVATE_HERE 0x100022   /* and MAP_ANONYMOUS */
#define SEEK_SET 0
#define SEEK_CUR 1
#define AT_SYNC_FLAGS 0x6000u
#define O_ANSWERED                                                                                                     \
    (O_CLOEXEC | O_NOCTTY | O_LARGEFILE_BIT | O_DIRECTORY | O_NONBLOCK | O_NOFOLLOW | O_PATH | O_NOATIME_BIT)
#define O_LARGEFILE_BIT 0100000u
#define O_NOATIME_BIT 01000000u

typedef unsigned long word;

/* As the entry has pushed it. */
struct frame {
    word rax, rdi, rsi, rdx, r10, r8, r9;
};

long stub_pass(long nr, word a, word b, word c, word d, word e); /* the filter lets it pass */
long stub_ask(long nr, word a, word b, word c, word d, word e);  /* it is trapped */
long stub_map(word address, word size, word protection, word flags, long fd, word offset);

__asm__(".section .head,\"ax\"\n"
        ".quad 0x31627574736f7470\n"
        ".quad stub_entry\n.quad stub_passing_ip\n.quad stub_boot\n.quad stub_code_end - 0x7e9000000000\n"
        ".text\n.p2align 4\n"
        "stub_entry:\n endbr64\n"
        " push %r9\n push %r8\n push %r10\n push %rdx\n push %rsi\n push %rdi\n push %rax\n"
        " mov %rsp,%rdi\n call stub_decide\n mov %rax,%rcx\n"
        " pop %rax\n pop %rdi\n pop %rsi\n pop %rdx\n pop %r10\n pop %r8\n pop %r9\n ret\n"
        ".p2align 4\n.globl stub_pass\n"
        "stub_pass:\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n"
        " syscall\n"
        "stub_passing_ip:\n ret\n"
        ".p2align 4\n.globl stub_ask\n"
        "stub_ask:\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n"
        " syscall\n ret\n"
        ".p2align 4\n.globl stub_map\n"
        "stub_map:\n mov %rcx,%r10\n mov $9,%eax\n syscall\n ret\n"
        ".p2align 4\n"
        "stub_boot:\n lea -512(%rsp),%rsp\n call stub_map_all\n int3\n");

#define TABLE ((const struct stub_table *)STUB_TABLE)
#define STATE ((struct stub_state *)STUB_STATE)
#define CWD ((const volatile struct stub_cwd *)STUB_CWD)
#define NOTES ((struct stub_notes *)STUB_NOTES)

static inline word load_word(const uint64_t *at) {
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static long close_again(long fd) {
    return stub_ask(__NR_close, (word)fd, 0, 0, 0, 0);
}

/* ---- coming into a process ---- */

struct area {
    word address, size, protection, flags;
};

/* 0, or not: then what was mapped here is gone again, and what the program has there is as it was. */
__attribute__((used)) long stub_map_all(long table, long notes) {
    const struct area areas[] = {
        {STUB_TABLE, STUB_TABLE_SIZE, 1, MAP_SHARED_HERE},
        {STUB_NOTES, STUB_NOTES_SIZE, 3, MAP_SHARED_HERE},
        {STUB_STATE, STUB_STATE_SIZE, 3, MAP_PRIVATE_HERE},
        {STUB_CWD, STUB_CWD_SIZE, 3, MAP_PRIVATE_HERE},
    };
    unsigned n = 0;
    for (; n < sizeof areas / sizeof *areas; n++) {
        const struct area *area = &areas[n];
        long fd = n == 0 ? table : n == 1 ? notes : -1;
        word address =
            (word)stub_map(area->address, area->size, area->protection, area->flags, fd, n == 0 ? STUB_CODE_SIZE : 0);
        if (address == area->address)
            continue;
        if (address < -PATH_ROOM)   /* an old kernel takes it for a hint */
            (void)stub_ask(__NR_munmap, address, area->size, 0, 0, 0);
        break;
    }
    long failed =
        n < sizeof areas / sizeof *areas || stub_ask(__NR_madvise, STUB_CWD, STUB_CWD_SIZE, MADV_WIPEONFORK, 0, 0) != 0;
    while (failed && n-- > 0)
        (void)stub_ask(__NR_munmap, areas[n].address, areas[n].size, 0, 0, 0);
    (void)close_again(table);
    (void)close_again(notes);
    return failed;
}

/* ---- texts ---- */

/* Of a string that is known to be readable: no word is read of a page that it does not reach. */
static inline uint32_t length_of(const char *text) {
    const char *at = text;
    for (; (word)at & 7; at++)
        if (!*at)
            return (uint32_t)(at - text);
    while (at - text < PATH_ROOM) {
        word bytes = stub_word(at), zero = (bytes - 0x0101010101010101ul) & ~bytes & 0x8080808080808080ul;
        if (zero)
            return (uint32_t)(at - text) + ((uint32_t)__builtin_ctzl(zero) >> 3);
        at += 8;
    }
    return PATH_ROOM;
}

static inline int same_text(const char *a, const char *b, uint32_t length) {
    uint32_t i = 0;
    for (; i + 8 <= length; i += 8)
        if (stub_word(a + i) != stub_word(b + i))
            return 0;
    for (; i < length; i++)
        if (a[i] != b[i])
            return 0;
    return 1;
}

/* A path, and its last name. */
struct path {
    const char *text, *name;
    uint32_t length, name_length;
    int special;            /* the last name is none: "", ".", ".." */
};

static int take_path(struct path *path, const char *text) {
    uint32_t length = length_of(text), begin = length;
    while (begin && text[begin - 1] != '/')
        begin--;
    *path = (struct path){.text = text, .name = text + begin, .length = length, .name_length = length - begin};
    const char *name = path->name;
    path->special = path->name_length == 0 ||
                    (name[0] == '.' && (path->name_length == 1 || (name[1] == '.' && path->name_length == 2)));
    return length > 0 && length < PATH_ROOM;
}

/* ---- the table ---- */

static const struct stub_entry *find(word base, const char *text, uint32_t length, word generation) {
    word hash = stub_hash(base, text, length);
    uint32_t at = (uint32_t)hash % STUB_ENTRIES;
    for (uint32_t i = 0; i < STUB_ENTRIES; i++, at = (at + 1) % STUB_ENTRIES) {
        const struct stub_entry *entry = &TABLE->entries[at];
        word found = load_word(&entry->hash);
        if (!found)
            return 0;
        if (found == hash && entry->generation == generation && entry->length == length && entry->base == base &&
            entry->text < STUB_POOL - STUB_PATH && same_text(TABLE->pool + entry->text, text, length))
            return entry;
    }
    return 0;
}

static inline int is_touched(word hash) {
    int touched = 1;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t bit = stub_touched_bit(hash, i);
        touched &= (int)(load_word(&TABLE->touched[bit / 64]) >> bit % 64 & 1);
    }
    return touched;
}

/* ---- inodes ---- */

/* What the lower may hold that the view shows otherwise: whiteouts of all forms, files of which another name was
 * changed. */
static int is_ordinary(const struct stat *st) {
    word type = st->st_mode & S_IFMT;
    if (type == S_IFDIR)
        return 1;
    if ((type != S_IFREG && type != S_IFLNK) || (st->st_nlink > 1 && load_word(&TABLE->options) & STUB_LINKED))
        return 0;
    return type == S_IFLNK || st->st_size > 0;
}

/* Two places for a mark: who needs the first one moves what is there to the second. */
static void note_seen(const struct stat *st, word inodes) {
    word mark = stub_mark(st->st_dev, st->st_ino, inodes), at = mark % STUB_SEEN;
    word there = __atomic_load_n(&STATE->seen[at], __ATOMIC_RELAXED);
    if (there == mark)
        return;
    if (there)
        __atomic_store_n(&STATE->seen[at ^ 1], there, __ATOMIC_RELAXED);
    __atomic_store_n(&STATE->seen[at], mark, __ATOMIC_RELAXED);
}

static int was_seen(const struct stat *st) {
    word mark = stub_mark(st->st_dev, st->st_ino, load_word(&TABLE->inodes)), at = mark % STUB_SEEN;
    return __atomic_load_n(&STATE->seen[at], __ATOMIC_RELAXED) == mark ||
           __atomic_load_n(&STATE->seen[at ^ 1], __ATOMIC_RELAXED) == mark;
}

static int stat_descriptor(int fd, struct stat *st) {
    static const char nothing[1];
    return stub_pass(__NR_newfstatat, (word)(long)fd, (word)nothing, (word)st, AT_EMPTY_PATH, 0) == 0;
}

/* ---- may it be shown? ---- */

/* A call about a path, from before it is made. */
struct asked {
    int fd;
    const char *text;
    word inodes;
    struct stub_cwd cwd;
};

static void copy_cwd(struct stub_cwd *out) {
    out->changes = CWD->changes;
    out->generation = CWD->generation;
    out->directory = CWD->directory;
}

static void asked_begin(struct asked *asked, int fd, const char *text) {
    asked->fd = fd;
    asked->text = text;
    asked->inodes = load_word(&TABLE->inodes);
    copy_cwd(&asked->cwd);
}

/* The directory that a relative path starts in; 0: not known. */
static word base_of_cwd(const struct asked *asked, word generation) {
    struct stub_cwd now;
    copy_cwd(&now);
    if (now.generation != generation || now.changes != asked->cwd.changes || now.generation != asked->cwd.generation ||
        load_word(&TABLE->options) & STUB_NO_RELATIVE)
        return 0;
    return now.directory;
}

/* A name in a directory of which all is as the lower has it. */
static int below_descriptor(int fd, const struct path *path) {
    struct stat st;
    if (fd < 0 || path->special || path->name != path->text || !stat_descriptor(fd, &st))
        return 0;
    return (st.st_mode & S_IFMT) == S_IFDIR && was_seen(&st);
}

static int in_table(word base, const struct path *path, int whole, word generation) {
    uint32_t above = (uint32_t)(path->name - path->text);
    const struct stub_entry *entry;
    if (whole || path->special) {
        entry = find(base, path->text, path->length, generation);
        return entry && entry->need && !is_touched(entry->need);
    }
    if (above == 0)
        return !is_touched(stub_hash(base, path->name, path->name_length));
    entry = find(base, path->text, above - 1, generation);
    if (!entry)
        return 0;
    if (entry->directory)
        return !is_touched(stub_hash(entry->directory, path->name, path->name_length));
    return entry->need && !is_touched(entry->need);
}

/* Is what the call names, and the kernel has read, as the lower has it?  whole: it is a symlink that is followed. */
static __attribute__((noinline)) int may_show(const struct asked *asked, int whole) {
    struct path path;
    word generation = load_word(&TABLE->generation), base = 0;
    if (!take_path(&path, asked->text))
        return 0;
    if (path.text[0] != '/') {
        if (asked->fd != AT_FDCWD)
            return !whole && below_descriptor(asked->fd, &path);
        base = base_of_cwd(asked, generation);
        if (!base)
            return 0;
    }
    int shown = in_table(base, &path, whole, generation);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return shown && load_word(&TABLE->generation) == generation && !(load_word(&TABLE->options) & STUB_OFF);
}

/* ---- calls ---- */

static int done(struct frame *frame, long value) {
    frame->rax = (word)value;
    return 1;
}

static inline int is_absent(long value) {
    return value == -ENOENT || value == -ENOTDIR;
}

static inline int is_link(word mode) {
    return (mode & S_IFMT) == S_IFLNK;
}

static long stat_asked(const struct asked *asked, struct stat *st, word flags) {
    return stub_pass(__NR_newfstatat, (word)(long)asked->fd, (word)asked->text, (word)st, flags, 0);
}

static int do_stat(struct frame *frame, int fd, const char *text, struct stat *st, word flags) {
    struct asked asked;
    asked_begin(&asked, fd, text);
    long value = stat_asked(&asked, st, flags | AT_SYMLINK_NOFOLLOW);
    if (is_absent(value))
        return may_show(&asked, 0) && done(frame, value);
    if (value)
        return 0;
    int whole = !(flags & AT_SYMLINK_NOFOLLOW) && is_link(st->st_mode);
    if (!is_ordinary(st) || !may_show(&asked, whole))
        return 0;
    if (whole && (stat_asked(&asked, st, flags) != 0 || !is_ordinary(st) || !may_show(&asked, 1)))
        return 0;
    note_seen(st, asked.inodes);
    return done(frame, 0);
}

static int do_fstat(struct frame *frame, long nr, int fd, const char *text, struct stat *st) {
    if (fd < 0)
        return 0;
    long value = nr == __NR_fstat ? stub_pass(nr, (word)(long)fd, (word)st, 0, 0, 0)
                                  : stub_pass(nr, (word)(long)fd, (word)text, (word)st, AT_EMPTY_PATH, 0);
    if (value || (nr != __NR_fstat && (!text || *text)))
        return 0;
    return is_ordinary(st) && was_seen(st) && done(frame, 0);
}

static int do_newfstatat(struct frame *frame) {
    int fd = (int)frame->rdi;
    const char *text = (const char *)frame->rsi;
    struct stat *st = (struct stat *)frame->rdx;
    uint32_t flags = (uint32_t)frame->r10;
    if (flags == AT_EMPTY_PATH)
        return do_fstat(frame, __NR_newfstatat, fd, text, st);
    return !(flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) && do_stat(frame, fd, text, st, flags);
}

static void from_statx(const struct statx *stx, struct stat *st) {
    st->st_mode = stx->stx_mode;
    st->st_nlink = stx->stx_nlink;
    st->st_size = (long)stx->stx_size;
}

static int do_statx(struct frame *frame) {
    struct asked asked;
    struct stat st;
    struct statx *stx = (struct statx *)frame->r8;
    uint32_t flags = (uint32_t)frame->rdx, mask = (uint32_t)frame->r10;
    if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_SYNC_FLAGS))
        return 0;
    asked_begin(&asked, (int)frame->rdi, (const char *)frame->rsi);
    long value =
        stub_pass(__NR_statx, frame->rdi, frame->rsi, flags | AT_SYMLINK_NOFOLLOW, mask | STATX_BASIC_STATS, frame->r8);
    if (is_absent(value))
        return may_show(&asked, 0) && done(frame, value);
    if (value || (~stx->stx_mask & (STATX_TYPE | STATX_NLINK | STATX_SIZE)))
        return 0;
    from_statx(stx, &st);
    int whole = !(flags & AT_SYMLINK_NOFOLLOW) && is_link(stx->stx_mode);
    if (!is_ordinary(&st) || !may_show(&asked, whole))
        return 0;
    value = stub_pass(__NR_statx, frame->rdi, frame->rsi, flags, mask, frame->r8);
    return value == 0 && may_show(&asked, whole) && done(frame, 0);
}

/* Nothing is written before it is known that it may be: a shorter text would leave the end of a longer one behind. */
static int do_readlink(struct frame *frame, int fd, const char *text, word buffer, word size) {
    struct asked asked;
    struct stat st;
    if ((int)size <= 0)
        return 0;
    asked_begin(&asked, fd, text);
    long value = stat_asked(&asked, &st, AT_SYMLINK_NOFOLLOW);
    if ((value && !is_absent(value)) || (!value && !is_ordinary(&st)) || !may_show(&asked, 0))
        return 0;
    if (value || !is_link(st.st_mode))
        return done(frame, value ? value : -EINVAL);
    value = stub_pass(__NR_readlinkat, (word)(long)fd, (word)text, buffer, size, 0);
    return value >= 0 && may_show(&asked, 0) && done(frame, value);
}

static int do_access(struct frame *frame, long nr, int fd, const char *text, word mode, word flags) {
    struct asked asked;
    struct stat st;
    if ((uint32_t)mode & ~R_MASK || (uint32_t)flags & ~(uint32_t)AT_EACCESS)
        return 0;
    asked_begin(&asked, fd, text);
    long value = stat_asked(&asked, &st, AT_SYMLINK_NOFOLLOW);
    if (is_absent(value))
        return may_show(&asked, 0) && done(frame, value);
    int whole = value == 0 && is_link(st.st_mode);
    if (value || !is_ordinary(&st))
        return 0;
    value = nr == __NR_faccessat2 ? stub_pass(nr, (word)(long)fd, (word)text, mode, flags, 0)
                                  : stub_pass(__NR_faccessat, (word)(long)fd, (word)text, mode, 0, 0);
    return value == 0 && may_show(&asked, whole) && done(frame, 0);
}

/* Before the open, so that whoever copies the file up learns of it. */
static void note_opened(const struct stat *st) {
    uint32_t bit = stub_opened_bit(st->st_dev, st->st_ino);
    uint64_t *at = &NOTES->opened[bit / 64], set = 1ul << bit % 64;
    if (!(load_word(at) & set))
        (void)__atomic_fetch_or(at, set, __ATOMIC_SEQ_CST);
}

static int do_open(struct frame *frame, int fd, const char *text, word flags, word mode) {
    struct asked asked;
    struct stat st;
    int follows = !(flags & O_NOFOLLOW), whole;
    if ((uint32_t)flags & ~(uint32_t)O_ANSWERED)
        return 0;
    asked_begin(&asked, fd, text);
    long value = stat_asked(&asked, &st, AT_SYMLINK_NOFOLLOW);
    if (is_absent(value))
        return may_show(&asked, 0) && done(frame, value);
    if (value || !is_ordinary(&st))
        return 0;
    whole = is_link(st.st_mode) && follows;
    if ((is_link(st.st_mode) && !follows && !(flags & O_PATH)) || !may_show(&asked, whole) ||
        (whole && (stat_asked(&asked, &st, 0) != 0 || !is_ordinary(&st))))
        return 0;
    if ((st.st_mode & S_IFMT) == S_IFREG && !(flags & O_PATH))
        note_opened(&st);
    value = stub_pass(__NR_openat, (word)(long)fd, (word)text, flags, mode, 0);
    if (value < 0 && value != -ENOTDIR)
        return 0;
    if (!may_show(&asked, whole)) {
        if (value >= 0)
            (void)close_again(value);
        return 0;
    }
    note_seen(&st, asked.inodes);
    return done(frame, value);
}

/* What was published before it began is seen here; the list itself is the lower's in any case. */
static int do_getdents(struct frame *frame) {
    struct stat st;
    int fd = (int)frame->rdi;
    if (fd < 0 || !stat_descriptor(fd, &st) || (st.st_mode & S_IFMT) != S_IFDIR || !was_seen(&st))
        return 0;
    return done(frame, stub_pass(__NR_getdents64, frame->rdi, frame->rsi, frame->rdx, 0, 0));
}

static int answer(struct frame *frame) {
    switch ((uint32_t)frame->rax) {
    case __NR_stat:
        return do_stat(frame, AT_FDCWD, (const char *)frame->rdi, (struct stat *)frame->rsi, 0);
    case __NR_lstat:
        return do_stat(frame, AT_FDCWD, (const char *)frame->rdi, (struct stat *)frame->rsi, AT_SYMLINK_NOFOLLOW);
    case __NR_fstat:
        return do_fstat(frame, __NR_fstat, (int)frame->rdi, 0, (struct stat *)frame->rsi);
    case __NR_newfstatat:
        return do_newfstatat(frame);
    case __NR_statx:
        return do_statx(frame);
    case __NR_readlink:
        return do_readlink(frame, AT_FDCWD, (const char *)frame->rdi, frame->rsi, frame->rdx);
    case __NR_readlinkat:
        return do_readlink(frame, (int)frame->rdi, (const char *)frame->rsi, frame->rdx, frame->r10);
    case __NR_access:
        return do_access(frame, __NR_access, AT_FDCWD, (const char *)frame->rdi, frame->rsi, 0);
    case __NR_faccessat:
        return do_access(frame, __NR_faccessat, (int)frame->rdi, (const char *)frame->rsi, frame->rdx, 0);
    case __NR_faccessat2:
        return do_access(frame, __NR_faccessat2, (int)frame->rdi, (const char *)frame->rsi, frame->rdx, frame->r10);
    case __NR_open:
        return do_open(frame, AT_FDCWD, (const char *)frame->rdi, frame->rsi, frame->rdx);
    case __NR_openat:
        return do_open(frame, (int)frame->rdi, (const char *)frame->rsi, frame->rdx, frame->r10);
    case __NR_getdents64:
        return do_getdents(frame);
    default:
        return 0;
    }
}

/* ---- the same answers from the supervisor, for tests ---- */

/* What a call has written, without the access time, which changes by itself. */
struct written {
    char *at;
    uint32_t size, skip, skip_end;
    char bytes[256];
};

static struct written written_by(const struct frame *frame, word nr, long value) {
    struct written written = {.size = 0};
    switch (nr) {
    case __NR_stat:
    case __NR_lstat:
    case __NR_fstat:
        written.at = (char *)frame->rsi;
        break;
    case __NR_newfstatat:
        written.at = (char *)frame->rdx;
        break;
    case __NR_statx:
        written = (struct written){.at = (char *)frame->r8, .size = 0x88, .skip = 0x40, .skip_end = 0x50};
        return written;
    case __NR_readlink:
        return (struct written){.at = (char *)frame->rsi, .size = value > 256 ? 256 : (uint32_t)value};
    case __NR_readlinkat:
        return (struct written){.at = (char *)frame->rdx, .size = value > 256 ? 256 : (uint32_t)value};
    default:
        return written;
    }
    written.size = sizeof(struct stat);
    written.skip = __builtin_offsetof(struct stat, st_atime);
    written.skip_end = __builtin_offsetof(struct stat, st_mtime);
    return written;
}

static void take_written(struct written *written) {
    for (uint32_t i = 0; i < written->size; i++)
        written->bytes[i] = ((const volatile char *)written->at)[i];
}

static int same_written(const struct written *written) {
    for (uint32_t i = 0; i < written->size; i++)
        if ((i < written->skip || i >= written->skip_end) && written->bytes[i] != written->at[i])
            return 0;
    return 1;
}

static int same_files(long one, long other) {
    struct stat a, b;
    return stat_descriptor((int)one, &a) && stat_descriptor((int)other, &b) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static int is_same(const struct frame *frame, word nr, long value) {
    int opens = nr == __NR_open || nr == __NR_openat;
    struct written written = written_by(frame, nr, value);
    if (value < 0)
        written.size = 0;
    take_written(&written);
    long other = stub_ask((long)nr, frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8);
    int same = opens && value >= 0 && other >= 0 ? same_files(value, other) : value == other && same_written(&written);
    if (opens && other >= 0)
        (void)close_again(other);
    return same;
}

static void note_difference(const struct frame *frame, word nr) {
    const char *text = (const char *)(nr == __NR_newfstatat || nr == __NR_openat || nr == __NR_statx ||
                                              nr == __NR_readlinkat || nr == __NR_faccessat || nr == __NR_faccessat2
                                          ? frame->rsi
                                          : frame->rdi);
    if (__atomic_fetch_add(&NOTES->differences, 1, __ATOMIC_SEQ_CST))
        return;
    NOTES->different_call = nr;
    for (uint32_t i = 0; nr != __NR_fstat && i < sizeof NOTES->different_path - 1 && text[i]; i++)
        NOTES->different_path[i] = text[i];
}

/* What has changed between the two questions is asked again.  0: now it is the supervisor's to answer. */
static int compare(struct frame *frame, word nr) {
    if (nr == __NR_getdents64)
        return 1;   /* the position has moved */
    (void)__atomic_fetch_add(&NOTES->compared, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++) {
        long value = (long)frame->rax;
        if (is_same(frame, nr, value))
            return 1;
        if ((nr == __NR_open || nr == __NR_openat) && value >= 0)
            (void)close_again(value);
        frame->rax = nr;
        if (!answer(frame))
            return 0;
    }
    note_difference(frame, nr);
    return 1;
}

/* 1: frame->rax is what the call returns; 0: it is to be made, and trapped. */
__attribute__((used)) long stub_decide(struct frame *frame) {
    word nr = frame->rax, options = load_word(&TABLE->options);
    if (options & STUB_OFF || __atomic_load_n(&STATE->off, __ATOMIC_RELAXED))
        return 0;
    int answered = answer(frame) && (!(options & STUB_CHECKS) || compare(frame, nr));
    if (!answered) {
        frame->rax = nr;
        return 0;
    }
    if (options & STUB_COUNTS)
        (void)__atomic_fetch_add(&NOTES->answered[nr % STUB_CALLS], 1, __ATOMIC_RELAXED);
    return 1;
}
#endif
