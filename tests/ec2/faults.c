/* Preloaded: makes calls of the C library fail as file systems do.
 *   FAULT_LINKS=N                    no inode gets more than N names (EMLINK)
 *   FAULT_NAME=name FAULT_ERRNO=E    calls that make or remove an entry of that name fail with E;
 *                                    with E = 0 the process that makes such a call is killed
 *   FAULT_STATE=part FAULT_SKIP=N    likewise (FAULT_ERRNO), when a file is made whose name has that
 *                                    part, after N others
 *   FAULT_FIFO=file                  who opens a file of its name to read it finds a FIFO there,
 *                                    which somebody has just put in the place of that file
 *   FAULT_TWICE=inode, FAULT_UNSEEN=inode   it comes twice in a listing, or not at all
 *   FAULT_CLOCK=seconds              the clock of this machine has jumped by that once a directory
 *                                    was read
 *   FAULT_FREE=file                  file systems have as many bytes free as that file says
 *   FAULT_SYNC=file                  files that get another name before they are on storage are
 *                                    named in that file: what a power cut would leave is anything
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int fails(const char *path) {
  const char *name = getenv("FAULT_NAME");
  if (name == NULL || strcmp(basename(path), name) != 0)
    return 0;
  errno = atoi(getenv("FAULT_ERRNO"));
  if (errno == 0)
    raise(SIGKILL);
  return 1;
}

int linkat(int from, const char *old, int to, const char *new, int flags) {
  static int (*next)(int, const char *, int, const char *, int);
  struct stat info;
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "linkat");
  const char *limit = getenv("FAULT_LINKS");
  if (limit != NULL && fstatat(from, old, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
      info.st_nlink >= (nlink_t)atol(limit)) {
    errno = EMLINK;
    return -1;
  }
  return fails(new) ? -1 : next(from, old, to, new, flags);
}

int mkdirat(int directory, const char *path, mode_t mode) {
  static int (*next)(int, const char *, mode_t);
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "mkdirat");
  return fails(path) ? -1 : next(directory, path, mode);
}

int unlinkat(int directory, const char *path, int flags) {
  static int (*next)(int, const char *, int);
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "unlinkat");
  return fails(path) ? -1 : next(directory, path, flags);
}

static int state_fails(const char *path, int flags) {
  static int skipped;
  const char *part = getenv("FAULT_STATE");
  if (part == NULL || !(flags & O_CREAT) || strstr(basename(path), part) == NULL)
    return 0;
  if (skipped++ < atoi(getenv("FAULT_SKIP")))
    return 0;
  errno = atoi(getenv("FAULT_ERRNO"));
  if (errno == 0)
    raise(SIGKILL);
  return 1;
}

static void exchange(int directory, const char *path, int flags) {
  const char *file = getenv("FAULT_FIFO");
  struct stat info;
  if (file == NULL || strcmp(basename(path), basename(file)) != 0 ||
      flags & (O_WRONLY | O_RDWR | O_NONBLOCK | O_PATH) ||
      fstatat(directory, path, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
    return;
  unlink(file);
  mkfifo(file, 0644);
}

/* What opens files: rsync does it in another way in each of its versions, and calls those with a
 * number in their names if it was built with _FORTIFY_SOURCE and gives no mode. */
#define MODE(flags) \
  va_list rest; \
  va_start(rest, flags); \
  int mode = flags & O_CREAT ? va_arg(rest, int) : 0; \
  va_end(rest)

int open64(const char *path, int flags, ...) {
  static int (*next)(const char *, int, ...);
  MODE(flags);
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "open64");
  exchange(AT_FDCWD, path, flags);
  return state_fails(path, flags) ? -1 : next(path, flags, mode);
}

int __open64_2(const char *path, int flags) {
  return open64(path, flags);
}

/* The same on 64 bits. */
int open(const char *, int, ...) __attribute__((alias("open64")));
int __open_2(const char *, int) __attribute__((alias("__open64_2")));

int openat(int directory, const char *path, int flags, ...) {
  static int (*next)(int, const char *, int, ...);
  MODE(flags);
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "openat");
  exchange(directory, path, flags);
  return next(directory, path, flags, mode);
}

int __openat_2(int directory, const char *path, int flags) {
  return openat(directory, path, flags);
}

int fstatvfs64(int descriptor, struct statvfs64 *info) {
  static int (*next)(int, struct statvfs64 *);
  const char *told = getenv("FAULT_FREE");
  unsigned long bytes = 0;
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "fstatvfs64");
  int result = next(descriptor, info);
  FILE *file = told == NULL ? NULL : fopen(told, "r");
  if (result == 0 && file != NULL && fscanf(file, "%lu", &bytes) == 1)
    info->f_bavail = bytes / info->f_frsize;
  if (file != NULL)
    fclose(file);
  return result;
}

static ino_t synced[1000];
static int syncs;

int fsync(int descriptor) {
  static int (*next)(int);
  struct stat info;
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "fsync");
  if (fstat(descriptor, &info) == 0)
    synced[syncs++ % 1000] = info.st_ino;
  return next(descriptor);
}

int rename(const char *old, const char *new) {
  static int (*next)(const char *, const char *);
  const char *told = getenv("FAULT_SYNC");
  struct stat info;
  int is_synced = 0;
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "rename");
  if (told != NULL && lstat(old, &info) == 0 && S_ISREG(info.st_mode)) {
    for (int i = 0; i < 1000; i++)
      is_synced |= synced[i] == info.st_ino;
    FILE *file = is_synced ? NULL : fopen(told, "a");
    if (file != NULL) {
      fprintf(file, "%s\n", new);
      fclose(file);
    }
  }
  return next(old, new);
}

static int is_in(const char *variable, const struct dirent64 *entry) {
  const char *inode = getenv(variable);
  return inode != NULL && entry != NULL && entry->d_ino == strtoul(inode, NULL, 10);
}

static int has_read;

struct dirent64 *readdir64(DIR *directory) {
  static struct dirent64 *(*next)(DIR *);
  static __thread struct dirent64 again;
  static __thread DIR *once_more;
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "readdir64");
  has_read = 1;
  if (once_more == directory) {
    once_more = NULL;
    return &again;
  }
  struct dirent64 *entry = next(directory);
  if (is_in("FAULT_UNSEEN", entry))
    entry = next(directory);
  if (is_in("FAULT_TWICE", entry)) {
    memcpy(&again, entry, entry->d_reclen);
    once_more = directory;
  }
  return entry;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*next)(clockid_t, struct timespec *);
  const char *seconds = getenv("FAULT_CLOCK");
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
  int result = next(clock, now);
  if (result == 0 && clock == CLOCK_REALTIME && seconds != NULL && has_read)
    now->tv_sec += atol(seconds);
  return result;
}
