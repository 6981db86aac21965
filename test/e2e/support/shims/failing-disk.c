/* A disk that fails on demand, for one process: preloaded, it stands between the program and the C library.
 * While a file named `fail-flushes` lies beside a file, flushing that file fails with EIO: fsync, fdatasync,
 * and a write to a descriptor that was opened for synchronous writes. The bytes do go to the page cache, as
 * they do when a real disk fails: a program that looked would find them there, and be wrong to trust them. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The next definition of a function, the C library's, looked up once. */
#define NEXT(function)                      \
  static __typeof__(&function) next;        \
  if (next == NULL) next = (__typeof__(&function))dlsym(RTLD_NEXT, #function)

static int flushes_fail(int descriptor) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - sizeof "fail-flushes");
  if (length <= 0) return 0;
  path[length] = 0;
  char *slash = strrchr(path, '/');
  if (slash == NULL) return 0;
  strcpy(slash + 1, "fail-flushes");
  return access(path, F_OK) == 0;
}

static int is_synchronous(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  return flags != -1 && (flags & O_DSYNC) != 0;
}

static ssize_t written(int descriptor, ssize_t result) {
  if (result < 0 || !is_synchronous(descriptor) || !flushes_fail(descriptor)) return result;
  errno = EIO;
  return -1;
}

static int flushed(int descriptor, int result) {
  if (result < 0 || !flushes_fail(descriptor)) return result;
  errno = EIO;
  return -1;
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
  NEXT(write);
  return written(descriptor, next(descriptor, bytes, length));
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
  NEXT(pwrite);
  return written(descriptor, next(descriptor, bytes, length, offset));
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
  NEXT(pwrite64);
  return written(descriptor, next(descriptor, bytes, length, offset));
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  NEXT(writev);
  return written(descriptor, next(descriptor, parts, count));
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
  NEXT(pwritev);
  return written(descriptor, next(descriptor, parts, count, offset));
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset) {
  NEXT(pwritev64);
  return written(descriptor, next(descriptor, parts, count, offset));
}

int fsync(int descriptor) {
  NEXT(fsync);
  return flushed(descriptor, next(descriptor));
}

int fdatasync(int descriptor) {
  NEXT(fdatasync);
  return flushed(descriptor, next(descriptor));
}
