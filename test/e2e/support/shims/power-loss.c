/* A journal of what one process asks of its disk: preloaded, it stands between the program and the C library
 * and notes, for files below $MEM0CTL_JOURNAL_ROOT in a folder `store`, every write with its bytes before it
 * is made, every end of a write, every flush with its begin and end, and every change of a folder. From that
 * ../power-loss.ts makes the files as a disk that lost its power could have them. One journal per process in
 * the folder $MEM0CTL_JOURNAL, appended by one call per record, so it survives `kill -9`.
 *
 * With $MEM0CTL_DISK_LIES it opens files without O_DSYNC: what a program is that promises before it flushes. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The next definition of a function, the C library's, looked up once. */
#define NEXT(function)               \
  static __typeof__(&function) next; \
  if (next == NULL) next = (__typeof__(&function))dlsym(RTLD_NEXT, #function)

enum { DESCRIPTORS_MAX = 65536, PARTS_MAX = 1024 };

struct head {
  uint32_t kind;
  uint32_t pathBytes;
  uint32_t dataBytes;
  uint32_t synchronous;
  uint64_t id;
  uint64_t inode;
  int64_t at;
};

/* The inode behind each descriptor that is watched, 0 for others. */
static uint64_t watched[DESCRIPTORS_MAX];
static uint64_t lastId;
static int journal = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t inode_of(int descriptor) {
  if (descriptor < 0 || descriptor >= DESCRIPTORS_MAX) return 0;
  return __atomic_load_n(&watched[descriptor], __ATOMIC_SEQ_CST);
}

/* A node's data directory itself, whose flush makes `store` durable, or something in its `store`. */
static int is_below_root(const char *path) {
  const char *root = getenv("MEM0CTL_JOURNAL_ROOT");
  if (root == NULL || strncmp(path, root, strlen(root)) != 0) return 0;
  const char *node = path + strlen(root);
  if (*node != '/' || node[1] == 0) return 0;
  const char *rest = strchr(node + 1, '/');
  return rest == NULL || (strncmp(rest, "/store", 6) == 0 && (rest[6] == 0 || rest[6] == '/'));
}

static uint64_t note(char kind, uint64_t id, uint64_t inode, int64_t at, int synchronous, const char *path,
                     const struct iovec *parts, int count) {
  static __typeof__(&writev) append;
  int before = errno;
  pthread_mutex_lock(&lock);
  if (append == NULL) append = (__typeof__(&writev))dlsym(RTLD_NEXT, "writev");
  if (journal == -1) {
    static __typeof__(&open) plainOpen;
    plainOpen = (__typeof__(&open))dlsym(RTLD_NEXT, "open");
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%s/%d.journal", getenv("MEM0CTL_JOURNAL"), getpid());
    journal = plainOpen(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal == -1) abort();
  }
  if (id == 0) id = ++lastId;
  size_t bytes = 0;
  struct iovec all[PARTS_MAX + 2];
  if (count > PARTS_MAX) abort();
  for (int part = 0; part < count; part += 1) {
    all[part + 2] = parts[part];
    bytes += parts[part].iov_len;
  }
  struct head head = {kind, path == NULL ? 0 : strlen(path), bytes, synchronous, id, inode, at};
  all[0] = (struct iovec){&head, sizeof head};
  all[1] = (struct iovec){(void *)path, head.pathBytes};
  size_t whole = sizeof head + head.pathBytes + bytes;
  if (append(journal, all, count + 2) != (ssize_t)whole) abort();
  pthread_mutex_unlock(&lock);
  errno = before;
  return id;
}

static int opened(int descriptor, const char *path, int existed) {
  if (descriptor < 0 || descriptor >= DESCRIPTORS_MAX || !is_below_root(path)) return descriptor;
  struct stat about;
  if (fstat(descriptor, &about) == -1) abort();
  note(existed ? 'o' : 'c', 0, about.st_ino, 0, 0, path, NULL, 0);
  __atomic_store_n(&watched[descriptor], (uint64_t)about.st_ino, __ATOMIC_SEQ_CST);
  return descriptor;
}

static int flags_of(const char *path, int flags) {
  return getenv("MEM0CTL_DISK_LIES") != NULL && is_below_root(path) ? flags & ~(O_DSYNC | O_SYNC) : flags;
}

#define OPEN_LIKE(name)                                    \
  int name(const char *path, int flags, ...) {             \
    NEXT(name);                                            \
    va_list rest;                                          \
    va_start(rest, flags);                                 \
    mode_t mode = va_arg(rest, mode_t);                    \
    va_end(rest);                                          \
    int existed = access(path, F_OK) == 0;                 \
    return opened(next(path, flags_of(path, flags), mode), path, existed); \
  }
OPEN_LIKE(open)
OPEN_LIKE(open64)

int close(int descriptor) {
  NEXT(close);
  if (inode_of(descriptor) != 0) __atomic_store_n(&watched[descriptor], 0, __ATOMIC_SEQ_CST);
  return next(descriptor);
}

static int is_synchronous(int descriptor) { return (fcntl(descriptor, F_GETFL) & O_DSYNC) != 0; }

static int64_t position_of(int descriptor) {
  struct stat about;
  if ((fcntl(descriptor, F_GETFL) & O_APPEND) == 0) return lseek(descriptor, 0, SEEK_CUR);
  return fstat(descriptor, &about) == 0 ? about.st_size : 0;
}

/* Notes the bytes, makes the write, and notes how much of it was made. */
#define JOURNALLED(at, parts, count, call)                                                  \
  uint64_t inode = inode_of(descriptor);                                                    \
  if (inode == 0) return call;                                                              \
  uint64_t id = note('w', 0, inode, at, is_synchronous(descriptor), NULL, parts, count);    \
  ssize_t made = call;                                                                      \
  note('e', id, inode, made, 0, NULL, NULL, 0);                                             \
  return made;

ssize_t write(int descriptor, const void *bytes, size_t length) {
  NEXT(write);
  struct iovec part = {(void *)bytes, length};
  JOURNALLED(position_of(descriptor), &part, 1, next(descriptor, bytes, length))
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
  NEXT(pwrite);
  struct iovec part = {(void *)bytes, length};
  JOURNALLED(offset, &part, 1, next(descriptor, bytes, length, offset))
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
  NEXT(pwrite64);
  struct iovec part = {(void *)bytes, length};
  JOURNALLED(offset, &part, 1, next(descriptor, bytes, length, offset))
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  NEXT(writev);
  JOURNALLED(position_of(descriptor), parts, count, next(descriptor, parts, count))
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
  NEXT(pwritev);
  JOURNALLED(offset, parts, count, next(descriptor, parts, count, offset))
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset) {
  NEXT(pwritev64);
  JOURNALLED(offset, parts, count, next(descriptor, parts, count, offset))
}

#define FLUSH_LIKE(name)                                           \
  int name(int descriptor) {                                       \
    NEXT(name);                                                    \
    uint64_t inode = inode_of(descriptor);                         \
    if (inode == 0) return next(descriptor);                       \
    uint64_t id = note('f', 0, inode, 0, 0, NULL, NULL, 0);        \
    int result = next(descriptor);                                 \
    note('g', id, inode, result, 0, NULL, NULL, 0);                \
    return result;                                                 \
  }
FLUSH_LIKE(fsync)
FLUSH_LIKE(fdatasync)

static int truncated(int descriptor, int64_t length, int result) {
  uint64_t inode = inode_of(descriptor);
  if (inode != 0 && result == 0) note('t', 0, inode, length, 0, NULL, NULL, 0);
  return result;
}

int ftruncate(int descriptor, off_t length) {
  NEXT(ftruncate);
  return truncated(descriptor, length, next(descriptor, length));
}

int ftruncate64(int descriptor, off64_t length) {
  NEXT(ftruncate64);
  return truncated(descriptor, length, next(descriptor, length));
}

int rename(const char *from, const char *to) {
  NEXT(rename);
  int result = next(from, to);
  struct iovec name = {(void *)to, strlen(to)};
  if (result == 0 && is_below_root(to)) note('r', 0, 0, 0, 0, from, &name, 1);
  return result;
}

int unlink(const char *path) {
  NEXT(unlink);
  int result = next(path);
  if (result == 0 && is_below_root(path)) note('u', 0, 0, 0, 0, path, NULL, 0);
  return result;
}

int mkdir(const char *path, mode_t mode) {
  NEXT(mkdir);
  int result = next(path, mode);
  struct stat about;
  if (result == 0 && is_below_root(path) && stat(path, &about) == 0) {
    note('m', 0, about.st_ino, 0, 0, path, NULL, 0);
  }
  return result;
}

/* What is written through a mapping is not seen here: it is noted, and fails the test. */
static void mapped(int descriptor, int protection, int flags) {
  uint64_t inode = inode_of(descriptor);
  if (inode != 0 && (protection & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0) {
    note('x', 0, inode, 0, 0, NULL, NULL, 0);
  }
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  NEXT(mmap);
  mapped(descriptor, protection, flags);
  return next(address, length, protection, flags, descriptor, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off64_t offset) {
  NEXT(mmap64);
  mapped(descriptor, protection, flags);
  return next(address, length, protection, flags, descriptor, offset);
}
