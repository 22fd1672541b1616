/* The system's calls to files below one folder, of which one fails, or all from one on. Loaded before the C library (LD_PRELOAD).
 *
 * FAULT_FOLDER   files below it are meant
 * FAULT_AT       the number of the first call that fails, from 1; 0 is none
 * FAULT_LASTS    1: every later one fails too
 * FAULT_KIND     EIO, ENOSPC, or SHORT: a write writes half of what it is given, and every other call works
 * FAULT_FULL     while this file is there, nothing that takes room works (ENOSPC)
 * FAULT_TOLD     a file that gets a line for each call that failed: its number and its name
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int calls;

static int is_below(const char *path) {
    const char *folder = getenv("FAULT_FOLDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_ours(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int number(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

static void tell(int call, const char *name) {
    const char *told = getenv("FAULT_TOLD");
    if (!told) return;
    char line[64];
    int length = snprintf(line, sizeof line, "%d %s\n", call, name);
    int file = (int)syscall(SYS_openat, AT_FDCWD, told, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0) return;
    syscall(SYS_write, file, line, length);
    syscall(SYS_close, file);
}

/* What becomes of a call: 0 it works, an error's number, or -1 where it is a write that is cut short. */
static int fate(const char *name, int takes_room, int writes) {
    const char *full = getenv("FAULT_FULL");
    if (takes_room && full && syscall(SYS_faccessat, AT_FDCWD, full, F_OK) == 0) return ENOSPC;
    int call = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST), at = number("FAULT_AT");
    if (at == 0 || !(call == at || (call > at && number("FAULT_LASTS")))) return 0;
    tell(call, name);
    const char *kind = getenv("FAULT_KIND");
    if (kind && strcmp(kind, "SHORT") == 0) return writes ? -1 : 0;
    return kind && strcmp(kind, "ENOSPC") == 0 ? ENOSPC : EIO;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(error) do { errno = (error); return -1; } while (0)

ssize_t write(int file, const void *bytes, size_t many) {
    if (is_ours(file)) {
        int end = fate("write", 1, 1);
        if (end > 0) FAIL(end);
        if (end < 0 && many > 1) many /= 2;
    }
    return REAL(write)(file, bytes, many);
}

ssize_t pwrite64(int file, const void *bytes, size_t many, off64_t at) {
    if (is_ours(file)) {
        int end = fate("pwrite", 1, 1);
        if (end > 0) FAIL(end);
        if (end < 0 && many > 1) many /= 2;
    }
    return REAL(pwrite64)(file, bytes, many, at);
}

ssize_t writev(int file, const struct iovec *parts, int many) {
    if (is_ours(file)) {
        int end = fate("writev", 1, 1);
        if (end > 0) FAIL(end);
        if (end < 0 && many > 0) return REAL(write)(file, parts[0].iov_base, (parts[0].iov_len + 1) / 2);
    }
    return REAL(writev)(file, parts, many);
}

int fsync(int file) {
    int end = is_ours(file) ? fate("fsync", 0, 0) : 0;
    if (end > 0) FAIL(end);
    return REAL(fsync)(file);
}

int fdatasync(int file) {
    int end = is_ours(file) ? fate("fdatasync", 0, 0) : 0;
    if (end > 0) FAIL(end);
    return REAL(fdatasync)(file);
}

int ftruncate64(int file, off64_t length) {
    int end = is_ours(file) ? fate("ftruncate", 0, 0) : 0;
    if (end > 0) FAIL(end);
    return REAL(ftruncate64)(file, length);
}

int rename(const char *from, const char *to) {
    int end = is_below(to) ? fate("rename", 0, 0) : 0;
    if (end > 0) FAIL(end);
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    int end = is_below(path) ? fate("unlink", 0, 0) : 0;
    if (end > 0) FAIL(end);
    return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    int end = is_below(path) ? fate("mkdir", 1, 0) : 0;
    if (end > 0) FAIL(end);
    return REAL(mkdir)(path, mode);
}

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    if (is_below(path) && (flags & (O_WRONLY | O_RDWR | O_CREAT))) {
        int end = fate("open", (flags & O_CREAT) != 0, 0);
        if (end > 0) FAIL(end);
    }
    return REAL(open64)(path, flags, mode);
}
