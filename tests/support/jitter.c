/* A library to preload that makes a program slow where its threads meet: `scripts/jitter`.
 *
 * Around locks, conditions, thread starts, files and sockets the caller sleeps now and then, so
 * that orders of threads come up which a quiet machine never shows. Each thread has a pace of its
 * own, and for stretches of some hundred milliseconds one of them is far slower than the rest.
 *
 * Environment  JITTER_SEED (1); JITTER_P, the chance of a sleep at a place (0.02); JITTER_US, the
 *              longest sleep of an ordinary thread (1000); JITTER_SLOW, how many times that for
 *              the slow one (20); JITTER_STRETCH_MS, how long it is slow (200); JITTER_SHARE, how
 *              much of its time an ordinary thread sleeps at most (0.3); JITTER_ONLY, how the names
 *              of programs begin that are meant, of those that inherit all this.
 * Repeatable   what is drawn is, for each thread in the order of their starts; what comes of it is
 *              not. */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct jitter_options {
    uint64_t seed;
    uint64_t chance; /* of 2^32 */
    double us_max;
    double slow;
    double share;
    uint64_t stretch_ns;
    bool on;
};

static struct jitter_options options;
static atomic_uint thread_count;

struct jitter_thread {
    unsigned index; /* from 1; 0: not seen yet */
    uint64_t rand;
    double pace; /* this thread's own, for all its life */
    uint64_t since_ns;
    uint64_t slept_ns;
    bool inside;
};
static _Thread_local struct jitter_thread self __attribute__((tls_model("initial-exec")));

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static double env_number(const char *name, double otherwise)
{
    const char *text = getenv(name);

    return text == NULL || text[0] == '\0' ? otherwise : strtod(text, NULL);
}

__attribute__((constructor)) static void jitter_begin(void)
{
    const char *only = getenv("JITTER_ONLY");

    options.seed = (uint64_t)env_number("JITTER_SEED", 1);
    options.chance = (uint64_t)(env_number("JITTER_P", 0.02) * 4294967296.0);
    options.us_max = env_number("JITTER_US", 1000);
    options.slow = env_number("JITTER_SLOW", 20);
    options.share = env_number("JITTER_SHARE", 0.3);
    options.stretch_ns = (uint64_t)(env_number("JITTER_STRETCH_MS", 200) * 1e6);
    if (options.stretch_ns == 0)
        options.stretch_ns = 1;
    options.on = only == NULL || strncmp(program_invocation_short_name, only, strlen(only)) == 0;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void meet(uint64_t now)
{
    static const double PACES[] = {0, 0.2, 1, 1, 1, 1, 3, 3};
    uint64_t draw;

    self.index = atomic_fetch_add(&thread_count, 1) + 1;
    self.rand = mix(options.seed * UINT64_C(1000003) + self.index);
    draw = mix(self.rand);
    self.pace = PACES[draw % (sizeof PACES / sizeof PACES[0])];
    self.since_ns = now;
}

/* One thread of those there are, another one in each stretch; every fourth stretch none. */
static bool slow_now(uint64_t now)
{
    const uint64_t draw = mix(options.seed ^ mix(now / options.stretch_ns));

    return draw % 4 != 0 && (draw >> 8) % atomic_load(&thread_count) + 1 == self.index;
}

/* `weight`: how many times longer than at a lock. */
static void jitter(double weight)
{
    uint64_t now;
    uint64_t draw;
    double pace;
    double share;
    double u;
    struct timespec pause;
    uint64_t ns;
    int error;

    if (!options.on || self.inside)
        return;
    self.inside = true;
    error = errno;
    if (self.index == 0)
        meet(now_ns());
    self.rand = mix(self.rand);
    draw = self.rand;
    if ((draw >> 32) >= options.chance && weight < 10)
        goto out;
    now = now_ns();
    pace = self.pace;
    share = options.share;
    if (slow_now(now)) {
        pace = options.slow;
        share = 0.95;
    }
    if ((double)self.slept_ns > share * (double)(now - self.since_ns) + 20e6)
        goto out;
    u = (double)(mix(draw) >> 40) / (double)(1 << 24);
    ns = (uint64_t)(options.us_max * 1000 * u * u * u * pace * weight);
    if (ns == 0)
        goto out;
    if (ns > 300000000)
        ns = 300000000;
    pause = (struct timespec){.tv_sec = 0, .tv_nsec = (long)ns};
    (void)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
    self.slept_ns += ns;
out:
    errno = error;
    self.inside = false;
}

/* Conditions have an older version that the linker's next would find. */
static void *next_of(const char *name)
{
    void *found = NULL;

    if (strncmp(name, "pthread_cond_", 13) == 0)
        found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    return found != NULL ? found : dlsym(RTLD_NEXT, name);
}

#define NEXT(type, name)                                                                           \
    static type *_Atomic next;                                                                     \
    type *call = atomic_load_explicit(&next, memory_order_acquire);                                \
    if (call == NULL) {                                                                            \
        call = (type *)(uintptr_t)next_of(name);                                                   \
        atomic_store_explicit(&next, call, memory_order_release);                                  \
    }

/* WRAP(what it returns, name, weight before, weight after, types, parameters with types, names) */
#define WRAP(ret, name, before, after, types, params, args)                                        \
    typedef ret next_##name types;                                                                 \
    ret name params                                                                                \
    {                                                                                              \
        ret result;                                                                                \
        NEXT(next_##name, #name)                                                                   \
        if ((before) > 0)                                                                          \
            jitter(before);                                                                        \
        result = call args;                                                                        \
        if ((after) > 0)                                                                           \
            jitter(after);                                                                         \
        return result;                                                                             \
    }

WRAP(int, pthread_mutex_lock, 1, 0.3, (pthread_mutex_t *), (pthread_mutex_t * m), (m))
WRAP(int, pthread_mutex_unlock, 0, 1, (pthread_mutex_t *), (pthread_mutex_t * m), (m))
WRAP(int, pthread_rwlock_rdlock, 1, 0.3, (pthread_rwlock_t *), (pthread_rwlock_t * l), (l))
WRAP(int, pthread_rwlock_wrlock, 1, 0.3, (pthread_rwlock_t *), (pthread_rwlock_t * l), (l))
WRAP(int, pthread_rwlock_unlock, 0, 1, (pthread_rwlock_t *), (pthread_rwlock_t * l), (l))
WRAP(int, pthread_cond_signal, 1, 1, (pthread_cond_t *), (pthread_cond_t * c), (c))
WRAP(int, pthread_cond_broadcast, 1, 1, (pthread_cond_t *), (pthread_cond_t * c), (c))
WRAP(int, pthread_cond_wait, 0.3, 3, (pthread_cond_t *, pthread_mutex_t *),
     (pthread_cond_t * c, pthread_mutex_t *m), (c, m))
WRAP(int, pthread_cond_timedwait, 0.3, 3,
     (pthread_cond_t *, pthread_mutex_t *, const struct timespec *),
     (pthread_cond_t * c, pthread_mutex_t *m, const struct timespec *t), (c, m, t))
WRAP(int, pthread_join, 1, 3, (pthread_t, void **), (pthread_t t, void **r), (t, r))
WRAP(int, fsync, 3, 3, (int), (int fd), (fd))
WRAP(int, fdatasync, 3, 3, (int), (int fd), (fd))
WRAP(ssize_t, read, 1, 1, (int, void *, size_t), (int fd, void *b, size_t n), (fd, b, n))
WRAP(ssize_t, write, 1, 1, (int, const void *, size_t), (int fd, const void *b, size_t n),
     (fd, b, n))
WRAP(ssize_t, pread, 1, 1, (int, void *, size_t, off_t), (int fd, void *b, size_t n, off_t o),
     (fd, b, n, o))
WRAP(ssize_t, pwrite, 1, 1, (int, const void *, size_t, off_t),
     (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(ssize_t, pread64, 1, 1, (int, void *, size_t, off_t), (int fd, void *b, size_t n, off_t o),
     (fd, b, n, o))
WRAP(ssize_t, pwrite64, 1, 1, (int, const void *, size_t, off_t),
     (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(ssize_t, writev, 1, 1, (int, const struct iovec *, int),
     (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(ssize_t, send, 2, 2, (int, const void *, size_t, int),
     (int fd, const void *b, size_t n, int f), (fd, b, n, f))
WRAP(ssize_t, recv, 2, 2, (int, void *, size_t, int), (int fd, void *b, size_t n, int f),
     (fd, b, n, f))
WRAP(ssize_t, sendmsg, 2, 2, (int, const struct msghdr *, int),
     (int fd, const struct msghdr *m, int f), (fd, m, f))
WRAP(ssize_t, recvmsg, 2, 2, (int, struct msghdr *, int), (int fd, struct msghdr *m, int f),
     (fd, m, f))
WRAP(int, epoll_wait, 0.5, 2, (int, struct epoll_event *, int, int),
     (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms))
WRAP(int, epoll_pwait, 0.5, 2, (int, struct epoll_event *, int, int, const sigset_t *),
     (int fd, struct epoll_event *e, int n, int ms, const sigset_t *s), (fd, e, n, ms, s))
WRAP(int, poll, 0.5, 2, (struct pollfd *, nfds_t, int), (struct pollfd * p, nfds_t n, int ms),
     (p, n, ms))
WRAP(int, eventfd_write, 2, 2, (int, eventfd_t), (int fd, eventfd_t v), (fd, v))
WRAP(int, nanosleep, 0, 3, (const struct timespec *, struct timespec *),
     (const struct timespec *t, struct timespec *left), (t, left))
WRAP(int, clock_nanosleep, 0, 3, (clockid_t, int, const struct timespec *, struct timespec *),
     (clockid_t c, int f, const struct timespec *t, struct timespec *left), (c, f, t, left))
WRAP(int, rename, 2, 2, (const char *, const char *), (const char *a, const char *b), (a, b))

struct start {
    void *(*run)(void *);
    void *arg;
};

static void *begin(void *arg)
{
    const struct start start = *(struct start *)arg;

    free(arg);
    jitter(20);
    return start.run(start.arg);
}

typedef int next_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    struct start *start;
    int rc;
    NEXT(next_create, "pthread_create")

    start = options.on ? malloc(sizeof *start) : NULL;
    if (start == NULL)
        return call(thread, attr, run, arg);
    *start = (struct start){.run = run, .arg = arg};
    rc = call(thread, attr, begin, start);
    if (rc != 0)
        free(start);
    jitter(3);
    return rc;
}
