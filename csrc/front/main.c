/* main.c - the command ptoverlay: a plain run by the core alone, and every other command line by Python.
 *
 * The core is the module that Python loads, too, so that it is there once.  What the module has of Python's is never
 * used on this way; the symbols are here so that the loader finds them.
 *
 * Rule: whatever is in the way (no module, two of them, symbols that are not here) is left to Python.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWN_ERROR 125
#define PYTHON "ptoverlay-python"
#define CORE "_core.abi3.so"

#define UNUSED(name)                                                                                                   \
    __attribute__((visibility("default"))) void name(void);                                                            \
    void name(void) {                                                                                                  \
        abort();                                                                                                       \
    }
UNUSED(PyArg_UnpackTuple)
UNUSED(PyErr_Occurred)
UNUSED(PyEval_RestoreThread)
UNUSED(PyEval_SaveThread)
UNUSED(PyImport_ImportModule)
UNUSED(PyLong_FromLong)
UNUSED(PyLong_FromVoidPtr)
UNUSED(PyObject_CallMethod)
UNUSED(PyObject_Free)
UNUSED(PyObject_Malloc)
UNUSED(_Py_Dealloc)
__attribute__((visibility("default"))) char _Py_NoneStruct[64];

typedef int plain_fn(char *const *argv, int *status);

/* The directory that the command stands in, with a slash at its end; "" when it is not known. */
static void find_here(char here[PATH_MAX]) {
    ssize_t length = readlink("/proc/self/exe", here, PATH_MAX - 1);
    here[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(here, '/');
    here[slash ? slash - here + 1 : 0] = '\0';
}

/* Where pip puts a package whose commands it puts here; beside us in a tree that is worked on. */
static plain_fn *load(const char *here) {
    static const char *const places[] = {"." CORE, "../lib/python3*/site-packages/ptoverlay/" CORE,
                                         "../lib/python3*/dist-packages/ptoverlay/" CORE};
    char pattern[PATH_MAX + 64];
    glob_t found = {.gl_pathc = 0};
    if (strpbrk(here, "*?[\\") || !*here)
        return NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(pattern, sizeof pattern, "%s%s", here, places[i]);
        (void)glob(pattern, i ? GLOB_APPEND : 0, NULL, &found);
    }
    void *core = found.gl_pathc == 1 ? dlopen(found.gl_pathv[0], RTLD_LAZY | RTLD_LOCAL) : NULL;
    globfree(&found);
    return core ? (plain_fn *)dlsym(core, "pto_plain") : NULL;
}

/* By the script beside us, which pip has given its interpreter. */
static int by_python(const char *here, char *const *argv) {
    char path[PATH_MAX + sizeof PYTHON];
    snprintf(path, sizeof path, "%s" PYTHON, here);
    (void)execv(path, argv);
    fprintf(stderr, "ptoverlay: %s: %s (pip install --force-reinstall ptoverlay)\n", path, strerror(errno));
    return OWN_ERROR;
}

int main(int argc, char **argv) {
    char here[PATH_MAX];
    int status;
    find_here(here);
    plain_fn *plain = argc > 1 ? load(here) : NULL;
    return plain && plain(argv + 1, &status) ? status : by_python(here, argv);
}
