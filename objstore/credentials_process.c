#include "objstore/credentials_process.h"

#include "base/mem.h"
#include "objstore/credentials_http.h"
#include "objstore/credentials_read.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { SAID_BYTES_MAX = 4096, OUT = 0, SAID = 1, PIPES = 2 };

struct child {
    pid_t pid; /* and its group's */
    int fds[PIPES];
    struct buf out;
    struct buf said; /* on its error output; the rest is dropped */
};

static uint64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static int set_actions(posix_spawn_file_actions_t *actions, int out, int said)
{
    int e = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    if (e == 0)
        e = posix_spawn_file_actions_adddup2(actions, out, STDOUT_FILENO);
    if (e == 0)
        e = posix_spawn_file_actions_adddup2(actions, said, STDERR_FILENO);
    return e != 0 ? e : posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
}

/* Our threads block all signals, and SIGPIPE is ignored: the program starts as any other. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    int e;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGKILL);
    (void)sigdelset(&all, SIGSTOP);
    e = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                 POSIX_SPAWN_SETSIGDEF);
    if (e == 0)
        e = posix_spawnattr_setpgroup(attributes, 0);
    if (e == 0)
        e = posix_spawnattr_setsigmask(attributes, &none);
    return e != 0 ? e : posix_spawnattr_setsigdefault(attributes, &all);
}

static int spawn(struct child *c, char *const *argv, char *const *env, int out, int said)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int e = posix_spawn_file_actions_init(&actions);

    if (e != 0)
        return e;
    e = posix_spawnattr_init(&attributes);
    if (e == 0) {
        e = set_actions(&actions, out, said);
        if (e == 0)
            e = set_attributes(&attributes);
        if (e == 0)
            e = posix_spawnp(&c->pid, argv[0], &actions, &attributes, argv,
                             env != NULL ? env : environ);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return e;
}

static status start(struct child *c, char *const *argv, char *const *env, struct err *err)
{
    int pipes[PIPES][2] = {{-1, -1}, {-1, -1}};
    char name[128];
    int e = 0;

    for (size_t i = 0; e == 0 && i < PIPES; i++)
        e = pipe2(pipes[i], O_CLOEXEC) != 0 ? errno : 0;
    if (e == 0)
        e = spawn(c, argv, env, pipes[OUT][1], pipes[SAID][1]);
    for (size_t i = 0; i < PIPES; i++) {
        close_fd(&pipes[i][1]);
        c->fds[i] = pipes[i][0];
        if (e == 0 && fcntl(c->fds[i], F_SETFL, O_NONBLOCK) != 0)
            e = errno;
    }
    if (e == 0)
        return ST_OK;
    credentials_show(name, sizeof name, slice_text(argv[0]), NULL, 0);
    (void)err_set_errno(err, e, "cannot start %s", name);
    return e == ENOMEM ? ST_NOMEM : ST_UNAVAILABLE;
}

/* What there is to read of one pipe; false when it is to end. */
static bool drain(struct child *c, size_t which)
{
    struct buf *into = which == OUT ? &c->out : &c->said;
    char chunk[4096];

    for (;;) {
        ssize_t got = read(c->fds[which], chunk, sizeof chunk);
        size_t bytes = got > 0 ? (size_t)got : 0;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0) {
            close_fd(&c->fds[which]);
            return true;
        }
        if (which == SAID && bytes > into->bytes_max - into->bytes)
            bytes = into->bytes_max - into->bytes;
        buf_put(into, chunk, bytes);
        explicit_bzero(chunk, sizeof chunk);
        if (into->failed)
            return false;
    }
}

/* Until both pipes are closed: a program that closes them and stays is waited for behind that. */
static status read_both(struct child *c, uint64_t end_ms, const _Atomic bool *stop, struct err *err)
{
    while (c->fds[OUT] >= 0 || c->fds[SAID] >= 0) {
        struct pollfd polled[PIPES] = {{.fd = c->fds[OUT], .events = POLLIN},
                                       {.fd = c->fds[SAID], .events = POLLIN}};

        if (atomic_load(stop))
            return err_set(err, ST_CLOSED, "the store is being closed");
        if (now_ms() >= end_ms)
            return err_set(err, ST_UNAVAILABLE, "took too long and was killed");
        (void)poll(polled, PIPES, CREDENTIALS_SLICE_MS);
        for (size_t i = 0; i < PIPES; i++)
            if (polled[i].revents != 0 && !drain(c, i))
                return c->out.over
                           ? err_set(err, ST_LIMIT, "printed more than %d bytes and was killed",
                                     (int)CREDENTIALS_ANSWER_BYTES_MAX)
                           : err_set(err, ST_NOMEM, "no memory for what it printed");
    }
    return ST_OK;
}

/* Its end is waited for; sooner or later it is killed. */
static status reap(struct child *c, status st, uint64_t end_ms, const _Atomic bool *stop, int *how,
                   struct err *err)
{
    pid_t got = 0;

    while (st == ST_OK && (got = waitpid(c->pid, how, WNOHANG)) == 0) {
        if (atomic_load(stop))
            st = err_set(err, ST_CLOSED, "the store is being closed");
        else if (now_ms() >= end_ms)
            st = err_set(err, ST_UNAVAILABLE, "took too long and was killed");
        else
            (void)poll(NULL, 0, 2);
    }
    if (st != ST_OK)
        (void)kill(-c->pid, SIGKILL);
    while (got == 0 && waitpid(c->pid, how, 0) < 0 && errno == EINTR)
        continue;
    return st;
}

/* What it printed may be half a document, and its error output may quote it. */
static void tell_said(const struct child *c, const struct credentials *out, struct err *err)
{
    const char *const secrets[] = {out->access, out->secret, out->token};
    char said[200];
    char before[ERR_TEXT_BYTES];

    if (err == NULL || c->said.bytes == 0)
        return;
    credentials_show(said, sizeof said, buf_slice(&c->said), secrets, COUNT_OF(secrets));
    (void)snprintf(before, sizeof before, "%s", err->text);
    (void)err_set(err, err->code, "%.250s; it said: %s", before, said);
}

static status judge(const struct child *c, int how, struct credentials *out, struct err *err)
{
    /* Read even where it failed: what it calls a secret is covered in what it said. */
    status st = credentials_read_json(buf_slice(&c->out), true, out, err);

    if (WIFSIGNALED(how))
        st = err_set(err, ST_UNAVAILABLE, "was ended by signal %d", WTERMSIG(how));
    else if (WIFEXITED(how) && WEXITSTATUS(how) != 0)
        st = err_set(err, ST_UNAVAILABLE, "ended with exit code %d", WEXITSTATUS(how));
    return st;
}

static status run(const char *command, char *const *env, uint32_t timeout_ms,
                  const _Atomic bool *stop, struct child *c, struct credentials *out,
                  struct err *err)
{
    uint64_t end_ms = now_ms() + timeout_ms;
    char *argv[CREDENTIALS_WORDS_MAX + 1];
    char *room = mem_alloc(strlen(command) + 1);
    int how = 0;
    status st;

    if (room == NULL)
        return err_set(err, ST_NOMEM, "no memory for a command");
    st = credentials_words(command, room, argv, err);
    if (st == ST_OK)
        st = start(c, argv, env, err);
    if (c->pid > 0) {
        if (st == ST_OK)
            st = read_both(c, end_ms, stop, err);
        st = reap(c, st, end_ms, stop, &how, err);
        if (st == ST_OK)
            st = judge(c, how, out, err);
        if (st != ST_OK && st != ST_NOMEM)
            tell_said(c, out, err);
    }
    mem_free(room);
    return st;
}

status credentials_process(const char *command, char *const *env, uint32_t timeout_ms,
                           const _Atomic bool *stop, struct credentials *out, struct err *err)
{
    struct child c = {.fds = {-1, -1}};
    struct err own = {0};
    status st;

    buf_init(&c.out, CREDENTIALS_ANSWER_BYTES_MAX);
    buf_init(&c.said, SAID_BYTES_MAX);
    st = run(command, env, timeout_ms, stop, &c, out, &own);
    if (st != ST_OK) {
        credentials_wipe(out);
        (void)err_set(err, st, "%s", own.text);
    }
    for (size_t i = 0; i < PIPES; i++)
        close_fd(&c.fds[i]);
    if (c.out.data != NULL)
        explicit_bzero(c.out.data, c.out.capacity);
    if (c.said.data != NULL)
        explicit_bzero(c.said.data, c.said.capacity);
    buf_free(&c.out);
    buf_free(&c.said);
    return st;
}
