/* untouched.c - the stub and its table without a run: `untouched DIR` maps both as a tracee has them and asks the stub.
 *
 * DIR holds file (one byte), empty, twin (a second name of twins), dir with inner, link (to file), dangling, fifo.  Prints one line
 * "what = answer" a question; the answer is "trap" where the stub leaves the call to the supervisor.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "untouched/stub.h"
#include "untouched/table.h"

#define DIRECTORY 77u /* the number of DIR */
#define CURRENT 78u

static struct table table;
static const struct stub_head *const head = (const struct stub_head *)STUB_BASE;
static struct stub_cwd *const cwd = (struct stub_cwd *)STUB_CWD;
static char top[512];

static void map(uint64_t address, size_t size, int protection, int flags, int fd, off_t offset) {
    void *at = (void *)address;
    if (mmap(at, size, protection, flags | MAP_FIXED_NOREPLACE, fd, offset) != at)
        err(1, "mmap %lx", (unsigned long)address);
}

static void enter(void) {
    map(STUB_BASE, STUB_CODE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, table.image, 0);
    map(STUB_TABLE, STUB_TABLE_SIZE, PROT_READ, MAP_SHARED, table.image, STUB_CODE_SIZE);
    map(STUB_NOTES, STUB_NOTES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, table.notes_image, 0);
    map(STUB_STATE, STUB_STATE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    map(STUB_CWD, STUB_CWD_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* As a trampoline calls it.  Whether it was answered; *value: what. */
static long ask(long nr, long a, long b, long c, long d, long e, long *value) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long answered, result = nr;
    __asm__ volatile("lea -128(%%rsp),%%rsp\n call *%[entry]\n lea 128(%%rsp),%%rsp"
                     : "+a"(result), "=c"(answered)
                     : [entry] "b"(head->entry), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "r11", "memory");
    *value = result;
    return answered;
}

static void tell(const char *what, long nr, long a, long b, long c, long d, long e) {
    long value;
    if (!ask(nr, a, b, c, d, e, &value)) {
        printf("%s = %s\n", what, value == nr ? "trap" : "trap, registers changed");
        return;
    }
    if (value < 0)
        printf("%s = %s\n", what, strerrorname_np((int)-value));
    else if (nr == SYS_open || nr == SYS_openat)
        printf("%s = open%s\n", what, close((int)value) ? "?" : "");
    else if (nr == SYS_getdents64)
        printf("%s = list\n", what);
    else
        printf("%s = %ld\n", what, value);
}

static const char *in_top(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", top, name);
    return path;
}

static void tell_stat(const char *what, const char *path) {
    struct stat st;
    tell(what, SYS_stat, (long)path, (long)&st, 0, 0, 0);
}

static void learn(uint32_t base, const char *text, uint32_t directory, uint64_t need) {
    table_insert(&table, base, text, strlen(text), directory, need);
}

static void tell_directory(void) {
    struct stat st, native;
    struct statx stx;
    char text[16];
    tell_stat("stat, nothing learnt", in_top("file"));
    learn(0, top, DIRECTORY, 0);
    memset(&st, 0xff, sizeof st);
    tell("stat", SYS_stat, (long)in_top("file"), (long)&st, 0, 0, 0);
    printf("as natively = %d\n", stat(in_top("file"), &native) == 0 && memcmp(&st, &native, sizeof st) == 0);
    tell_stat("stat of nothing", in_top("absent"));
    tell_stat("stat of an empty file", in_top("empty"));
    tell_stat("stat below a file, not learnt", in_top("file/x"));
    tell_stat("stat of a fifo", in_top("fifo"));
    tell_stat("stat of a followed link, not learnt", in_top("link"));
    tell("lstat of a link", SYS_lstat, (long)in_top("link"), (long)&st, 0, 0, 0);
    tell("readlink", SYS_readlink, (long)in_top("link"), (long)text, sizeof text, 0, 0);
    tell("readlink of a file", SYS_readlink, (long)in_top("file"), (long)text, sizeof text, 0, 0);
    tell("readlink into nothing", SYS_readlink, (long)in_top("link"), (long)text, 0, 0, 0);
    tell_stat("stat of ..", in_top(".."));
    tell_stat("stat of a slash at the end", in_top("dir/"));
    tell("stat into a bad address", SYS_stat, (long)in_top("file"), 8, 0, 0, 0);
    tell("stat of a bad address", SYS_stat, 8, (long)&st, 0, 0, 0);
    tell("access", SYS_access, (long)in_top("file"), R_OK, 0, 0, 0);
    tell("access to write", SYS_access, (long)in_top("file"), W_OK, 0, 0, 0);
    tell("open", SYS_open, (long)in_top("file"), O_RDONLY, 0, 0, 0);
    tell("open of nothing", SYS_open, (long)in_top("absent"), O_RDONLY, 0, 0, 0);
    tell("open to write", SYS_open, (long)in_top("file"), O_RDWR, 0, 0, 0);
    tell("open to make", SYS_open, (long)in_top("absent"), O_RDONLY | O_CREAT, 0600, 0, 0);
    tell("open of a fifo", SYS_open, (long)in_top("fifo"), O_RDONLY, 0, 0, 0);
    tell("openat with an absolute path", SYS_openat, 99, (long)in_top("file"), O_RDONLY | O_CLOEXEC, 0, 0);
    tell("statx", SYS_statx, AT_FDCWD, (long)in_top("file"), 0, STATX_MODE, (long)&stx);
    tell("mkdir", SYS_mkdir, (long)in_top("new"), 0700, 0, 0, 0);
}

static void tell_entries(void) {
    learn(0, in_top("file"), 0, table_need(DIRECTORY, "file", 4));
    tell_stat("stat below a file", in_top("file/x"));
    learn(0, in_top("link"), 0, table_need(DIRECTORY, "file", 4));
    tell_stat("stat of a followed link", in_top("link"));
    tell("open of a followed link", SYS_open, (long)in_top("link"), O_RDONLY, 0, 0, 0);
    table_touch(&table, DIRECTORY, "file", 4);
    tell_stat("touched: stat", in_top("file"));
    tell_stat("touched: stat of a link to it", in_top("link"));
    tell_stat("touched: stat below it", in_top("file/x"));
    tell("touched: open", SYS_open, (long)in_top("file"), O_RDONLY, 0, 0, 0);
    tell_stat("touched: stat of another", in_top("other"));
}

/* `dir` as the lower's part, then as the upper's part, of DIR. */
static void tell_parts(int dir) {
    struct stat st, own;
    dev_t dev;
    if (fstat(dir, &own) < 0)
        err(1, "fstat");
    table_insert_part(&table, own.st_dev, own.st_ino, 80, NULL);
    tell("by inode", SYS_newfstatat, dir, (long)"inner", (long)&st, 0, 0);
    tell("by inode: list", SYS_getdents64, dir, (long)&st, sizeof st, 0, 0);
    table_touch(&table, 80, "inner", 5);
    tell("touched: by inode", SYS_newfstatat, dir, (long)"inner", (long)&st, 0, 0);
    table_forget(&table);
    tell("forgotten: by inode", SYS_newfstatat, dir, (long)"no", (long)&st, 0, 0);
    table_insert_part(&table, own.st_dev, own.st_ino, 81, top);
    tell("in the lower's part", SYS_newfstatat, dir, (long)"twin", (long)&st, 0, 0);
    tell("open in the lower's part", SYS_openat, dir, (long)"twin", O_RDONLY, 0, 0);
    tell("not in the lower's part", SYS_newfstatat, dir, (long)"inner", (long)&st, 0, 0);
    table_touch(&table, 81, "twin", 4);
    tell("touched: in the lower's part", SYS_newfstatat, dir, (long)"twin", (long)&st, 0, 0);
    table_forget(&table);
    table_forget_inodes(&table);
    learn(0, top, DIRECTORY, 0);
    dev = own.st_dev;
    table_set_twice(&table, &dev, 1);
    tell("in two places", SYS_open, (long)in_top("dir"), O_RDONLY, 0, 0, 0);
    table_insert_part(&table, own.st_dev, own.st_ino, 80, NULL);
    tell("in two places: by inode", SYS_newfstatat, dir, (long)"no", (long)&st, 0, 0);
    table_set_twice(&table, NULL, 0);
}

static void tell_descriptors(void) {
    struct stat st;
    char list[512];
    int fd = open(in_top("other"), O_RDONLY), dir = open(in_top("dir"), O_RDONLY | O_DIRECTORY);
    if (fd < 0 || dir < 0 || stat(in_top("other"), &st) < 0)
        err(1, "open");
    table_forget_inodes(&table);
    tell("fstat, not seen", SYS_fstat, fd, (long)&st, 0, 0, 0);
    tell_stat("seen", in_top("other"));
    tell("fstat", SYS_fstat, fd, (long)&st, 0, 0, 0);
    tell("fstat by newfstatat", SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH, 0);
    tell("name below a descriptor, not seen", SYS_newfstatat, dir, (long)"inner", (long)&st, 0, 0);
    tell("list, not seen", SYS_getdents64, dir, (long)list, sizeof list, 0, 0);
    tell("directory seen", SYS_open, (long)in_top("dir"), O_RDONLY, 0, 0, 0);
    tell("name below a descriptor", SYS_newfstatat, dir, (long)"inner", (long)&st, 0, 0);
    tell("two names below a descriptor", SYS_newfstatat, dir, (long)"../other", (long)&st, 0, 0);
    tell("list", SYS_getdents64, dir, (long)list, sizeof list, 0, 0);
    table_forget_inodes(&table);
    tell("forgotten: fstat", SYS_fstat, fd, (long)&st, 0, 0, 0);
    tell("forgotten: list", SYS_getdents64, dir, (long)list, sizeof list, 0, 0);
    tell_parts(dir);
    printf("noted as opened = %d\n", stat(in_top("file"), &st) == 0 && table_opened(&table, st.st_dev, st.st_ino));
    printf("not noted as opened = %d\n", stat(in_top("fifo"), &st) == 0 && table_opened(&table, st.st_dev, st.st_ino));
}

static void tell_relative(void) {
    struct stat st;
    if (chdir(top) < 0)
        err(1, "chdir");
    tell_stat("relative, directory not known", "other");
    *cwd = (struct stub_cwd){.generation = table.shared->generation, .directory = CURRENT, .changes = 1};
    tell_stat("relative", "other");
    tell_stat("relative, in a directory that is not learnt", "dir/inner");
    learn(CURRENT, "dir", 79, 0);
    tell_stat("relative, in a directory", "dir/inner");
    tell("open of a known file", SYS_open, (long)"dir/inner", O_RDONLY, 0, 0, 0);
    printf("noted as opened, known = %d\n", stat("dir/inner", &st) == 0 && table_opened(&table, st.st_dev, st.st_ino));
    table_touch(&table, 79, "inner", 5);
    tell("touched: open of a known file", SYS_open, (long)"dir/inner", O_RDONLY, 0, 0, 0);
    tell("open of a bad address", SYS_open, 16, O_RDONLY, 0, 0, 0);
    table_touch(&table, CURRENT, "other", 5);
    tell_stat("touched: relative", "other");
    *cwd = (struct stub_cwd){.changes = 2};
    tell_stat("relative, another directory", "dir/inner");
}

static void tell_switches(void) {
    tell_stat("a file with two names", in_top("twins"));
    table_set_option(&table, STUB_LINKED);
    tell_stat("linked: a file with two names", in_top("twins"));
    table_forget(&table);
    tell_stat("forgotten: stat", in_top("other"));
    learn(0, top, DIRECTORY, 0);
    tell_stat("learnt again: stat", in_top("other"));
    ((struct stub_state *)STUB_STATE)->off = 1;
    tell_stat("off here", in_top("other"));
    ((struct stub_state *)STUB_STATE)->off = 0;
    table_set_option(&table, STUB_OFF);
    tell_stat("off", in_top("other"));
}

/* More than there is room for: what was there does not count, and what is new does. */
static void tell_full(void) {
    char text[300];
    for (unsigned i = 0; i < 3 * STUB_ENTRIES; i++) {
        snprintf(text, sizeof text, "/%0250u", i);
        learn(0, text, i, 0);
    }
    printf("the last is there = %d\n", table_find(&table, 0, text, strlen(text)) != NULL);
    snprintf(text, sizeof text, "/%0250u", 0u);
    printf("the first is there = %d\n", table_find(&table, 0, text, strlen(text)) != NULL);
    memset(text, 'x', sizeof text);
    printf("written by a tracee = %d\n",
           mmap(NULL, STUB_TABLE_SIZE, PROT_WRITE, MAP_SHARED, table.image, STUB_CODE_SIZE) != MAP_FAILED);
}

int main(int argc, char **argv) {
    if (argc != 2 || table_open(&table, STUB_COUNTS) < 0)
        errx(1, "usage: untouched DIR");
    snprintf(top, sizeof top, "%s", argv[1]);
    enter();
    printf("the head = %d\n", head->magic == STUB_MAGIC && head->size == stub_image_size);
    tell_directory();
    tell_entries();
    tell_descriptors();
    tell_relative();
    tell_switches();
    printf("counted = %d\n", table_answered(&table, SYS_stat) > 0);
    tell_full();
    table_close(&table);
    return 0;
}
