/* Snapshot files over a real socket, on a disk that forgets, fills up and fails: what is answered
 * is there and whole, what is not leaves nothing, and no name reaches another folder. */
#include "tests/unit/api/world.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "tests/support/fs_sim.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 60000, BIG_BYTES = 24 * 1024 * 1024, NAME_BYTES = 256 };

#define SHOTS "/collections/c/snapshots"

static void rest_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* --- a world with a disk, and three points --- */

static const char LINES[] = "{\"doc_id\":1,\"vector\":[1,2],\"payload\":{\"a\":\"x\"}}\n"
                            "{\"doc_id\":2,\"vector\":[3,4.5]}\n"
                            "{\"doc_id\":7,\"vector\":null,\"vectors\":{}}\n";

static void put_points(struct world *w)
{
    expect(w, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200);
    expect(w, "PUT", "/collections/c/index?wait=true",
           "{\"field_name\":\"a\",\"field_schema\":\"keyword\"}", 200);
    expect(w, "PUT", "/collections/c/points?wait=true",
           "{\"points\":[{\"id\":1,\"vector\":[1,2],\"payload\":{\"a\":\"x\"}},"
           "{\"id\":2,\"vector\":[3,4.5]},{\"id\":7,\"vector\":{}}]}",
           200);
}

static void open_on(struct world *w, struct fs *fs, const char *dir)
{
    struct api_options options = world_options();

    world_open(w, &options);
    fake_node_set_exports(w->node, fs, dir);
    put_points(w);
}

static void open_sim(struct world *w, struct fs_sim **sim)
{
    *sim = fs_sim_create();
    open_on(w, fs_sim_fs(*sim), "/data/exports");
}

static void close_sim(struct world *w, struct fs_sim *sim)
{
    world_close(w);
    fs_sim_destroy(sim);
}

/* --- what is answered --- */

struct shot {
    char name[NAME_BYTES], sum[CRYPTO_SHA256_HEX_BYTES];
    unsigned long bytes;
};

static struct shot read_shot(const char *body)
{
    const char *at = strstr(body, "{\"name\":\"");
    char time[32];
    struct shot s = {0};

    if (at == NULL || sscanf(at,
                             "{\"name\":\"%255[^\"]\",\"creation_time\":\"%31[^\"]\",\"size\":%lu,"
                             "\"checksum\":\"%64[0-9a-f]\"}",
                             s.name, time, &s.bytes, s.sum) != 4)
        fail_msg("no snapshot: %s", body);
    assert_int_equal(strlen(time), 19);
    return s;
}

static struct shot make(struct world *w)
{
    struct answer a = ask(w, "POST", SHOTS "?wait=true", NULL);
    struct shot s;

    if (a.status != 200)
        fail_msg("%d %s", a.status, a.body);
    s = read_shot(a.body);
    answer_free(&a);
    return s;
}

static size_t listed(struct world *w, struct shot *first)
{
    struct answer a = ask(w, "GET", SHOTS, NULL);
    size_t count = 0;

    assert_int_equal(a.status, 200);
    for (const char *at = a.body; (at = strstr(at, "\"name\":")) != NULL; at++)
        count++;
    if (count > 0 && first != NULL)
        *first = read_shot(a.body);
    answer_free(&a);
    return count;
}

/* All that comes until the other side closes. */
static char *read_all(int fd, size_t *bytes)
{
    enum { ROOM = BIG_BYTES + 1024 * 1024 };
    char *got = malloc(ROOM);

    assert_non_null(got);
    for (*bytes = 0;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&wait, 1, WAIT_MS) <= 0)
            fail_msg("no answer came");
        n = recv(fd, got + *bytes, ROOM - 1 - *bytes, 0);
        if (n <= 0)
            break;
        *bytes += (size_t)n;
    }
    got[*bytes] = '\0';
    return got;
}

static int send_get(struct world *w, const char *name)
{
    int fd = client_connect(w);
    char head[512];

    (void)snprintf(head, sizeof head,
                   "GET " SHOTS "/%s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", name);
    client_send_text(fd, head);
    return fd;
}

/* The file as it is sent; the caller frees it. */
static char *download(struct world *w, const char *name, size_t *bytes)
{
    int fd = send_get(w, name);
    char *got = read_all(fd, bytes);
    char *from = strstr(got, "\r\n\r\n");
    char *to = got;

    client_close(fd);
    assert_non_null(from);
    assert_non_null(strstr(got, "\r\nContent-Type: application/octet-stream\r\n"));
    for (from += 4;;) {
        size_t n = strtoul(from, &from, 16);

        assert_memory_equal(from, "\r\n", 2);
        if (n == 0)
            break;
        memmove(to, from + 2, n);
        to += n;
        from += n + 4;
    }
    *to = '\0';
    *bytes = (size_t)(to - got);
    return got;
}

static void check_whole(struct world *w, const struct shot *s)
{
    char hex[CRYPTO_SHA256_HEX_BYTES];
    size_t bytes;
    char *text = download(w, s->name, &bytes);
    char *second = strchr(text, '\n') + 1;
    static const char end[] = "{\"tiervec_snapshot_end\":true,\"documents\":3}\n";

    assert_int_equal(bytes, s->bytes);
    assert_int_equal(crypto_sha256_hex(slice_make(text, bytes), hex, NULL), ST_OK);
    assert_string_equal(hex, s->sum);
    assert_int_equal(strncmp(text, "{\"tiervec_snapshot\":1,\"collection\":\"c\",", 39), 0);
    assert_non_null(strstr(text, ",\"string_ids\":false,\"config\":{\"vectors\":{\"size\":2,"
                                 "\"distance\":\"Dot\"}},\"indexes\":{\"a\":\"keyword\"}}\n"));
    if (strncmp(second, LINES, sizeof LINES - 1) != 0)
        fail_msg("%s", text);
    assert_string_equal(second + sizeof LINES - 1, end);
    free(text);
}

/* --- the disk --- */

struct count {
    size_t shots, sums, others;
};

static status count_one(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct count *c = arg;
    size_t n = strlen(name);

    (void)err;
    assert_false(is_dir);
    if (n > 9 && strcmp(name + n - 9, ".snapshot") == 0)
        c->shots++;
    else if (n > 16 && strcmp(name + n - 16, ".snapshot.sha256") == 0)
        c->sums++;
    else
        c->others++;
    return ST_OK;
}

static status count_below(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct fs *fs = *(struct fs **)arg;
    char path[FS_PATH_BYTES];

    assert_true(is_dir);
    assert_int_equal(fs_join(path, "/data/exports", name, err), ST_OK);
    return fs_list(fs, path, count_one, (struct count *)(void *)((struct fs **)arg + 1), err);
}

static struct count on_disk(struct fs_sim *sim)
{
    struct {
        struct fs *fs;
        struct count count;
    } arg = {.fs = fs_sim_fs(sim)};
    status st = fs_list(arg.fs, "/data/exports", count_below, &arg, NULL);

    assert_true(st == ST_OK || st == ST_NOT_FOUND);
    return arg.count;
}

/* --- tests --- */

static void one_is_made_listed_sent_and_deleted(void **state)
{
    struct fs_sim *sim;
    struct world w;
    struct shot made, again, told;
    char path[512];

    (void)state;
    open_sim(&w, &sim);
    assert_int_equal(listed(&w, NULL), 0);
    made = make(&w);
    assert_int_equal(listed(&w, &told), 1);
    assert_memory_equal(&made, &told, sizeof made);
    check_whole(&w, &made);
    again = make(&w);
    assert_string_not_equal(again.name, made.name); /* though it is the same second and lsn */
    check_whole(&w, &again);
    assert_int_equal(listed(&w, NULL), 2);
    (void)snprintf(path, sizeof path, SHOTS "/%s", made.name);
    expect(&w, "HEAD", path, NULL, 200);
    expect(&w, "DELETE", path, NULL, 200);
    expect(&w, "DELETE", path, NULL, 404);
    expect(&w, "GET", path, NULL, 404);
    expect(&w, "HEAD", path, NULL, 404);
    assert_int_equal(listed(&w, &told), 1);
    assert_memory_equal(&again, &told, sizeof told);
    /* What was answered is on the disk. */
    fs_sim_power_cut(sim, NULL);
    assert_int_equal(listed(&w, NULL), 1);
    check_whole(&w, &again);
    assert_int_equal(on_disk(sim).sums, 1);
    close_sim(&w, sim);
}

static void a_name_reaches_no_other_file(void **state)
{
    static const char *const bad[] = {
        "..%2foutside.snapshot",
        "%2e%2e%2foutside.snapshot",
        "..%2f..%2foutside.snapshot",
        "%2fdata%2fexports%2foutside.snapshot",
        "..",
        "%2e%2e",
        ".",
        ".snapshot",
        ".hidden.snapshot",
        "a%2f..%2foutside.snapshot",
        "..%00.snapshot",
        "inside.snapshot%00",
        "inside.snapshot%00.snapshot",
        "inside.snapshot.sha256",
        "inside.snapshot.tmp",
        "inside.snapsho",
        "inside.snapshot%2f",
        "inside.snapshot%0a",
        "%0ainside.snapshot",
        "none",
    };
    struct fs_sim *sim;
    struct world w;
    struct fs *fs;

    (void)state;
    open_sim(&w, &sim);
    fs = fs_sim_fs(sim);
    (void)make(&w);
    assert_int_equal(
        fs_write_file(fs, "/data/exports/outside.snapshot", slice_text("secret"), NULL), ST_OK);
    for (size_t i = 0; i <= COUNT_OF(bad); i++) {
        static const char *const methods[] = {"GET", "DELETE"};
        char path[1024];

        if (i < COUNT_OF(bad))
            (void)snprintf(path, sizeof path, SHOTS "/%s", bad[i]);
        else
            (void)snprintf(path, sizeof path, SHOTS "/%0*d.snapshot", 600, 7);
        for (size_t m = 0; m < COUNT_OF(methods); m++) {
            struct answer a = ask(&w, methods[m], path, NULL);

            if (a.status != 404 && a.status != 400 && a.status != 422)
                fail_msg("%s %s: %d %s", methods[m], path, a.status, a.body);
            answer_free(&a);
        }
    }
    assert_int_equal(listed(&w, NULL), 1);
    assert_int_equal(fs_stat(fs, "/data/exports/outside.snapshot", &(struct fs_stat){0}, NULL),
                     ST_OK);
    close_sim(&w, sim);
}

/* Each call that the disk is asked for fails once: an answer as it should be, nothing half under a
 * name, and what was left over is gone with the next. */
static void a_disk_that_fails_leaves_nothing_half(void **state)
{
    size_t failed = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        static const int faults[] = {EIO, ENOSPC};
        struct fs_sim *sim;
        struct world w;
        struct answer a;
        struct shot told;
        uint64_t calls;
        bool hit;

        open_sim(&w, &sim);
        calls = fs_sim_calls(sim, FS_SIM_ANY);
        fs_sim_fail_nth(sim, FS_SIM_ANY, n, faults[n % 2]);
        a = ask(&w, "POST", SHOTS, NULL);
        hit = fs_sim_calls(sim, FS_SIM_ANY) - calls >= n;
        fs_sim_fail_clear(sim);
        if (a.status != 200 && a.status != 500 && a.status != 507)
            fail_msg("call %llu: %d %s", (unsigned long long)n, a.status, a.body);
        failed += a.status != 200;
        answer_free(&a);
        if (listed(&w, &told) > 0)
            check_whole(&w, &told);
        told = make(&w);
        check_whole(&w, &told);
        assert_int_equal(on_disk(sim).others, 0);
        assert_int_equal(on_disk(sim).sums, on_disk(sim).shots);
        close_sim(&w, sim);
        if (!hit)
            break;
        assert_true(n < 200);
    }
    assert_true(failed > 10);
}

static void a_full_disk_is_said(void **state)
{
    struct fs_sim *sim;
    struct world w;
    struct answer a;

    (void)state;
    open_sim(&w, &sim);
    for (int round = 0; round < 2; round++) {
        if (round == 0)
            fs_sim_fail_nth(sim, FS_SIM_WRITE, 1, ENOSPC);
        else
            fs_sim_space_limit(sim, 60 * 1024 * 1024); /* less than is kept free */
        a = ask(&w, "POST", SHOTS, NULL);
        if (a.status != 507 || strstr(a.body, "no room for a snapshot in /data/exports/") == NULL ||
            strstr(a.body, " bytes of it were written") == NULL)
            fail_msg("%d %s", a.status, a.body);
        answer_free(&a);
        assert_int_equal(on_disk(sim).others, 0);
    }
    assert_int_equal(listed(&w, NULL), 0);
    close_sim(&w, sim);
}

/* --- a disk whose syncs wait --- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;
    unsigned waiting;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void set_gate(bool shut)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    (void)pthread_cond_broadcast(&gate.changed);
    (void)pthread_mutex_unlock(&gate.lock);
}

static void somebody_waits(void)
{
    (void)pthread_mutex_lock(&gate.lock);
    while (gate.waiting == 0)
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    (void)pthread_mutex_unlock(&gate.lock);
}

static status slow_sync(struct fs *fs, struct fs_file *file, struct err *err)
{
    (void)fs;
    (void)pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    (void)pthread_cond_broadcast(&gate.changed);
    while (gate.shut)
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    (void)pthread_mutex_unlock(&gate.lock);
    return fs_sync(fs_real(), file, err);
}

static void of_a_collection_one_is_made_at_a_time(void **state)
{
    char dir[] = "/tmp/tiervec-snapshots-XXXXXX";
    struct fs slow = *fs_real();
    struct answer a;
    struct world w;
    struct shot told;
    int fd;

    (void)state;
    slow.sync = slow_sync;
    assert_non_null(mkdtemp(dir));
    open_on(&w, &slow, dir);
    set_gate(true);
    fd = client_connect(&w);
    client_send_text(fd, "POST " SHOTS " HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    somebody_waits();
    a = ask(&w, "POST", SHOTS, NULL);
    if (a.status != 409 || strstr(a.body, "a snapshot of `c` is being made") == NULL)
        fail_msg("%d %s", a.status, a.body);
    answer_free(&a);
    assert_int_equal(listed(&w, NULL), 0); /* what is being made is not there */
    set_gate(false);
    a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(fd);
    /* Who goes away leaves one all the same. */
    set_gate(true);
    fd = client_connect(&w);
    client_send_text(fd, "POST " SHOTS " HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    somebody_waits();
    client_reset(fd);
    rest_ms(20);
    set_gate(false);
    for (int i = 0; i < WAIT_MS / 10 && listed(&w, NULL) < 2; i++)
        rest_ms(10);
    assert_int_equal(listed(&w, &told), 2);
    check_whole(&w, &told);
    world_close(&w);
    assert_int_equal(fs_remove_all(fs_real(), dir, NULL), ST_OK);
}

static int begin_and_wait(struct world *w)
{
    int fd = client_connect(w);

    set_gate(true);
    client_send_text(fd, "POST " SHOTS " HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    somebody_waits();
    return fd;
}

static status must_not_be(void *arg, const char *name, bool is_dir, struct err *err)
{
    (void)arg;
    (void)is_dir;
    (void)err;
    fail_msg("%s is left", name);
    return ST_OK;
}

/* Whose time is over is told so, and the file comes. */
static void what_takes_long_is_made_all_the_same(void **state)
{
    char dir[] = "/tmp/tiervec-snapshots-XXXXXX";
    struct api_options options = world_options();
    struct fs slow = *fs_real();
    struct answer a;
    struct world w;
    struct shot told;
    int fd;

    (void)state;
    slow.sync = slow_sync;
    assert_non_null(mkdtemp(dir));
    options.timeout_ms = 2000;
    world_open(&w, &options);
    fake_node_set_exports(w.node, &slow, dir);
    put_points(&w);
    fd = begin_and_wait(&w);
    a = client_read(fd, false);
    assert_int_equal(a.status, 503);
    answer_free(&a);
    client_close(fd);
    assert_int_equal(listed(&w, NULL), 0);
    set_gate(false);
    for (int i = 0; i < WAIT_MS / 10 && listed(&w, NULL) < 1; i++)
        rest_ms(10);
    assert_int_equal(listed(&w, &told), 1);
    check_whole(&w, &told);
    world_close(&w);
    assert_int_equal(fs_remove_all(fs_real(), dir, NULL), ST_OK);
}

static void of_a_collection_that_is_dropped_meanwhile_none_stays(void **state)
{
    char dir[] = "/tmp/tiervec-snapshots-XXXXXX";
    struct fs slow = *fs_real();
    struct answer a;
    struct world w;
    int fd;

    (void)state;
    slow.sync = slow_sync;
    assert_non_null(mkdtemp(dir));
    open_on(&w, &slow, dir);
    fd = begin_and_wait(&w);
    expect(&w, "DELETE", "/collections/c", NULL, 200);
    set_gate(false);
    a = client_read(fd, false);
    if (a.status != 404 || strstr(a.body, "the collection was dropped meanwhile") == NULL)
        fail_msg("%d %s", a.status, a.body);
    answer_free(&a);
    client_close(fd);
    assert_int_equal(fs_list(fs_real(), dir, must_not_be, NULL, NULL), ST_OK);
    world_close(&w);
    assert_int_equal(fs_remove_all(fs_real(), dir, NULL), ST_OK);
}

static void put_big(struct world *w, struct fs *fs)
{
    struct shot s = make(w); /* the folder is there now */
    struct buf big;
    char path[FS_PATH_BYTES];
    struct answer a = ask(w, "GET", "/api/v1/collections/c", NULL);
    char id[40] = "";
    const char *at = strstr(a.body, "\"collection_id\":\"");

    (void)s;
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"collection_id\":\"%39[^\"]", id), 1);
    answer_free(&a);
    buf_init(&big, BIG_BYTES);
    assert_true(buf_reserve(&big, BIG_BYTES));
    memset(big.data, 'x', BIG_BYTES);
    big.bytes = BIG_BYTES;
    (void)snprintf(path, sizeof path, "/data/exports/%s/big.snapshot", id);
    assert_int_equal(fs_write_file(fs, path, buf_slice(&big), NULL), ST_OK);
    buf_free(&big);
}

/* The client sees that it is not whole; one that reads nothing and goes holds nothing. */
static void a_deletion_ends_what_is_being_sent(void **state)
{
    struct fs_sim *sim;
    struct world w;
    size_t bytes;
    char *got;
    int fd;

    (void)state;
    open_sim(&w, &sim);
    put_big(&w, fs_sim_fs(sim));
    got = download(&w, "big.snapshot", &bytes);
    assert_int_equal(bytes, BIG_BYTES);
    free(got);
    client_reset(send_get(&w, "big.snapshot"));
    fd = send_get(&w, "big.snapshot");
    rest_ms(50);
    expect(&w, "DELETE", SHOTS "/big.snapshot", NULL, 200);
    got = read_all(fd, &bytes);
    assert_int_equal(strncmp(got, "HTTP/1.1 200", 12), 0);
    assert_true(bytes < BIG_BYTES);
    assert_memory_not_equal(got + bytes - 7, "\r\n0\r\n\r\n", 7);
    free(got);
    client_close(fd);
    close_sim(&w, sim);
}

static void the_door_closes_on_snapshots(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        struct fs_sim *sim;
        struct world w;
        int fds[4];

        open_sim(&w, &sim);
        put_big(&w, fs_sim_fs(sim));
        for (int i = 0; i < 4; i++) {
            fds[i] = i % 2 == 0 ? send_get(&w, "big.snapshot") : client_connect(&w);
            if (i % 2 == 1)
                client_send_text(fds[i],
                                 "POST " SHOTS " HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
        }
        rest_ms(round);
        if (round >= 4)
            api_drain(w.api, 50);
        world_close(&w);
        assert_int_equal(on_disk(sim).others, 0);
        for (int i = 0; i < 4; i++)
            client_close(fds[i]);
        fs_sim_destroy(sim);
    }
}

static void each_failed_allocation_is_survived(void **state)
{
    static const struct {
        const char *method, *path;
    } rows[] = {{"POST", SHOTS}, {"GET", SHOTS}, {"GET", SHOTS "/x.snapshot"}};
    struct fs_sim *sim;
    struct world w;
    struct shot made;

    (void)state;
    open_sim(&w, &sim);
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        int64_t asked = 1;

        for (int64_t n = 0; n < asked; n++) {
            struct answer a;

            mem_test_fail_after(n);
            a = ask(&w, rows[row].method, rows[row].path, NULL);
            asked = mem_test_count() > n ? n + 2 : 0; /* until none fails */
            mem_test_fail_after(-1);
            assert_true(asked < 300);
            if (a.status != 0 && a.status != 200 && a.status != 503 && a.status != 404)
                fail_msg("%s %s, allocation %lld: %d %s", rows[row].method, rows[row].path,
                         (long long)n, a.status, a.body);
            answer_free(&a);
        }
    }
    for (int i = 0; i < WAIT_MS / 10 && fake_node_pins(w.node) > 0; i++)
        rest_ms(10);
    made = make(&w);
    check_whole(&w, &made);
    assert_int_equal(on_disk(sim).others, 0);
    close_sim(&w, sim);
}

static void a_node_that_keeps_no_files_says_so(void **state)
{
    struct api_options options = world_options();
    struct world w;

    (void)state;
    world_open(&w, &options);
    put_points(&w);
    expect(&w, "POST", SHOTS, NULL, 400);
    expect(&w, "GET", SHOTS "/x.snapshot", NULL, 404);
    assert_int_equal(listed(&w, NULL), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_made_listed_sent_and_deleted),
        cmocka_unit_test(a_name_reaches_no_other_file),
        cmocka_unit_test(a_disk_that_fails_leaves_nothing_half),
        cmocka_unit_test(a_full_disk_is_said),
        cmocka_unit_test(of_a_collection_one_is_made_at_a_time),
        cmocka_unit_test(what_takes_long_is_made_all_the_same),
        cmocka_unit_test(of_a_collection_that_is_dropped_meanwhile_none_stays),
        cmocka_unit_test(a_deletion_ends_what_is_being_sent),
        cmocka_unit_test(the_door_closes_on_snapshots),
        cmocka_unit_test(each_failed_allocation_is_survived),
        cmocka_unit_test(a_node_that_keeps_no_files_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
