/* Preloaded: makes calls of the C library fail as file systems do.
 *   FAULT_LINKS=N                    no inode gets more than N names (EMLINK)
 *   FAULT_NAME=name FAULT_ERRNO=E    calls that make or remove an entry of that name fail with E;
 *                                    with E = 0 the process that makes such a call is killed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
