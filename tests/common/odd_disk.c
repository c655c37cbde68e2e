/* Below the folder ODD_DISK, system calls fail as on file systems that lack them. ODD_CALLS has an
   entry CALL=ERRNO for each; with the number 0, the process is killed instead. CALL=ERRNO@N means only
   the Nth call. "renamed" and "exchanged" are made after a successful renameat or exchange. A folder without any
   rights of its owner cannot be opened, not even by root. The inode number of a file below ODD_DISK
   is the real one, plus the length of the file ODD_INODES if there is one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#define REAL(call) ((__typeof__(&call))dlsym(RTLD_NEXT, #call))

static int starts_with_disk(const char *path) {
    const char *disk = getenv("ODD_DISK");
    return disk && strncmp(path, disk, strlen(disk)) == 0;
}

static int is_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return starts_with_disk(path);
}

/* Sets errno and returns 1 if the call is to fail. */
static int fails(const char *call, int fd) {
    const char *calls = getenv("ODD_CALLS");
    size_t length = strlen(call);
    for (const char *at = calls; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : "") {
        if (strncmp(at, call, length) == 0 && at[length] == '=' && is_below(fd)) {
            static int made;
            const char *end = at + strcspn(at, ","), *only = strchr(at, '@');
            if (only && only < end && ++made != atoi(only + 1)) return 0;
            errno = atoi(at + length + 1);
            if (errno == 0) kill(getpid(), SIGKILL);
            return 1;
        }
    }
    return 0;
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    const struct sockaddr_un *local = (const void *)address;
    int folder;
    if (address->sa_family == AF_UNIX && sscanf(local->sun_path, "/proc/self/fd/%d/", &folder) == 1
        && fails("bind", folder)) return -1;
    return REAL(bind)(fd, address, length);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    struct stat found;
    if (starts_with_disk(path) && stat(path, &found) == 0 && S_ISDIR(found.st_mode)
        && (found.st_mode & S_IRWXU) == 0) {
        errno = EACCES;
        return -1;
    }
    return REAL(open64)(path, flags, mode);
}

int fsync(int fd) {
    struct stat found;
    int is_folder = fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
    if (fails(is_folder ? "sync_folder" : "sync_file", fd)) return -1;
    return REAL(fsync)(fd);
}

int syncfs(int fd) { return fails("syncfs", fd) ? -1 : REAL(syncfs)(fd); }
int fchmod(int fd, mode_t mode) { return fails("fchmod", fd) ? -1 : REAL(fchmod)(fd, mode); }
int flock(int fd, int how) { return fails("flock", fd) ? -1 : REAL(flock)(fd, how); }

int renameat(int old, const char *from, int new, const char *to) {
    if (fails("renameat", old)) return -1;
    int result = REAL(renameat)(old, from, new, to);
    if (result == 0) fails("renamed", old);
    return result;
}

int renameat2(int old, const char *from, int new, const char *to, unsigned flags) {
    if (fails("renameat2", old)) return -1;
    int result = REAL(renameat2)(old, from, new, to, flags);
    if (result == 0 && flags == RENAME_EXCHANGE) fails("exchanged", old);
    return result;
}

int linkat(int old, const char *from, int new, const char *to, int flags) {
    return fails("linkat", old) ? -1 : REAL(linkat)(old, from, new, to, flags);
}

int unlinkat(int fd, const char *path, int flags) {
    return fails("unlinkat", fd) ? -1 : REAL(unlinkat)(fd, path, flags);
}

int futimens(int fd, const struct timespec times[2]) {
    return fails("futimens", fd) ? -1 : REAL(futimens)(fd, times);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    return fails("fallocate", fd) ? -1 : REAL(fallocate)(fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    return fails("fallocate", fd) ? -1 : REAL(fallocate64)(fd, mode, offset, length);
}

off_t lseek(int fd, off_t offset, int whence) {
    return whence == SEEK_DATA && fails("seek_data", fd) ? -1 : REAL(lseek)(fd, offset, whence);
}

off64_t lseek64(int fd, off64_t offset, int whence) {
    return whence == SEEK_DATA && fails("seek_data", fd) ? -1 : REAL(lseek64)(fd, offset, whence);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) {
    __typeof__(&sendfile64) real = (__typeof__(&sendfile64))dlsym(RTLD_NEXT, "sendfile64");
    return fails("sendfile", from) ? -1 : real(to, from, offset, length);
}

int statx(int fd, const char *restrict path, int flags, unsigned mask, struct statx *restrict out) {
    int result = REAL(statx)(fd, path, flags, mask, out);
    const char *numbers = getenv("ODD_INODES");
    struct stat by;
    if (result == 0 && S_ISREG(out->stx_mode) && numbers && stat(numbers, &by) == 0
        && (path && path[0] == '/' ? starts_with_disk(path) : is_below(fd)))
        out->stx_ino += by.st_size;
    return result;
}
